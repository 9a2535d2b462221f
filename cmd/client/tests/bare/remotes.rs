//! The remote request and what comes back of it (10 to 13, 53).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use testkit::cluster::until_none;
use testkit::origin::{Origin, full, read_head};
use testkit::visitor::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::stage::{OK, open, remote};

#[tokio::test]
async fn the_remote_hears_what_the_client_wrote_in_its_case_and_order_and_nothing_else() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    let headers = r#"{"HoSt":"odd.example","X-One":"1","x-LIST":["a","b"],"Connection":"close","Content-Length":"5","Transfer-Encoding":"gzip","User-Agent":""}"#;
    let answer = stage.v3(&origin, "/p?q=%20", headers).await;
    assert_eq!(answer.text(), "hi");
    let wanted = "GET /p?q=%20 HTTP/1.1\r\nHoSt: odd.example\r\nX-One: 1\r\nx-LIST: a\r\nx-LIST: b\r\nUser-Agent: \r\n\r\n";
    assert_eq!(heard.last(), wanted);
    // Not even a Host.
    stage.v3(&origin, "/", "{}").await;
    assert_eq!(heard.last(), "GET / HTTP/1.1\r\n\r\n");
}

#[tokio::test]
async fn methods_pass_and_bodies_of_get_and_head_do_not() {
    let stage = open().await;
    let origin = Origin::echo().await;
    let url = format!("http://{}/", origin.addr);
    let fields = [("x-bare-url", &*url), ("x-bare-headers", r#"{"Host":"a"}"#)];
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        let method: Method = method.parse().unwrap();
        let answer = stage.send(method.clone(), &fields, "a body").await;
        assert!(
            answer.text().starts_with(&format!("{method} /\n")),
            "{}",
            answer.text()
        );
        assert!(
            answer.text().ends_with("content-length: 6\n\na body"),
            "{}",
            answer.text()
        );
    }
    let got = stage.send(Method::GET, &fields, "a body").await;
    assert!(!got.text().contains("a body") && !got.text().contains("content-length"));
    let head = stage.send(Method::HEAD, &fields, "").await;
    assert_eq!(
        (
            head.headers["x-bare-status"].to_str().unwrap(),
            head.body.len()
        ),
        ("200", 0)
    );
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed_and_an_encoding_is_left_as_it_is() {
    let stage = open().await;
    let answer = "HTTP/1.1 302 Found Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Encoding: gzip\r\ncontent-length: 5\r\n\r\nnogzp";
    let (origin, heard) = remote(answer).await;
    let answer = stage.v3(&origin, "/", "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-bare-status"], "302");
    assert_eq!(answer.headers["x-bare-status-text"], "Found Elsewhere");
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert!(!answer.headers.contains_key("location"));
    assert_eq!((answer.text(), heard.all().len()), ("nogzp", 1));
    // A client that takes encodings gets none that the remote did not use.
    let (plain, _) = remote(OK).await;
    let taking = [("accept-encoding", "gzip, br")];
    let answer = stage.v3_with(&plain, "/", "{}", &taking).await;
    assert!(!answer.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn the_remotes_headers_are_told_in_its_own_case_with_cookies_as_a_list() {
    let stage = open().await;
    let (origin, _) = remote(
        "HTTP/1.1 404 Not There\r\nX-WeIrD: a\r\nset-Cookie: x=1; Path=/\r\nVary: a\r\nVARY: b\r\nSet-Cookie: y=2\r\nKeep-Alive: timeout=5\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let answer = stage.v3(&origin, "/", "{}").await;
    let wanted = r#"{"X-WeIrD":"a","set-Cookie":["x=1; Path=/","y=2"],"Vary":"a, b","Keep-Alive":"timeout=5","content-length":"0"}"#;
    assert_eq!(answer.headers["x-bare-headers"], wanted);
    assert_eq!(answer.headers["x-bare-status"], "404");
    assert_eq!(answer.headers["x-bare-status-text"], "Not There");
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_connection_is_used_again_and_one_that_closed_meanwhile_is_no_error() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    for _ in 0..5 {
        stage.v3(&origin, "/", "{}").await;
    }
    assert_eq!((heard.all().len(), origin.connections()), (5, 1));
    // Closes right after each answer, without saying so.
    let closing = Origin::saying(OK).await;
    for _ in 0..5 {
        assert_eq!(stage.v3(&closing, "/", "{}").await.text(), "hi");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_piece_by_piece() {
    let stage = open().await;
    let origin = Origin::serving(|request| async move {
        Response::new(
            request
                .into_body()
                .map_err(std::io::Error::other)
                .boxed_unsync(),
        )
    })
    .await;
    let (say, said) = mpsc::channel::<Bytes>(1);
    let said = futures_util::stream::unfold(said, |mut said| async {
        let piece = said.recv().await?;
        Some((Ok::<_, std::io::Error>(Frame::data(piece)), said))
    });
    let request = Request::post("/v3/")
        .header("x-bare-url", format!("http://{}/", origin.addr))
        .header("x-bare-headers", "{}")
        .body(StreamBody::new(said))
        .unwrap();
    say.send(Bytes::from_static(b"first")).await.unwrap();
    let (response, _connection) = stage.client.open(request).await;
    let mut pieces = response.into_body().into_data_stream();
    assert_eq!(&pieces.next().await.unwrap().unwrap()[..], b"first");
    say.send(Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(&pieces.next().await.unwrap().unwrap()[..], b"second");
    drop(say);
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_client_who_leaves_ends_the_request_at_the_remote_at_once() {
    let stage = open().await;
    // Before the response, and in the middle of it.
    let silent = Origin::accepting(|mut tcp| async move {
        read_head(&mut tcp).await;
        tcp.read_u8().await.ok();
    })
    .await;
    let endless = Origin::serving(|_| async {
        let pieces = futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b'.'; 1024])))
        });
        Response::new(StreamBody::new(pieces).boxed_unsync())
    })
    .await;
    let mut raw = stage.client.raw().await;
    let asking = |remote: &Origin| {
        format!(
            "GET /v3/ HTTP/1.1\r\nhost: a\r\nx-bare-url: http://{}/\r\nx-bare-headers: {{}}\r\n\r\n",
            remote.addr
        )
    };
    raw.say(&asking(&silent)).await;
    let waiting = async {
        while silent.connections() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
    drop(raw);
    until_none("the silent remote", || silent.connections()).await;
    let mut raw = stage.client.raw().await;
    raw.say(&asking(&endless)).await;
    raw.until("....").await;
    drop(raw);
    until_none("the endless remote", || endless.connections()).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_broken_off_at_the_remote() {
    let stage = open().await;
    let (tell, mut told) = mpsc::channel(1);
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let origin = Origin::serving(move |request| {
        let (tell, gate) = (tell.clone(), opened.clone());
        async move {
            gate.add_permits(1);
            let whole = request.into_body().collect().await.is_ok();
            tell.send(whole).await.unwrap();
            Response::new(full(""))
        }
    })
    .await;
    let mut raw = stage.client.raw().await;
    raw.say(&format!(
        "POST /v3/ HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\nx-bare-url: http://{}/\r\nx-bare-headers: {{\"Host\":\"a\"}}\r\n\r\npart",
        origin.addr
    ))
    .await;
    drop(gate.acquire().await.unwrap());
    drop(raw);
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(false));
}

#[tokio::test]
async fn a_response_that_breaks_off_is_never_passed_off_as_a_whole_one() {
    let stage = open().await;
    let origin = Origin::accepting(|mut tcp| async move {
        read_head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            .await
            .ok();
    })
    .await;
    let request = Request::get("/v3/")
        .header("x-bare-url", format!("http://{}/", origin.addr))
        .header("x-bare-headers", "{}")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let (response, _connection) = stage.client.open(request).await;
    assert_eq!(response.headers()["x-bare-status"], "200");
    response.into_body().collect().await.unwrap_err();
}
