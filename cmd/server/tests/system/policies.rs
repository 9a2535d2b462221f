//! Rules that an agent's owner writes on the command line, as visitors meet them.

use http::{Method, Response};
use testkit::{
    origin::{Log, Origin, full},
    process::{Agent, Folder, Key, Server},
    visitor::Visitor,
};

use crate::tunnel::Tunnel;

#[tokio::test]
async fn fields_are_set_and_removed_in_both_directions() {
    let origin = Origin::serving(|request| async move {
        let cookie = request.headers().contains_key("cookie");
        let stage = request.headers().get_all("x-stage").iter();
        let stages: Vec<_> = stage
            .map(|stage| stage.to_str().unwrap().to_owned())
            .collect();
        let mut answer = Response::new(full(format!("{cookie} {stages:?}")));
        answer
            .headers_mut()
            .insert("server", "secret/1.0".parse().unwrap());
        answer
    });
    let options = [
        "--request-header",
        "X-Stage: test, one",
        "--remove-request-header",
        "Cookie",
        "--response-header",
        "X-Frame-Options: DENY",
        "--remove-response-header",
        "Server",
    ];
    let tunnel = Tunnel::asking(&options, origin.await).await;
    let fields = [("cookie", "a=1"), ("x-stage", "mine"), ("x-stage", "two")];
    let answer = tunnel.visitor().get_with("/", &fields).await;
    assert_eq!(answer.text(), "false [\"test, one\"]");
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    assert!(!answer.headers.contains_key("server"));
}

