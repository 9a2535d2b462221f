//! Where a request's body comes from: the visitor, or what a policy has held back.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

/// The body of a request on its way to the relay.
#[derive(Debug)]
pub(crate) enum Source {
    /// There is none.
    Empty,
    /// As it arrives.
    Visitor(Incoming),
    /// Here already, whole. Boxed, as it is rare and every request carries the room
    /// for the largest of these.
    Held(Box<Held>),
}

/// A body that was read to its end before its exchange opens.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) data: Option<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Its shares of what those of its tunnel, and all of them, may take; none for one
    /// without bytes.
    pub(crate) room: Option<[OwnedSemaphorePermit; 2]>,
}

impl Body for Source {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Visitor(body) => Pin::new(body).poll_frame(cx),
            Self::Held(held) => Poll::Ready(held.next().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Visitor(body) => body.is_end_stream(),
            Self::Held(held) => held.data.is_none() && held.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Visitor(body) => body.size_hint(),
            Self::Held(held) => {
                SizeHint::with_exact(held.data.as_ref().map_or(0, |data| data.len() as u64))
            }
        }
    }
}

impl Held {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = self.data.take().map(Frame::data);
        data.or_else(|| self.trailers.take().map(Frame::trailers))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_held_body_gives_its_bytes_and_its_trailers_once() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let body = Source::Held(Box::new(Held {
            data: Some(Bytes::from_static(b"hello")),
            trailers: Some(trailers),
            room: None,
        }));
        assert_eq!(body.size_hint().exact(), Some(5));
        let read = body.collect().await.unwrap();
        assert_eq!(read.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(read.to_bytes(), "hello");
        assert!(Source::Empty.is_end_stream());
    }
}
