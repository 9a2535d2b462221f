//! A body whose first bytes may have been taken already.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::yield_now;

/// A body that can be asked what it has at once, so that a small one travels in
/// one frame with its head.
#[derive(Debug)]
pub struct Peeked<B: Body> {
    body: B,
    /// A frame that did not fit inline: it goes first from now on.
    next: Option<Result<Frame<Bytes>, B::Error>>,
}

impl<B: Body + Unpin> Peeked<B>
where
    B::Error: Unpin,
{
    /// Nothing taken yet.
    pub fn new(body: B) -> Self {
        Self { body, next: None }
    }

    /// Takes what is there at once, up to `max` bytes, and whether that was all
    /// of the body. Gives the other tasks of this thread `turns` chances to
    /// produce it and never waits beyond them. What does not fit, and an error
    /// met on the way, comes out of the body afterwards, at once.
    pub async fn take_ready(&mut self, max: usize, mut turns: usize) -> (Bytes, bool) {
        let mut taken = Gathered::default();
        while !self.is_end_stream() {
            match self.poll_once().await {
                Poll::Pending if turns == 0 => break,
                Poll::Pending => {
                    turns -= 1;
                    yield_now().await;
                }
                Poll::Ready(None) => return (taken.into_bytes(), true),
                Poll::Ready(Some(frame)) => match frame.map(Frame::into_data) {
                    Ok(Ok(data)) if taken.len() + data.len() <= max => taken.push(data),
                    Ok(Ok(data)) => self.next = Some(Ok(Frame::data(data))),
                    Ok(Err(frame)) => self.next = Some(Ok(frame)),
                    Err(error) => self.next = Some(Err(error)),
                },
            }
            if self.next.is_some() {
                break;
            }
        }
        let end = self.is_end_stream();
        (taken.into_bytes(), end)
    }

    async fn poll_once(&mut self) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *self).poll_frame(cx))).await
    }
}

impl<B: Body + Unpin> Body for Peeked<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        Pin::new(&mut self.body).poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Chunks in one piece; the usual single chunk is not copied.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    rest: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.first = bytes;
            return;
        }
        if self.rest.is_empty() {
            self.rest
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&bytes);
    }

    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            self.first
        } else {
            self.rest.freeze()
        }
    }
}
