//! Rules on addresses, schemes, paths, fields and codings, and how a policy comes
//! and goes.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use messages::PolicyId;
use tokio::time::timeout;

use crate::{
    house::{House, PATIENCE},
    passwords::UPGRADE,
};

#[tokio::test]
async fn addresses_are_those_that_trusted_proxies_tell() {
    let house = House::with(r#"{"allow_ips":["198.51.100.0/24"]}"#).await;
    let inside = house.get("/", &[("x-forwarded-for", "198.51.100.9")]).await;
    assert_eq!(inside.status, StatusCode::OK);
    for fields in [
        &[][..],
        &[("x-forwarded-for", "192.0.2.1")],
        // What is left of an untrusted address is that address's own word.
        &[("x-forwarded-for", "198.51.100.9, 192.0.2.1")],
    ] {
        let outside = house.get("/", fields).await;
        assert_eq!(outside.status, StatusCode::FORBIDDEN);
        assert_eq!(outside.error(), "forbidden");
    }
    assert_eq!(house.agent.asked().len(), 1);
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let house = House::with(r#"{"https_only":true}"#).await;
    let moved = house.get("/a?b", &[]).await;
    assert_eq!(moved.status, StatusCode::MOVED_PERMANENTLY);
    let location = format!("https://{}/a?b", House::host());
    assert_eq!(moved.headers["location"], location);
    let posted = house.send("POST", "/a", &[], "x").await;
    assert_eq!(posted.status, StatusCode::PERMANENT_REDIRECT);
    assert!(house.agent.asked().is_empty());
    let secure = house.get("/a", &[("x-forwarded-proto", "https")]).await;
    assert_eq!(secure.status, StatusCode::OK);
}

#[tokio::test]
async fn prefixes_and_fields_change_what_the_service_sees() {
    let policy = r#"{"strip_prefix":"/api","add_prefix":"/v2","request_headers":{"set":[["X-Env","dev"]],"remove":["Cookie"]},
        "response_headers":{"set":[["X-Frame-Options","DENY"]],"remove":["X-Service"]},"no_robots":true}"#;
    let house = House::with(policy).await;
    let fields = [("cookie", "a=b"), ("x-forwarded-for", "198.51.100.9")];
    let answer = house.get("/api/users?a=../b", &fields).await;
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    assert_eq!(answer.headers["x-robots-tag"], "noindex, nofollow");
    assert!(!answer.headers.contains_key("x-service"));
    let (head, _) = house.agent.asked().remove(0);
    assert_eq!(head.target.as_str(), "/v2/users?a=../b");
    assert_eq!(head.headers["x-env"], "dev");
    assert!(!head.headers.contains_key("cookie"));
    // Who asked is written after all rules.
    assert_eq!(head.headers["x-forwarded-for"], "198.51.100.9");
    assert_eq!(head.headers["via"], "1.1 adit");
    let outside = house.get("/admin", &[]).await;
    assert_eq!(
        (outside.status, outside.error()),
        (StatusCode::NOT_FOUND, "path-not-published")
    );
    assert!(
        !outside.headers.contains_key("x-frame-options"),
        "our own page is as it is"
    );
}

#[tokio::test]
async fn preflights_are_answered_without_the_agent() {
    let house =
        House::with(r#"{"cors":{"origins":["https://app.example"],"methods":["PUT"]}}"#).await;
    let fields = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PUT"),
    ];
    let preflight = house.send("OPTIONS", "/", &fields, "").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(
        preflight.headers["access-control-allow-origin"],
        "https://app.example"
    );
    assert!(house.agent.asked().is_empty());
    let get = house.get("/", &[("origin", "https://app.example")]).await;
    assert_eq!(
        get.headers["access-control-allow-origin"],
        "https://app.example"
    );
}

#[tokio::test]
async fn what_is_compressed_is_not_held_back() {
    let house = House::with(r#"{"compress":true}"#).await;
    for coding in ["gzip", "br"] {
        let mut visitor = house.visitor().await;
        let mut slow = visitor
            .ask("GET", "/slow", &[("accept-encoding", coding)], "")
            .await;
        assert_eq!(slow.headers()["content-encoding"], coding);
        // The service has said one line and waits: what is coded of it must come.
        let first = timeout(PATIENCE, slow.body_mut().frame()).await;
        assert!(
            first
                .expect("the first line does not wait for the second")
                .is_some()
        );
        house.agent.go_on.notify_one();
        let rest = timeout(PATIENCE, slow.into_body().collect()).await;
        assert!(!rest.expect("it ends").unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn an_event_stream_is_not_compressed() {
    let house = House::with(r#"{"compress":true}"#).await;
    house.agent.go_on.notify_one();
    let stream = house.get("/events", &[("accept-encoding", "gzip")]).await;
    assert!(!stream.headers.contains_key("content-encoding"));
    assert_eq!(stream.body, "data: one\n\ndata: two\n\n");
}

#[tokio::test]
async fn an_agent_that_comes_back_with_another_policy_is_served_by_that() {
    let house = House::with(r#"{"deny_ips":["127.0.0.1"]}"#).await;
    let mut visitor = house.visitor().await;
    let ask = async |visitor: &mut crate::house::Visitor| {
        let response = visitor.ask("GET", "/", &[], "").await;
        let status = response.status();
        response.into_body().collect().await.unwrap();
        status
    };
    assert_eq!(ask(&mut visitor).await, StatusCode::FORBIDDEN);
    house.announce(2, r#"{"no_robots":true}"#).await;
    assert_eq!(ask(&mut visitor).await, StatusCode::OK);
    house.announce(3, "{}").await;
    assert_eq!(ask(&mut visitor).await, StatusCode::OK);
    house.announce(4, r#"{"deny_ips":["127.0.0.1"]}"#).await;
    assert_eq!(ask(&mut visitor).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nobody_gets_in_by_rules_that_are_not_understood() {
    let house = House::with("{}").await;
    for (link, document) in [
        (2, &b"{\"no_robots\":true}"[..]),
        (3, b"{\"rule_of_next_year\":true}"),
        (4, b"no JSON"),
    ] {
        let name = match link {
            // The name of something else.
            2 => PolicyId([9; 32]),
            _ => PolicyId(<sha2::Sha256 as sha2::Digest>::digest(document).into()),
        };
        house
            .announce_as(link, name, Bytes::from_static(document))
            .await;
        let refused = house.get("/", &[]).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.error(), "policy-unavailable");
        assert_eq!(refused.headers["retry-after"], "1");
    }
    assert!(house.agent.asked().is_empty());
}

#[tokio::test]
async fn a_websocket_is_accepted_with_the_fields_of_the_policy() {
    let policy = r#"{"response_headers":{"set":[["X-Frame-Options","DENY"]],"remove":["X-Service"]},
        "no_robots":true,"compress":true,"cors":{"origins":["*"]}}"#;
    let house = House::with(policy).await;
    let mut visitor = house.visitor().await;
    let accepted = visitor.ask("GET", "/socket", &UPGRADE, "").await;
    assert_eq!(accepted.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut names: Vec<_> = accepted
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect();
    names.sort_unstable();
    let expected = [
        "connection",
        "date",
        "sec-websocket-accept",
        "upgrade",
        "x-frame-options",
    ];
    assert_eq!(names, expected);
}
