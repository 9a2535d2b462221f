//! A body into an exchange: chunk by chunk, under credit, within limits.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use messages::Reset;
use tokio::time::timeout;

use crate::Sender;

/// What a pump keeps to.
#[derive(Debug, Clone, Copy)]
pub struct PumpRules {
    /// Bytes of this body that went ahead with the head.
    pub sent: u64,
    /// The most bytes that may pass, those included; `None` is no limit.
    pub max: Option<u64>,
    /// The longest wait for the next bytes from the source; `None` waits for
    /// ever.
    pub source_stall: Option<Duration>,
    /// The longest wait for the other side to take any; `None` waits for ever.
    pub credit_stall: Option<Duration>,
    /// Removes what trailers must not carry.
    pub clean_trailers: Option<fn(&mut HeaderMap)>,
}

/// Why a pump stopped before the end. The caller decides what to tell whom; the
/// exchange is still open unless the reason is [`PumpError::Closed`].
#[derive(Debug, thiserror::Error)]
pub enum PumpError<E> {
    /// The source failed: the visitor left, the target broke off.
    #[error("the body broke off")]
    Source(E),
    /// The source sent nothing for the whole stall time. Nothing is lost: another
    /// pump may go on where this one stopped.
    #[error("the body stalled")]
    SourceStalled {
        /// Bytes that have passed so far.
        sent: u64,
    },
    /// The other side took nothing for the whole stall time.
    #[error("the other side takes no more of the body")]
    CreditStalled,
    /// More bytes than the limit.
    #[error("the body exceeds its limit")]
    TooLarge,
    /// The exchange, or this direction, is over.
    #[error("the exchange is over: {0:?}")]
    Closed(Reset),
}

/// Sends all of `body`, then its end. Not cancel safe; dropping the future and
/// the sender resets the exchange.
///
/// # Errors
/// See [`PumpError`].
pub async fn pump<B>(
    body: &mut B,
    sender: &mut Sender,
    rules: PumpRules,
) -> Result<u64, PumpError<B::Error>>
where
    B: Body + Unpin,
    B::Data: Buf,
{
    let mut sent = rules.sent;
    loop {
        if body.is_end_stream() {
            sender.end();
            return Ok(sent);
        }
        let Some(frame) = within(rules.source_stall, next_frame(body))
            .await
            .ok_or(PumpError::SourceStalled { sent })?
        else {
            sender.end();
            return Ok(sent);
        };
        match frame.map_err(PumpError::Source)?.into_data() {
            Ok(mut data) => {
                let data = data.copy_to_bytes(data.remaining());
                sent = sent.saturating_add(data.len() as u64);
                if rules.max.is_some_and(|max| sent > max) {
                    return Err(PumpError::TooLarge);
                }
                let end = body.is_end_stream();
                send(sender, data, end, rules.credit_stall).await?;
                if end {
                    return Ok(sent);
                }
            }
            Err(frame) => {
                if let Ok(mut trailers) = frame.into_trailers() {
                    if let Some(clean) = rules.clean_trailers {
                        clean(&mut trailers);
                    }
                    within(rules.credit_stall, sender.trailers(&trailers))
                        .await
                        .ok_or(PumpError::CreditStalled)?
                        .map_err(PumpError::Closed)?;
                    return Ok(sent);
                }
            }
        }
    }
}

/// Sends `data`; the stall time runs anew for every piece that finds credit.
async fn send<E>(
    sender: &mut Sender,
    mut data: Bytes,
    end: bool,
    stall: Option<Duration>,
) -> Result<(), PumpError<E>> {
    while data.len() > messages::MAX_BODY_FRAME {
        let piece = data.split_to(messages::MAX_BODY_FRAME);
        send_piece(sender, piece, false, stall).await?;
    }
    send_piece(sender, data, end, stall).await
}

async fn send_piece<E>(
    sender: &mut Sender,
    piece: Bytes,
    end: bool,
    stall: Option<Duration>,
) -> Result<(), PumpError<E>> {
    within(stall, sender.data(piece, end))
        .await
        .ok_or(PumpError::CreditStalled)?
        .map_err(PumpError::Closed)
}

async fn next_frame<B: Body + Unpin>(
    body: &mut B,
) -> Option<Result<http_body::Frame<B::Data>, B::Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}
