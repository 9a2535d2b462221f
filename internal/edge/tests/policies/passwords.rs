//! A password before requests, event streams and WebSockets alike.

use std::sync::OnceLock;

use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use data_encoding::BASE64_NOPAD;
use exchange::socket::{Said, Socket};
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, ext::Protocol};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, offering};

/// Everybody who knows `sesame`.
pub(crate) fn policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let salt = b"salt of the test";
        let mut digest = [0; 32];
        let params = Params::new(19 * 1024, 2, 1, Some(32)).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(b"sesame", salt, &mut digest)
            .unwrap();
        let (salt, digest) = (BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(&digest));
        format!(
            r#"{{"basic_auth":{{"credentials":[{{"hash":"$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}"}}]}}}}"#
        )
    })
}

pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn a_password_is_asked_for_and_taken_out() {
    let house = House::with(policy()).await;
    let refused = house.get("/", &[]).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.error(), "password-required");
    assert_eq!(
        refused.headers["www-authenticate"],
        "Basic realm=\"adit\", charset=\"UTF-8\""
    );
    let wrong = house.get("/", &[("authorization", &offering("a:b"))]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(
        house.agent.asked().is_empty(),
        "nothing has reached the agent"
    );

    let right = house
        .get("/", &[("authorization", &offering("a:sesame"))])
        .await;
    assert_eq!(
        (right.status, &right.body[..]),
        (StatusCode::OK, &b"<p>hello</p>"[..])
    );
    let asked = house.agent.asked();
    assert!(!asked[0].0.headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_body_behind_a_wrong_password_goes_nowhere() {
    let house = House::with(policy()).await;
    let fields = [
        ("authorization", &*offering("a:b")),
        ("expect", "100-continue"),
    ];
    let refused = house.send("POST", "/", &fields, "secret").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let fields = [("authorization", &*offering("a:sesame"))];
    let right = house.send("POST", "/", &fields, "secret").await;
    assert_eq!(right.status, StatusCode::OK);
    let bodies: Vec<Bytes> = house
        .agent
        .asked()
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert_eq!(bodies, ["secret"]);
}

#[tokio::test]
async fn an_event_stream_needs_the_password_and_then_flows() {
    let house = House::with(policy()).await;
    let refused = house.get("/events", &[]).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let mut visitor = house.visitor().await;
    let fields = [("authorization", &*offering("a:sesame"))];
    let mut stream = visitor.ask("GET", "/events", &fields, "").await;
    assert_eq!(next(&mut stream).await, "data: one\n\n");
    house.agent.go_on.notify_one();
    assert_eq!(next(&mut stream).await, "data: two\n\n");
}

async fn next(stream: &mut Response<Incoming>) -> Bytes {
    let frame = timeout(PATIENCE, stream.body_mut().frame()).await;
    let frame = frame
        .expect("the stream goes on")
        .expect("it has not ended");
    frame.unwrap().into_data().unwrap()
}

#[tokio::test]
async fn a_websocket_without_the_password_is_refused_with_401() {
    let house = House::with(policy()).await;
    let mut visitor = house.visitor().await;
    let refused = visitor.ask("GET", "/socket", &UPGRADE, "").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(house.agent.asked().is_empty());
}

#[tokio::test]
async fn a_websocket_with_the_password_is_carried() {
    let house = House::with(policy()).await;
    let mut visitor = house.visitor().await;
    let password = offering("a:sesame");
    let mut fields = UPGRADE.to_vec();
    fields.push(("authorization", &password));
    let accepted = visitor.ask("GET", "/socket", &fields, "").await;
    assert_eq!(accepted.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        accepted.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    echoes(accepted).await;
    assert!(!house.agent.asked()[0].0.headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_websocket_over_http2_needs_the_password_too() {
    let house = House::with(policy()).await;
    let mut visitor = house.visitor_h2().await;
    let connect = |authorization: Option<String>| {
        let mut request = Request::builder()
            .method("CONNECT")
            .uri(format!("http://{}/socket", House::host()))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.body(Full::<Bytes>::default()).unwrap()
    };
    // The first exchange brings the settings that allow extended CONNECT.
    let uri = format!("http://{}/", House::host());
    let get = Request::get(uri).body(Full::default()).unwrap();
    let refused = visitor.sender.send_request(get).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let refused = visitor.sender.send_request(connect(None)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(house.agent.asked().is_empty());
    let right = connect(Some(offering("a:sesame")));
    let accepted = visitor.sender.send_request(right).await.unwrap();
    assert_eq!(accepted.status(), StatusCode::OK);
    echoes(accepted).await;
}

async fn echoes(accepted: Response<Incoming>) {
    let upgraded = hyper::upgrade::on(accepted).await.unwrap();
    let mut socket = Socket::client(TokioIo::new(upgraded), None).await;
    let hello = Said::Message {
        data: Bytes::from_static(b"hello"),
        text: true,
        more: false,
    };
    socket.send(hello.clone()).await.unwrap();
    let echo = timeout(PATIENCE, socket.next())
        .await
        .expect("an echo in time");
    assert_eq!(echo, Some(Ok(hello)));
}

#[tokio::test]
async fn an_address_that_guesses_is_told_when_to_come_back() {
    let house = House::with(policy()).await;
    let guess = |n: usize, from: &'static str| {
        let house = &house;
        async move {
            let password = offering(&format!("a:guess{n}"));
            let fields = [("authorization", &*password), ("x-forwarded-for", from)];
            house.get("/", &fields).await
        }
    };
    for n in 0..10 {
        assert_eq!(
            guess(n, "198.51.100.1").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let stopped = guess(10, "198.51.100.1").await;
    assert_eq!(stopped.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(stopped.error(), "too-many-passwords");
    let seconds: u32 = stopped.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=6).contains(&seconds));
    let other = guess(11, "198.51.100.2").await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_a_policy_authorization_reaches_the_service() {
    let house = House::with("{}").await;
    let password = offering("a:b");
    house.get("/", &[("authorization", &password)]).await;
    assert_eq!(house.agent.asked()[0].0.headers[AUTHORIZATION], password);
}
