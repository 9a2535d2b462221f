//! Signed webhooks through a real connection.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use sha2::Sha256;

use crate::house::House;

fn hex(secret: &str, signed: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    HEXLOWER.encode(&mac.chain_update(signed).finalize().into_bytes())
}

const BODY: &str = r#"{"action":"opened"}"#;

#[tokio::test]
async fn only_what_the_sender_signed_reaches_the_agent() {
    let house = House::with(r#"{"webhook":{"provider":"github","secrets":["shh"]}}"#).await;
    let right = format!("sha256={}", hex("shh", BODY));
    let wrong = format!("sha256={}", hex("shht", BODY));
    let refused = house
        .send("POST", "/hook", &[("x-hub-signature-256", &wrong)], BODY)
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.error(), "webhook-unverified");
    let said = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(
        said.contains("not that of this body") && !said.contains("shh\""),
        "{said}"
    );
    let unsigned = house.send("POST", "/hook", &[], BODY).await;
    let said = String::from_utf8_lossy(&unsigned.body).into_owned();
    assert!(said.contains("missing"), "{said}");
    assert!(house.agent.asked().is_empty());

    let fields = [
        ("x-hub-signature-256", &*right),
        ("expect", "100-continue"),
        ("x-webhook-verified", "true"),
    ];
    let taken = house.send("POST", "/hook", &fields, BODY).await;
    assert_eq!(taken.status, StatusCode::OK);
    let (head, body) = house.agent.asked().remove(0);
    assert_eq!(body, BODY);
    assert_eq!(head.headers["content-length"], BODY.len().to_string());
    for gone in ["expect", "x-webhook-verified"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_large_signed_body_arrives_whole() {
    let body: &'static str = Box::leak("0123456789abcdef".repeat(20_000).into_boxed_str());
    let house =
        House::with(r#"{"webhook":{"provider":"hmac","secrets":["shh"],"header":"X-Sig"}}"#).await;
    let answer = house
        .send("POST", "/hook", &[("x-sig", &hex("shh", body))], body)
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(house.agent.asked()[0].1, body);
}

#[tokio::test]
async fn a_signature_of_now_fits_the_clock_of_the_server() {
    let house = House::with(r#"{"webhook":{"provider":"stripe","secrets":["whsec"]}}"#).await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    for (time, status) in [(now, StatusCode::OK), (now - 400, StatusCode::UNAUTHORIZED)] {
        let value = format!("t={time},v1={}", hex("whsec", &format!("{time}.{BODY}")));
        let answer = house
            .send("POST", "/", &[("stripe-signature", &value)], BODY)
            .await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_report_says_what_a_refusal_would_have() {
    let policy = r#"{"webhook":{"provider":"github","secrets":["shh"],"report_only":true}}"#;
    let house = House::with(policy).await;
    let right = format!("sha256={}", hex("shh", BODY));
    for signature in [&right, "sha256=00"] {
        let fields = [
            ("x-hub-signature-256", signature),
            ("x-webhook-verified", "true"),
        ];
        assert_eq!(
            house.send("POST", "/", &fields, BODY).await.status,
            StatusCode::OK
        );
    }
    let asked = house.agent.asked().into_iter();
    let told = asked.map(|(head, body)| {
        assert_eq!(body, BODY);
        head.headers["x-webhook-verified"].clone()
    });
    assert_eq!(told.collect::<Vec<_>>(), ["true", "false"]);
}
