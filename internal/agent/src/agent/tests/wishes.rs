//! What an agent asks for: which hostname, with which proof and which policy.

use identity::{granted_host_id, join};
use messages::{Policy, Secret};

use super::*;
use crate::Hostname;
use crate::testing::DOMAIN;

/// What a server hears of an agent configured like this, which must be content with what it grants.
async fn claimed(change: impl FnOnce(&mut Config)) -> Claims {
    let mut life = Life::begin(0, change);
    let (mut server, claims) = life.admit().await;
    answers(&mut server).await;
    claims
}

#[tokio::test(start_paused = true)]
async fn a_label_becomes_a_host_of_the_domain_that_the_server_tells() {
    for (hostname, host) in [
        (Hostname::Label("blog".to_owned()), format!("blog.{DOMAIN}")),
        (
            Hostname::Label("*.blog".to_owned()),
            format!("*.blog.{DOMAIN}"),
        ),
        (Hostname::Base, DOMAIN.to_owned()),
        (
            Hostname::Custom("app.example.org".to_owned()),
            "app.example.org".to_owned(),
        ),
    ] {
        for pinned in [None, Some(DOMAIN.to_owned())] {
            let claims = claimed(|config| {
                config.hostname = hostname.clone();
                config.expect_domain = pinned;
            })
            .await;
            assert_eq!((claims.host.as_deref(), claims.name), (Some(&*host), None));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_named_tunnel_and_a_readable_name_are_asked_for_by_claims_of_their_own() {
    let named = claimed(|config| config.hostname = Hostname::Named("photos".to_owned())).await;
    assert_eq!(named.name.as_deref(), Some("photos"));
    let auto = claimed(|config| config.hostname = Hostname::Auto).await;
    assert!(auto.auto && auto.host.is_none() && auto.name.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pin_keeps_a_label_from_being_claimed_under_another_domain() {
    let mut life = Life::begin(0, |config| {
        config.hostname = Hostname::Label("blog".to_owned());
        config.expect_domain = Some("other.example".to_owned());
    });
    assert!(life.meet_at(&Site::of(7, 1)).await.is_none());
    assert!(matches!(life.end().await, Err(AgentError::Foreign(_))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_no_domain_is_asked_again_like_any_that_fails() {
    let mut life = Life::begin(0, |config| {
        config.hostname = Hostname::Base;
        config.no_retry = true;
    });
    drop(life.links.recv().await.unwrap());
    let error = life.end().await.unwrap_err();
    assert!(
        matches!(error, AgentError::Failed(LinkError::Register(_))),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_host_than_the_one_asked_for_is_refused() {
    let mut life = Life::begin(0, |config| config.hostname = Hostname::Base);
    let elsewhere = Site {
        grants: Some("blog.tunnels.example".to_owned()),
        ..Site::of(7, 1)
    };
    let _server = life.admit_at(&elsewhere).await;
    let ended = life.end().await;
    assert!(matches!(ended, Err(AgentError::Foreign(_))), "{ended:?}");
    let granted = granted_host_id("blog.tunnels.example").unwrap();
    assert!(ended.unwrap_err().to_string().contains(&granted.label()));
}

#[tokio::test(start_paused = true)]
async fn the_join_token_is_proved_on_each_link_and_never_said() {
    let mut life = Life::begin(0, |config| config.token = Some(Secret::new("open sesame")));
    let mut proofs = Vec::new();
    for _ in 0..2 {
        let (server, claims) = life.admit().await;
        let proof = claims.join.unwrap();
        let aud = &claims.aud;
        assert!(join::verify(&proof, b"open sesame", &claims.nonce, aud));
        assert!(!format!("{claims:?}").contains("sesame"));
        proofs.push(proof);
        drop(server);
    }
    assert_ne!(proofs[0], proofs[1]);
    assert_eq!(claimed(|_| ()).await.join, None);
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_among_what_is_signed() {
    let policy = Policy::from_json(br#"{"no_robots":true}"#).unwrap();
    let signed = claimed(|config| config.policy = Some(policy)).await;
    assert_eq!(
        signed.policy,
        Some(serde_json::from_str(r#"{"no_robots":true}"#).unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_reached_is_told() {
    let mut life = Life::begin(0, |_| ());
    let (mut server, _) = life.admit().await;
    let notice = messages::Notice {
        code: messages::NoticeCode::RequestRate,
        message: "more than 50 a second\u{7}".to_owned(),
    };
    server.say(notice.encode()).await;
    life.until(|event| match event {
        Event::Notice(heard) => heard.message == "more than 50 a second\u{fffd}",
        _ => false,
    })
    .await;
}
