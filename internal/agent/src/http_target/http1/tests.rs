//! What a request looks like to the system, and the moment between a connection's end and our notice of it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};

use exchange::body::{Incoming, Rules};
use exchange::{Opening, Outlet, Role, Sender, open};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use messages::{Frame, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, yield_now};

use super::*;
use crate::testing::request;

/// A connection that notes the pieces of each write, and never answers.
#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<Vec<Vec<Vec<u8>>>>>);

impl Read for Notebook {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Poller<'_>,
        _: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl Write for Notebook {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Poller<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pieces: Vec<_> = bufs.iter().map(|buf| buf.to_vec()).collect();
        let written = pieces.iter().map(Vec::len).sum();
        self.0.lock().unwrap().push(pieces);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Nowhere;

impl Outlet for Nowhere {
    fn send(&self, _: Frame) {}
    fn done(&self) {}
}

/// A request's body as it came with its head, and what keeps its exchange alive.
async fn body_of(bytes: &[u8]) -> (RequestBody, Sender) {
    let (port, sender, mut receiver) = open(Arc::new(Nowhere), Opening::of(Role::Agent));
    let head = request(Method::POST, "/", &[]);
    let frame = head.encode(StreamId(1), bytes, true).unwrap();
    port.deliver(&frame).unwrap();
    receiver.recv().await.unwrap();
    let body = RequestBody::following(Incoming::new(receiver, Rules::default()), None);
    (body, sender)
}

#[tokio::test]
async fn a_head_and_a_body_that_came_with_it_leave_in_one_write_and_the_body_is_not_copied() {
    let notes = Notebook::default();
    let (mut connection, driver) = builder().handshake(notes.clone()).await.unwrap();
    let (body, _sender) = body_of(b"field=value").await;
    let mut asked = Request::new(body);
    *asked.method_mut() = Method::POST;
    asked
        .headers_mut()
        .insert("content-length", "11".parse().unwrap());
    let asking = connection.try_send_request(asked);
    tokio::select! {
        biased;
        _ = driver => panic!("the connection lasts"),
        _ = asking => panic!("nobody answers"),
        () = async { for _ in 0..4 { yield_now().await } } => {}
    }
    let writes = notes.0.lock().unwrap();
    let [write] = &writes[..] else {
        panic!("{} writes", writes.len())
    };
    let [head, body] = &write[..] else {
        panic!("{} pieces", write.len())
    };
    assert!(head.starts_with(b"POST / HTTP/1.1\r\n") && head.ends_with(b"\r\n\r\n"));
    assert_eq!(body, b"field=value");
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// The far end of a connection that has answered once and waits for the next request.
async fn kept(http1: &Http1) -> DuplexStream {
    let (ours, mut target) = duplex(4096);
    let (mut connection, driver) = http1.builder.handshake(TokioIo::new(ours)).await.unwrap();
    http1.tasks.spawn(driver);
    let asking = connection.send_request(Request::new(RequestBody::empty()));
    let answering = async {
        assert!(target.read(&mut [0; 1024]).await.unwrap() > 0);
        target.write_all(OK).await.unwrap();
    };
    let (response, ()) = tokio::join!(asking, answering);
    let response = http1.pool.lend(connection, None, response.unwrap());
    response.into_body().collect().await.unwrap();
    target
}

#[tokio::test]
async fn a_request_of_which_no_byte_was_written_is_sent_on_a_fresh_connection_whatever_it_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: crate::TargetUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
    let config = HttpTargetConfig::default();
    let dial = Dial::new(&url, config.connect_timeout, None);
    let http1 = Http1::new(dial, None, &config, &TaskTracker::new());
    // Closed, but nothing of ours has run since.
    drop(kept(&http1).await);
    let head = request(Method::POST, "/", &[]);
    let (body, sender) = body_of(b"once").await;
    let (context, _answer) = Context::new(&head, sender, None, None);
    let mut asked = Request::new(body);
    *asked.method_mut() = Method::POST;
    let mut target = JoinSet::new();
    target.spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"4\r\nonce\r\n0\r\n\r\n") {
            assert!(tcp.read_buf(&mut heard).await.unwrap() > 0);
        }
        tcp.write_all(OK).await.unwrap();
        tcp
    });
    let answered = http1.call(asked, context).await;
    assert_eq!(answered.unwrap().status(), 200);
}
