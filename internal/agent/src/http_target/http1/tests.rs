//! What a request looks like to the system.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};

use exchange::body::{Incoming, Rules};
use exchange::{Opening, Outlet, Role, open};
use http::Method;
use hyper::rt::{Read, ReadBufCursor, Write};
use messages::{Frame, StreamId};
use tokio::task::yield_now;

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

/// A request's body as it came with its head.
async fn body_of(bytes: &[u8]) -> RequestBody {
    let (port, _sender, mut receiver) = open(Arc::new(Nowhere), Opening::of(Role::Agent));
    let head = request(Method::POST, "/", &[]);
    let frame = head.encode(StreamId(1), bytes, true).unwrap();
    port.deliver(&frame).unwrap();
    receiver.recv().await.unwrap();
    RequestBody::following(Incoming::new(receiver, Rules::default()), None)
}

#[tokio::test]
async fn a_head_and_a_body_that_came_with_it_leave_in_one_write_and_the_body_is_not_copied() {
    let notes = Notebook::default();
    let (mut connection, driver) = builder().handshake(notes.clone()).await.unwrap();
    let mut asked = Request::new(body_of(b"field=value").await);
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
