//! A receiver as an `http_body::Body`.
//!
//! Credit for a chunk is granted when the next one is asked for: by then the
//! next hop has taken it. What the next hop still buffers itself is bounded by
//! its own buffer, and no more than one chunk is ever asked for ahead.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use messages::{Reset, ResetCode, cost};

use crate::{Event, Receiver};

/// What a body must keep to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// The announced Content-Length; the frames must add up to it (RFC 9112, 8).
    pub length: Option<u64>,
    /// The most bytes that may pass; `None` is no limit.
    pub max: Option<u64>,
    /// Removes what trailers must not carry.
    pub clean_trailers: Option<fn(&mut HeaderMap)>,
}

/// Why a body ended early. Everything the visitor or target got is then cut,
/// never ended cleanly.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IncomingError {
    /// The other side, or the way to it, cut the exchange.
    #[error("the body was cut: {0:?}")]
    Cut(Reset),
    /// More bytes than the limit.
    #[error("the body exceeds the limit of {0} bytes")]
    TooLarge(u64),
    /// The frames do not add up to the announced length.
    #[error("the body has {got} bytes where Content-Length announced {announced}")]
    Length {
        /// Bytes so far.
        got: u64,
        /// Content-Length.
        announced: u64,
    },
}

type OnEnd = Box<dyn FnOnce(Result<u64, &IncomingError>) + Send + Sync>;

/// The peer's body.
pub struct Incoming {
    receiver: Receiver,
    rules: Rules,
    got: u64,
    /// Cost of the chunk handed out last, not yet granted again.
    owed: u32,
    ended: bool,
    on_end: Option<OnEnd>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("got", &self.got)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Incoming {
    /// The body that follows the head taken from `receiver`.
    #[must_use]
    pub fn new(receiver: Receiver, rules: Rules) -> Self {
        Self {
            receiver,
            rules,
            got: 0,
            owed: 0,
            ended: false,
            on_end: None,
        }
    }

    /// Calls `report` once with the number of bytes when the body has ended
    /// whole, or with what cut it. Not called for a body that is dropped before.
    #[must_use]
    pub fn on_end(
        mut self,
        report: impl FnOnce(Result<u64, &IncomingError>) + Send + Sync + 'static,
    ) -> Self {
        self.on_end = Some(Box::new(report));
        self
    }

    /// The receiver below, to grant a first window or to watch for a cut.
    pub fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    fn pay_back(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            let to_come = self
                .rules
                .length
                .map(|length| length.saturating_sub(self.got));
            self.receiver.consumed_of(owed, to_come);
        }
    }

    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, IncomingError> {
        self.got = self.got.saturating_add(data.len() as u64);
        if let Some(announced) = self.rules.length.filter(|announced| self.got > *announced) {
            return Err(IncomingError::Length {
                got: self.got,
                announced,
            });
        }
        if let Some(max) = self.rules.max.filter(|max| self.got > *max) {
            return Err(IncomingError::TooLarge(max));
        }
        self.owed = cost(data.len());
        Ok(Frame::data(data))
    }

    /// Notices the end together with the last bytes, so that the next hop can
    /// write both at once. A length that does not add up is left for the next
    /// poll to report.
    fn end_with_data(&mut self, frame: &Frame<Bytes>) {
        if frame.is_data() && self.receiver.is_finished() && self.finish().is_ok() {
            let got = self.got;
            self.report(Ok(got));
        }
    }

    fn finish(&self) -> Result<(), IncomingError> {
        match self.rules.length {
            Some(announced) if announced != self.got => Err(IncomingError::Length {
                got: self.got,
                announced,
            }),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, error: &IncomingError) {
        match error {
            IncomingError::Cut(_) => {}
            IncomingError::TooLarge(_) => {
                self.receiver.abort(ResetCode::TooLarge, &error.to_string());
            }
            IncomingError::Length { .. } => self
                .receiver
                .abort(ResetCode::BadResponse, &error.to_string()),
        }
        self.report(Err(error));
    }

    fn report(&mut self, result: Result<u64, &IncomingError>) {
        self.ended = true;
        if let Some(report) = self.on_end.take() {
            report(result);
        }
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, IncomingError>> {
        self.pay_back();
        let event = ready!(self.receiver.poll_recv(cx)).map_err(IncomingError::Cut)?;
        Poll::Ready(match event {
            Event::Data(data) => self.take(data).map(Some),
            Event::Trailers(mut trailers) => {
                self.finish()?;
                if let Some(clean) = self.rules.clean_trailers {
                    clean(&mut trailers);
                }
                Ok(Some(Frame::trailers(trailers)))
            }
            Event::End => {
                self.finish()?;
                Ok(None)
            }
            // The mailbox lets a head through only before the body.
            Event::Request(_)
            | Event::Response(_)
            | Event::Upgrade(_)
            | Event::Upgraded(_)
            | Event::Message { .. }
            | Event::Teardown(_) => Ok(None),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // HTTP stops asking once Content-Length bytes are there; the end frame
        // may still be on its way, and that is no reason to cancel.
        if self.rules.length == Some(self.got) {
            self.receiver.satisfied();
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.poll_next(cx)) {
            Ok(Some(frame)) => {
                self.end_with_data(&frame);
                Some(Ok(frame))
            }
            Ok(None) => {
                let got = self.got;
                self.report(Ok(got));
                None
            }
            Err(error) => {
                self.fail(&error);
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.rules.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.got)),
            None => SizeHint::default(),
        }
    }
}
