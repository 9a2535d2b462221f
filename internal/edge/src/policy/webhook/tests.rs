//! What a signature opens, and what the service hears of it.

use data_encoding::HEXLOWER;
use hmac::Mac;

use super::*;
use crate::policy::trial::{Asking, Trial};

const REFUSE: &str = r#"{"webhook":{"provider":"github","secrets":["old","new"]}}"#;
const REPORT: &str = r#"{"webhook":{"provider":"github","secrets":["new"],"report_only":true}}"#;

fn signed(asking: Asking, secret: &str, body: &str) -> Asking {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let digest = mac.chain_update(body).finalize().into_bytes();
    let signature = format!("sha256={}", HEXLOWER.encode(&digest));
    asking.with("x-hub-signature-256", &signature)
}

#[tokio::test]
async fn a_body_signed_with_any_of_the_secrets_reaches_the_service_whole() {
    let trial = Trial::of(REFUSE);
    for secret in ["old", "new"] {
        let answer = signed(trial.post("/hook", "{\"a\":1}"), secret, "{\"a\":1}")
            .send()
            .await;
        assert_eq!(answer.status(), Ok(200));
        assert_eq!(answer.request().body(), "{\"a\":1}");
        assert_eq!(answer.request().headers()["content-length"], "7");
    }
    let empty = signed(trial.get("/hook"), "new", "").send().await;
    assert_eq!(empty.status(), Ok(200));
}

#[tokio::test]
async fn what_is_not_signed_reaches_nobody() {
    let trial = Trial::of(REFUSE);
    for asking in [
        trial.post("/hook", "{}"),
        signed(trial.post("/hook", "{}"), "other", "{}"),
        signed(trial.post("/hook", "{ }"), "new", "{}"),
        signed(signed(trial.post("/hook", "{}"), "new", "{}"), "new", "{}"),
        trial.get("/hook"),
    ] {
        let answer = asking.send().await;
        assert!(matches!(
            answer.status(),
            Err(Failure::WebhookUnverified(_))
        ));
        assert!(!answer.reached_the_service());
    }
}

#[tokio::test]
async fn where_nothing_is_refused_the_service_is_told() {
    let trial = Trial::of(REPORT);
    for (secret, verdict) in [("new", "true"), ("other", "false")] {
        let asking = signed(trial.post("/hook", "{}"), secret, "{}");
        let answer = asking.with("x-webhook-verified", "true").send().await;
        let told = answer.request().headers().get_all(VERIFIED).iter();
        assert_eq!(told.collect::<Vec<_>>(), [verdict]);
        assert_eq!(answer.request().body(), "{}");
    }
    let unsigned = trial.post("/hook", "{}").send().await;
    assert_eq!(unsigned.request().headers()[VERIFIED], "false");
    assert_eq!(unsigned.request().body(), "{}");
}

#[tokio::test]
async fn a_visitor_does_not_verify_himself() {
    let asking = signed(Trial::of(REFUSE).post("/hook", "{}"), "new", "{}");
    let answer = asking.with("x-webhook-verified", "true").send().await;
    assert!(!answer.request().headers().contains_key(VERIFIED));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_as_such() {
    let large = "x".repeat(512_001);
    let answer = signed(Trial::of(REFUSE).post("/", &large), "new", &large)
        .send()
        .await;
    assert_eq!(
        answer.status(),
        Err(Failure::RequestTooLarge(Some(512_000)))
    );
}

#[tokio::test]
async fn what_the_policy_removes_was_there_when_the_signature_was_checked() {
    let policy = r#"{"webhook":{"provider":"github","secrets":["new"]},
        "request_headers":{"remove":["X-Hub-Signature-256"]},"add_prefix":"/in"}"#;
    let answer = signed(Trial::of(policy).post("/hook", "{}"), "new", "{}")
        .send()
        .await;
    assert_eq!(answer.request().uri(), "/in/hook");
    assert!(
        !answer
            .request()
            .headers()
            .contains_key("x-hub-signature-256")
    );
}

/// The time is the rule's to be told.
#[tokio::test]
async fn a_signature_of_another_time_is_refused() {
    let policy = br#"{"webhook":{"provider":"stripe","secrets":["whsec"],"tolerance":60}}"#;
    let policy = Policy::from_json(policy).unwrap();
    let holding = Holding::new(&crate::config::Config::default());
    let mut rule = Webhook::of(&policy, &holding).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(b"whsec").unwrap();
    let digest = mac.chain_update("1000.{}").finalize().into_bytes();
    let value = format!("t=1000,v1={}", HEXLOWER.encode(&digest));
    for (now, fits) in [(940, true), (1060, true), (1061, false), (939, false)] {
        rule.clock = Arc::new(move || now);
        let trial = Trial::of("{}");
        let asking = trial.post("/", "{}").with("stripe-signature", &value);
        let mut call = asking.call();
        let verified = rule.verify(&mut call).await.unwrap();
        assert_eq!(verified.is_ok(), fits, "at {now}");
    }
}
