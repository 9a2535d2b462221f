//! Tunnels behind a password, over HTTP, event streams and WebSockets: whoever does not know it gets nowhere, as the
//! service's own log shows, and the service never learns it.

use bytes::Bytes;
use futures_util::{SinkExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use testkit::{
    origin::{Log, Origin, written},
    process::{Agent, Folder, Key, Server},
    socket::{Message, echo, hear},
    visitor::Answer,
};

use crate::tunnel::Tunnel;

/// ann:sesame
const RIGHT: &str = "Basic YW5uOnNlc2FtZQ==";
/// ann:simsim
const WRONG: &str = "Basic YW5uOnNpbXNpbQ==";
/// bob:sesame
const STRANGER: &str = "Basic Ym9iOnNlc2FtZQ==";

/// A tunnel to `origin` for those whom these lines name.
async fn behind(lines: &str, origin: Origin) -> (Tunnel, Folder) {
    let folder = Folder::empty();
    let file = folder.write("visitors", lines);
    let tunnel = Tunnel::asking(&["--basic-auth-file", &file], origin).await;
    (tunnel, folder)
}

/// The answer to a request with these credentials.
async fn with(tunnel: &Tunnel, credentials: &str) -> Answer {
    let fields = [("authorization", credentials)];
    tunnel.visitor().get_with("/", &fields).await
}

/// What reached the service: one request, without a word of the password.
fn only_one_without_credentials(log: &Log) {
    let seen = log.requests();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(!seen[0].contains("authorization"), "{}", seen[0]);
}

#[tokio::test]
async fn a_wrong_password_never_reaches_the_service_and_a_right_one_is_taken_off() {
    let log = Log::default();
    let (tunnel, _folder) = behind("ann:sesame\n", Origin::echo_into(log.clone()).await).await;
    for fields in [
        &[][..],
        &[("authorization", WRONG)],
        &[("authorization", STRANGER)],
        &[("authorization", "Bearer sesame")],
    ] {
        let refused = tunnel.visitor().get_with("/", fields).await;
        assert_eq!(refused.error(), Some("password-required"), "{fields:?}");
        assert_eq!(refused.status, 401);
        let asks = &refused.headers["www-authenticate"];
        assert!(asks.to_str().unwrap().starts_with("Basic realm="));
    }
    let lower = RIGHT.replace("Basic", "basic");
    assert_eq!(with(&tunnel, &lower).await.status, 200);
    only_one_without_credentials(&log);
}

#[tokio::test]
async fn a_password_without_a_user_is_good_for_any_and_may_have_colons() {
    let (tunnel, _folder) = behind(":open: sesame\n", Origin::echo().await).await;
    // bob:open: sesame
    let fields = [("authorization", "Basic Ym9iOm9wZW46IHNlc2FtZQ==")];
    assert_eq!(tunnel.visitor().get_with("/", &fields).await.status, 200);
    assert_eq!(tunnel.visitor().get("/").await.status, 401);
}

#[tokio::test]
async fn an_event_stream_needs_the_password_too() {
    let log = Log::default();
    let seen = log.clone();
    let events = Origin::serving(move |request| {
        seen.write(written(&request));
        async move {
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"data: one\n\n")))]);
            let body = StreamBody::new(futures_util::StreamExt::chain(first, stream::pending()));
            let mut answer = Response::new(BodyExt::boxed_unsync(body));
            let kind = "text/event-stream".parse().unwrap();
            answer.headers_mut().insert("content-type", kind);
            answer
        }
    });
    let (tunnel, _folder) = behind("ann:sesame\n", events.await).await;
    assert_eq!(with(&tunnel, WRONG).await.status, 401);
    let request = Request::get("/").header("authorization", RIGHT);
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let (mut answer, _connection) = tunnel.visitor().open(request).await;
    let event = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(event.into_data().unwrap(), "data: one\n\n");
    only_one_without_credentials(&log);
}

#[tokio::test]
async fn a_websocket_needs_the_password_too() {
    let log = Log::default();
    let seen = log.clone();
    let sockets = Origin::sockets(move |mut socket, request| {
        seen.write(written(&request));
        async move { echo(&mut socket).await }
    });
    let (tunnel, _folder) = behind("ann:sesame\n", sockets.await).await;
    for fields in [&[][..], &[("authorization", WRONG)]] {
        let refused = tunnel.visitor().socket("/", fields).await.unwrap_err();
        assert_eq!(refused.status(), 401);
    }
    let visitor = tunnel.visitor();
    let opened = visitor.socket("/", &[("authorization", RIGHT)]).await;
    let (mut socket, _) = opened.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("hello"));
    only_one_without_credentials(&log);
}

#[tokio::test]
async fn without_a_password_credentials_are_the_services_own_affair() {
    let tunnel = Tunnel::to(Origin::echo().await).await;
    for credentials in [WRONG, "Bearer token", "basic"] {
        let answer = with(&tunnel, credentials).await;
        let line = format!("authorization: {credentials}\n");
        assert!(answer.text().contains(&line), "{}", answer.text());
    }
}

#[tokio::test]
async fn who_guesses_is_told_to_wait() {
    let (tunnel, _folder) = behind("ann:sesame\n", Origin::echo().await).await;
    let mut answers = Vec::new();
    // ann:guess000 and what follows: the same one twice would be no second guess.
    for last in "wxyz01234567".chars() {
        let credentials = format!("Basic YW5uOmd1ZXNzMDA{last}");
        answers.push(with(&tunnel, &credentials).await);
    }
    let last = answers.pop().unwrap();
    assert_eq!(last.error(), Some("too-many-passwords"));
    assert_eq!(last.status, 429);
    assert!(last.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn no_log_has_a_password_or_its_hash() {
    let folder = Folder::empty();
    let file = folder.write("visitors", "ann:sesame\n");
    let options = ["--basic-auth-file", &file, "-vvv"];
    let server = Server::start(&["-vvv"]).await;
    let origin = Origin::echo().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
    let visitor = agent.visitor();
    let answer = visitor.get_with("/", &[("authorization", RIGHT)]).await;
    assert_eq!(answer.status, 200);
    for program in [&server.program, &agent.program] {
        for secret in ["sesame", "YW5uOnNlc2FtZQ", "$argon2id"] {
            assert_eq!(program.said(secret), 0, "{secret}");
        }
    }
}
