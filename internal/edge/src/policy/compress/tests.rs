//! What is compressed, how, and what is left alone.

use tokio_util::task::TaskTracker;

use super::MAX_CODERS;
use crate::{
    config::Config,
    policy::{
        Policies,
        trial::{Answered, Trial},
    },
};

const POLICY: &str = r#"{"compress":true}"#;
const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

fn text() -> String {
    "All work and no play makes Jack a dull boy. ".repeat(200)
}

async fn asked(fields: &[(&str, &str)], accept: &str) -> Answered {
    let trial = Trial::of(POLICY).serving(fields, &text());
    trial.get("/").with("accept-encoding", accept).send().await
}

#[tokio::test]
async fn a_text_is_compressed_as_the_visitor_prefers() {
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("gzip;q=0.5, br", "br"),
        ("br;q=0, gzip", "gzip"),
        ("identity;q=0.1, gzip;q=1.0", "gzip"),
    ] {
        let answer = asked(&[HTML], accept).await;
        assert_eq!(answer.headers()["content-encoding"], coding, "{accept}");
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        assert!(!answer.headers().contains_key("content-length"));
        let size = answer.text().await.len();
        assert!(size < text().len() / 4, "{size} bytes of {accept}");
    }
}

#[tokio::test]
async fn who_does_not_ask_for_it_gets_it_as_it_is_and_caches_learn_why() {
    for accept in ["", "identity", "zstd", "gzip;q=0, br;q=0"] {
        let answer = asked(&[HTML], accept).await;
        assert!(!answer.headers().contains_key("content-encoding"));
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        assert_eq!(answer.text().await, text().as_bytes());
    }
}

#[tokio::test]
async fn a_visitor_who_takes_nothing_at_all_is_not_sent_away() {
    let answer = asked(&[HTML], "identity;q=0, *;q=0").await;
    assert_eq!(answer.status(), Ok(200));
    assert_eq!(answer.text().await, text().as_bytes());
}

#[tokio::test]
async fn what_must_not_change_is_left_alone() {
    for fields in [
        &[HTML, ("content-encoding", "br")][..],
        &[HTML, ("cache-control", "private, no-transform")],
        &[HTML, ("content-range", "bytes 0-9/10")],
        &[HTML, ("content-digest", "sha-256=:AAAA:")],
        &[("content-type", "text/event-stream")],
        &[("content-type", "image/png")],
        &[("content-type", "application/octet-stream")],
        &[("content-type", "application/grpc")],
        &[HTML, ("content-length", "1023")],
        &[],
    ] {
        let answer = asked(fields, "gzip, br").await;
        let coding = answer.headers().get("content-encoding");
        assert!(coding.is_none_or(|coding| coding == "br"), "{fields:?}");
        assert!(!answer.headers().contains_key("vary"), "{fields:?}");
        assert_eq!(answer.text().await, text().as_bytes(), "{fields:?}");
    }
}

#[tokio::test]
async fn responses_without_a_body_of_their_own_keep_their_fields() {
    for status in [204, 205, 206, 304] {
        let trial = Trial::of(POLICY).serving(&[HTML], &text()).status(status);
        let answer = trial.get("/").with("accept-encoding", "gzip").send().await;
        assert!(
            !answer.headers().contains_key("content-encoding"),
            "{status}"
        );
    }
    let trial = Trial::of(POLICY).serving(&[HTML, ("content-length", "4096")], "");
    let head = trial
        .ask("HEAD", "/")
        .with("accept-encoding", "gzip")
        .send()
        .await;
    assert_eq!(head.headers()["content-length"], "4096");
    let old = trial
        .get("/")
        .http_10()
        .with("accept-encoding", "gzip")
        .send()
        .await;
    assert!(!old.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn a_strong_validator_becomes_a_weak_one() {
    let strong = asked(&[HTML, ("etag", "\"v1\"")], "gzip").await;
    assert_eq!(strong.headers()["etag"], "W/\"v1\"");
    let weak = asked(&[HTML, ("etag", "W/\"v1\"")], "gzip").await;
    assert_eq!(weak.headers()["etag"], "W/\"v1\"");
    let plain = asked(&[HTML, ("etag", "\"v1\"")], "identity").await;
    assert_eq!(plain.headers()["etag"], "\"v1\"");
}

#[tokio::test]
async fn what_a_policy_sets_on_a_response_counts() {
    let policy =
        r#"{"compress":true,"response_headers":{"set":[["Cache-Control","no-transform"]]}}"#;
    let trial = Trial::of(policy).serving(&[HTML], &text());
    let answer = trial.get("/").with("accept-encoding", "gzip").send().await;
    assert!(!answer.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn as_many_are_compressed_at_a_time_as_there_is_memory_for() {
    let shared = Policies::new(&Config::default(), TaskTracker::new()).shared;
    let trial = Trial::sharing(POLICY, &shared).serving(&[HTML], &text());
    let ask = async || trial.get("/").with("accept-encoding", "gzip").send().await;
    let mut under_way = Vec::new();
    for _ in 0..MAX_CODERS {
        let answer = ask().await;
        assert!(answer.headers().contains_key("content-encoding"));
        under_way.push(answer);
    }
    let beyond = ask().await;
    assert!(!beyond.headers().contains_key("content-encoding"));
    assert_eq!(beyond.text().await, text().as_bytes());
    under_way.pop();
    assert!(ask().await.headers().contains_key("content-encoding"));
}
