//! Remotes that are not there, say nothing, or say what is no HTTP (7, 8, 47, 48, 52): the right error, and nothing is left.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bare::{Bare, Body, Config};
use bytes::Bytes;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use testkit::cluster::until_none;
use testkit::origin::Origin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::TaskTracker;

use crate::stage::{error, open, told};

#[tokio::test]
async fn each_failure_of_a_remote_has_the_code_and_id_of_the_specification() {
    let stage = open().await;
    let of_url = async |url: &str| {
        let fields = [("x-bare-url", url), ("x-bare-headers", r#"{"Host":"a"}"#)];
        stage.client.get_with("/v3/", &fields).await
    };
    let nobody = format!("http://127.0.0.1:{}/", testkit::port::Port::free().number());
    assert_eq!(
        error(&of_url(&nobody).await),
        told(500, "CONNECTION_REFUSED", "response")
    );
    let unknown = of_url("http://nothing.invalid/").await;
    assert_eq!(error(&unknown), told(500, "HOST_NOT_FOUND", "request"));
    for (answer, code) in [
        ("", "CONNECTION_RESET"),
        ("HTTP/1.1 200 OK\r\nhalf: a he", "CONNECTION_RESET"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "UNKNOWN"),
        ("HTTP/1.1 two hundred\r\n\r\n", "UNKNOWN"),
        ("HTTP/1.1 200 OK\r\nb@d name: x\r\n\r\n", "UNKNOWN"),
        ("HTTP/1.1 101 Surprise\r\n\r\n", "UNKNOWN"),
    ] {
        let origin = Origin::saying(answer).await;
        let told_of = of_url(&format!("http://{}/", origin.addr)).await;
        assert_eq!(error(&told_of), told(500, code, "response"), "{answer}");
        until_none(answer, || origin.connections()).await;
    }
    // What does not speak TLS, although it was to.
    let origin = Origin::accepting(|mut tcp| async move {
        tcp.write_all(b"220 Good morning\r\n").await.ok();
        tcp.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let tls = of_url(&format!("https://{}/", origin.addr)).await;
    assert_eq!(error(&tls), told(500, "IMPL_TLS_FAILED", "response"));
}

#[tokio::test]
async fn a_megabyte_of_headers_is_refused_and_its_connection_freed() {
    let stage = open().await;
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    for answer in [huge, many] {
        let origin = Origin::saying(answer).await;
        let answer = stage.v3(&origin, "/", "{}").await;
        assert_eq!(error(&answer), told(500, "UNKNOWN", "response"));
        until_none("the remote", || origin.connections()).await;
    }
}

/// A server in this process, with less patience than people have.
fn impatient() -> Bare {
    let mut config = Config::new(tunnel::ws::client_config(None).unwrap());
    config.rules.allow_private = true;
    config.timeouts.head = Duration::from_millis(300);
    config.timeouts.first_message = Duration::from_millis(300);
    Bare::new(config, &TaskTracker::new())
}

const VISITOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn asking(url: &str) -> Request<Body> {
    Request::get("/v3/")
        .header("x-bare-url", url)
        .header("x-bare-headers", "{}")
        .body(
            Full::new(Bytes::new())
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
        .unwrap()
}

async fn text(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_remote_that_never_answers_is_a_timeout() {
    let silent = Origin::accepting(|mut tcp| async move {
        let mut all = Vec::new();
        tcp.read_to_end(&mut all).await.ok();
    })
    .await;
    let bare = impatient();
    let url = format!("http://{}/", silent.addr);
    let (status, told) = text(bare.http(asking(&url), VISITOR).await).await;
    assert_eq!(status, 500);
    assert!(
        told.contains("\"CONNECTION_TIMEOUT\"") && told.contains("\"response\""),
        "{told}"
    );
    until_none("the silent remote", || silent.connections()).await;
}

#[tokio::test]
async fn a_client_who_never_says_where_to_is_closed() {
    let bare = impatient();
    let request = Request::get("/v3/").body(()).unwrap();
    let bare::Upgrade::Accepted { run, .. } = bare.socket(request, VISITOR).await else {
        panic!("version 3 accepts, and then listens")
    };
    let (mut near, far) = tokio::io::duplex(1024);
    let serving = run(Box::pin(far));
    let hearing = async {
        let mut close = [0; 2];
        near.read_exact(&mut close).await.unwrap();
        // A close frame without a code.
        assert_eq!(close, [0x88, 0]);
        drop(near);
    };
    tokio::join!(serving, hearing);
}

#[tokio::test]
async fn a_slow_upload_is_not_taken_for_a_silent_remote() {
    let origin = Origin::echo().await;
    let bare = impatient();
    let pieces = futures_util::stream::unfold(0, |sent| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (sent < 8).then(|| {
            let frame = hyper::body::Frame::data(Bytes::from_static(b"."));
            (Ok::<_, bare::BoxError>(frame), sent + 1)
        })
    });
    let request = Request::post("/v3/")
        .header("x-bare-url", format!("http://{}/", origin.addr))
        .header("x-bare-headers", r#"{"Host":"a"}"#)
        .body(http_body_util::StreamBody::new(pieces).boxed_unsync())
        .unwrap();
    let (status, told) = text(bare.http(request, VISITOR).await).await;
    assert_eq!(status, 200);
    assert!(told.ends_with("........"), "{told}");
}

#[tokio::test]
async fn the_access_log_names_visitor_remote_and_outcome_and_no_query() {
    let (origin, _) = crate::stage::remote(crate::stage::OK).await;
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut config = Config::new(tunnel::ws::client_config(None).unwrap());
    config.rules.allow_private = true;
    let kept = lines.clone();
    config.log = Some(Arc::new(move |access| {
        kept.lock().unwrap().push(access.clone());
    }));
    let bare = Bare::new(config, &TaskTracker::new());
    let url = format!("http://{}/a?secret=1", origin.addr);
    bare.http(asking(&url), VISITOR).await;
    bare.http(asking("http://127.0.0.1:1/"), VISITOR).await;
    let lines = lines.lock().unwrap();
    let shown = format!("http://{}/a", origin.addr);
    assert_eq!(
        (lines[0].remote.as_deref(), &lines[0].outcome),
        (Some(&*shown), &Ok(200))
    );
    assert_eq!(lines[1].outcome, Err("CONNECTION_REFUSED"));
    assert!(
        lines[0]
            .to_string()
            .starts_with(&format!("127.0.0.1 v3 GET {shown} 200 "))
    );
}

#[tokio::test]
async fn garbage_behind_an_upgrade_ends_the_socket_and_the_server_stays() {
    let stage = open().await;
    let mut raw = stage.client.raw().await;
    raw.say(
        "GET /v3/ HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    raw.until("\r\n\r\n").await;
    raw.try_send(&[0xff; 64]).await;
    raw.rest().await;
    assert_eq!(stage.client.get("/").await.status, 200);
}
