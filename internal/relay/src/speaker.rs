//! What is said to a visitor, and how a visit ends.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::SinkExt as _;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::config::{Config, Errors};
use crate::event::Event;
use crate::failure::Failure;
use crate::socket::{self, End, In, Out};
use crate::upstream::Upstream;

/// Why a visit is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    /// The visitor closed.
    Left(Option<CloseFrame>),
    /// The visitor is gone without a word, which nobody is told in a close frame (RFC 6455, 7.4.1: 1006).
    Lost,
    /// The visitor is told this.
    Close(Option<CloseFrame>),
}

impl From<End> for Over {
    fn from(end: End) -> Self {
        match end {
            End::Closed(frame) => Self::Left(frame),
            End::Lost(_) => Self::Lost,
            End::Broken(frame) => Self::Close(Some(frame)),
        }
    }
}

/// A visitor's ear. Two directions speak to it: answers, and errors about what was asked.
pub(crate) struct Speaker {
    out: Mutex<Out>,
    errors: Errors,
    upstream: Upstream,
    /// Whether a failure was said that may not have been flushed.
    told: AtomicBool,
}

impl Speaker {
    pub(crate) fn new(out: Out, config: &Config) -> Self {
        Self {
            out: Mutex::new(out),
            errors: config.errors,
            upstream: config.upstream.clone(),
            told: AtomicBool::new(false),
        }
    }

    /// Says something, some time before the next [`Speaker::flush`]. Waits while the visitor does not listen.
    pub(crate) async fn feed(&self, message: Message) -> Result<(), Over> {
        let fed = self.out.lock().await.feed(message).await;
        fed.map_err(|_| Over::Lost)
    }

    /// Says at once what is to be said.
    pub(crate) async fn flush(&self) -> Result<(), Over> {
        self.out.lock().await.flush().await.map_err(|_| Over::Lost)
    }

    /// [`Speaker::flush`] for who says nothing but failures, and does not wait where there were none.
    pub(crate) async fn flush_told(&self) -> Result<(), Over> {
        if self.told.swap(false, Ordering::Relaxed) {
            self.flush().await?;
        }
        Ok(())
    }

    /// Says that something failed: as a message, some time before the next flush, or by the end of the visit.
    pub(crate) async fn fail(&self, failure: Failure) -> Result<(), Over> {
        tracing::debug!(event = %failure.id, why = ?failure.why, "an event failed");
        match self.errors {
            Errors::Close => Err(Over::Close(Some(failure.why.close()))),
            Errors::Message => {
                self.feed(failure.message(&self.upstream)).await?;
                self.told.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Whether errors leave the visitor's WebSocket open.
    pub(crate) fn stays(&self) -> bool {
        self.errors == Errors::Message
    }

    /// Ends the visit in order.
    pub(crate) async fn end(self, from: &mut In, over: Over) {
        let mut out = self.out.into_inner();
        match over {
            // The library has answered the close frame; this sends it.
            Over::Left(_) => drop(out.close().await),
            Over::Lost => {}
            Over::Close(frame) => socket::close(&mut out, from, frame).await,
        }
    }
}

/// The next thing that a visitor says. Cancel safe.
pub(crate) async fn hear(from: &mut In) -> Result<Event, Over> {
    Ok(socket::hear(from).await?)
}