#[tokio::test]
async fn a_field_that_would_break_a_message_is_refused_before_anything_is_published() {
    let server = Server::start(&[]).await;
    let key = Key::made().await;
    for (field, code) in [
        ("X-A: 1\r\nX-B: 2", Some(2)),
        ("X-A: caf\u{7}", Some(2)),
        ("no colon", Some(2)),
        ("Host: other.example", Some(78)),
        ("X-Forwarded-For: 192.0.2.1", Some(78)),
        ("X A: 1", Some(78)),
    ] {
        let options = ["--request-header", field];
        let (ended, said) = Agent::turned_away(&server, "1", &key, &options).await;
        assert_eq!(ended, code, "{field:?}: {said}");
        assert!(said.contains("--request-header"), "{said}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_the_service_and_other_origins_are_not() {
    let log = Log::default();
    let options = [
        "--cors-origin",
        "https://app.example",
        "--cors-method",
        "PUT",
        "--cors-header",
        "X-Key",
    ];
    let tunnel = Tunnel::asking(&options, Origin::echo_into(log.clone()).await).await;
    let asks = |origin| {
        let visitor = tunnel.visitor();
        let fields = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-key"),
        ];
        async move { visitor.send_with(Method::OPTIONS, "/", &fields, "").await }
    };
    let granted = asks("https://app.example").await;
    assert_eq!(granted.status, 204);
    let field = |name: &str| granted.headers[name].to_str().unwrap().to_ascii_lowercase();
    assert_eq!(field("access-control-allow-origin"), "https://app.example");
    assert!(field("access-control-allow-methods").contains("put"));
    assert!(field("access-control-allow-headers").contains("x-key"));
    let other = asks("https://evil.example").await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    assert!(log.requests().is_empty(), "the service was not asked");

    let fields = [("origin", "https://app.example")];
    let read = tunnel.visitor().get_with("/", &fields).await;
    assert_eq!(
        read.headers["access-control-allow-origin"],
        "https://app.example"
    );
}

#[tokio::test]
async fn prefixes_are_taken_off_and_put_in_front() {
    let options = ["--strip-prefix", "/api", "--add-prefix", "/v2"];
    let tunnel = Tunnel::asking(&options, Origin::echo().await).await;
    for (asked, arrived) in [("/api/users?x=/api", "/v2/users?x=/api"), ("/api", "/v2/")] {
        let answer = tunnel.visitor().get(asked).await;
        let line = format!("GET {arrived}\n");
        assert!(
            answer.text().starts_with(&line),
            "{asked}: {}",
            answer.text()
        );
    }
    for outside in ["/", "/apis", "/API/users"] {
        let answer = tunnel.visitor().get(outside).await;
        assert_eq!(answer.error(), Some("path-not-published"), "{outside}");
    }
}

#[tokio::test]
async fn plain_http_is_sent_to_https_and_what_came_by_tls_passes() {
    let server = Server::configured("trusted_proxies = ['loopback']").await;
    let tunnel = Tunnel::through(server, &["--https-only"], Origin::echo().await).await;
    let plain = tunnel.visitor().get("/a?b").await;
    let host = tunnel.agent.host().split(':').next().unwrap();
    assert_eq!(plain.status, 301);
    assert_eq!(plain.headers["location"], format!("https://{host}/a?b"));
    assert_eq!(tunnel.visitor().post("/a", "x").await.status, 308);
    let secure = [("x-forwarded-proto", "https")];
    let answer = tunnel.visitor().get_with("/a", &secure).await;
    assert!(
        answer.text().contains("x-forwarded-proto: https"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn what_a_visitor_takes_compressed_is_compressed_when_asked_for() {
    async fn page() -> Origin {
        Origin::serving(|_| async {
            let mut answer = Response::new(full("all work and no play ".repeat(500)));
            let kind = "text/html".parse().unwrap();
            answer.headers_mut().insert("content-type", kind);
            answer
        })
        .await
    }
    let takes = [("accept-encoding", "gzip")];
    let tunnel = Tunnel::asking(&["--compress"], page().await).await;
    let small = tunnel.visitor().get_with("/", &takes).await;
    assert_eq!(small.headers["content-encoding"], "gzip");
    assert!(small.body.len() < 1000, "{}", small.body.len());
    for (tunnel, fields) in [
        (&tunnel, &[][..]),
        (&Tunnel::to(page().await).await, &takes),
    ] {
        let whole = tunnel.visitor().get_with("/", fields).await;
        assert!(!whole.headers.contains_key("content-encoding"));
        assert_eq!(whole.body.len(), 10_500);
    }
}

#[tokio::test]
async fn robots_are_sent_away_when_asked_for() {
    let tunnel = Tunnel::asking(&["--no-robots"], Origin::echo().await).await;
    let answer = tunnel.visitor().get("/").await;
    assert_eq!(answer.headers["x-robots-tag"], "noindex, nofollow");
    let plain = Tunnel::to(Origin::echo().await).await;
    let answer = plain.visitor().get("/").await;
    assert!(!answer.headers.contains_key("x-robots-tag"));
}

#[tokio::test]
async fn addresses_are_let_in_and_kept_out_by_what_a_trusted_proxy_says() {
    let log = Log::default();
    let server = Server::configured("trusted_proxies = ['loopback']").await;
    let options = [
        "--allow-ip",
        "192.0.2.0/24",
        "--allow-ip",
        "2001:db8::/32",
        "--deny-ip",
        "192.0.2.66",
    ];
    let tunnel = Tunnel::through(server, &options, Origin::echo_into(log.clone()).await).await;
    let from = |address| {
        let visitor = tunnel.visitor();
        async move { visitor.get_with("/", &[("x-forwarded-for", address)]).await }
    };
    for (address, status) in [
        ("192.0.2.1", 200),
        ("2001:db8::1", 200),
        ("6.6.6.6, 192.0.2.1", 200),
        ("192.0.2.66", 403),
        ("198.51.100.1", 403),
        // Only what the proxy itself saw counts.
        ("192.0.2.1, 198.51.100.1", 403),
    ] {
        assert_eq!(from(address).await.status, status, "{address}");
    }
    assert_eq!(log.requests().len(), 3, "who is kept out reaches nothing");
}

#[tokio::test]
async fn a_stranger_does_not_get_in_by_naming_an_address() {
    let tunnel = Tunnel::asking(&["--allow-ip", "192.0.2.0/24"], Origin::echo().await).await;
    let fields = [("x-forwarded-for", "192.0.2.1"), ("x-real-ip", "192.0.2.1")];
    let answer = tunnel.visitor().get_with("/", &fields).await;
    assert_eq!(
        (answer.status.as_u16(), answer.error()),
        (403, Some("forbidden"))
    );
}

#[tokio::test]
async fn an_agent_that_comes_back_with_other_rules_is_served_by_those() {
    let server = Server::start(&[]).await;
    let key = Key::made().await;
    let origin = Origin::echo().await;
    let closed = ["--deny-ip", "0.0.0.0/0"];
    let first = Agent::publish(&server, &origin.port(), &key, &closed).await;
    assert_eq!(first.visitor().get("/").await.status, 403);
    let second = Agent::publish(&server, &origin.port(), &key, &["--no-robots"]).await;
    let answer = second.visitor().get("/").await;
    assert_eq!(answer.headers["x-robots-tag"], "noindex, nofollow");
}

/// The signature that GitHub's own manual shows for its example.
const BODY: &str = "Hello, World!";
const SECRET: &str = "It's a Secret to Everybody";
const SIGNED: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

async fn delivers(visitor: &Visitor, signature: &str, body: &'static str) -> u16 {
    let fields = [
        ("x-hub-signature-256", signature),
        ("x-webhook-verified", "true"),
    ];
    let answer = visitor
        .send_with(Method::POST, "/hook", &fields, body)
        .await;
    answer.status.as_u16()
}

#[tokio::test]
async fn only_webhooks_that_github_signed_reach_the_service() {
    let (folder, log) = (Folder::empty(), Log::default());
    let file = folder.write("secrets", &format!("another\n{SECRET}\n"));
    let options = ["--verify-webhook", "github", "--webhook-secret-file", &file];
    let tunnel = Tunnel::asking(&options, Origin::echo_into(log.clone()).await).await;
    let visitor = tunnel.visitor();
    assert_eq!(delivers(&visitor, SIGNED, BODY).await, 200);
    assert_eq!(delivers(&visitor, SIGNED, "Hello, World?").await, 401);
    assert_eq!(delivers(&visitor, "sha256=00", BODY).await, 401);
    let unsigned = visitor.post("/hook", BODY).await;
    assert_eq!(unsigned.error(), Some("webhook-unverified"));
    let seen = log.requests();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].contains("x-webhook-verified"), "{}", seen[0]);
}

#[tokio::test]
async fn a_report_keeps_no_webhook_out_and_tells_the_service_which_was_signed() {
    let (folder, log) = (Folder::empty(), Log::default());
    let file = folder.write("secrets", SECRET);
    let options = [
        "--verify-webhook",
        "github",
        "--webhook-secret-file",
        &file,
        "--webhook-report-only",
    ];
    let tunnel = Tunnel::asking(&options, Origin::echo_into(log.clone()).await).await;
    for (signature, verdict) in [(SIGNED, "true"), ("sha256=00", "false")] {
        assert_eq!(delivers(&tunnel.visitor(), signature, BODY).await, 200);
        let seen = log.requests().pop().unwrap();
        let line = format!("x-webhook-verified: {verdict}\n");
        assert!(
            seen.contains(&line) && seen.matches("verified").count() == 1,
            "{seen}"
        );
    }
}
