//! Bodies that are read to their end before their exchange opens.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use exchange::body::Peeked;
use hmac::{Hmac, Mac};
use http_body::Frame;
use http_body_util::BodyExt;
use sha2::Sha256;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    config::Config,
    failure::Failure,
    headers,
    source::{Held, Source},
};

/// Bytes that all held bodies of a node may have, together.
const ROOM: usize = 64 * 1024 * 1024;

/// Those of one policy: whoever sends slowly to one tunnel, knowing no secret,
/// does not close the others.
const SHARE: usize = ROOM / 2;

/// The most of one where the operator lifted the body limit: what GitHub sends at
/// most.
const MOST: u64 = 25 * 1024 * 1024;

/// What bodies are held by.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Holding {
    max: u64,
    /// The longest pause.
    stall: Duration,
    room: Arc<Semaphore>,
    share: Arc<Semaphore>,
}

impl Holding {
    pub(in crate::policy) fn new(config: &Config) -> Self {
        Self {
            max: config.max_body.unwrap_or(MOST).min(SHARE as u64),
            stall: config.body_timeout,
            room: Arc::new(Semaphore::new(ROOM)),
            share: Arc::new(Semaphore::new(SHARE)),
        }
    }

    /// For one policy more.
    pub(super) fn share(&self) -> Self {
        Self {
            share: Arc::new(Semaphore::new(SHARE)),
            ..self.clone()
        }
    }

    /// Reads a body to its end, and each piece of it into the `macs`.
    ///
    /// # Errors
    /// [`Failure::RequestTooLarge`], [`Failure::RequestTimeout`],
    /// [`Failure::BadRequest`] for a visitor who left, [`Failure::Overloaded`]
    /// when there is no room.
    pub(super) async fn read(
        &self,
        mut body: Peeked<Source>,
        macs: &mut [Hmac<Sha256>],
    ) -> Result<Held, Failure> {
        let mut pieces = Pieces::default();
        let mut held = Held::default();
        while let Some(frame) = self.next(&mut body).await? {
            match frame.into_data() {
                Ok(data) => {
                    pieces.take(data, self)?;
                    macs.iter_mut().for_each(|mac| mac.update(pieces.last()));
                }
                Err(frame) => {
                    held.trailers = frame.into_trailers().ok().map(|mut trailers| {
                        headers::clean_trailers(&mut trailers);
                        trailers
                    });
                }
            }
        }
        (held.data, held.room) = pieces.whole();
        Ok(held)
    }

    async fn next(&self, body: &mut Peeked<Source>) -> Result<Option<Frame<Bytes>>, Failure> {
        let frame = timeout(self.stall, body.frame()).await;
        let frame = frame.map_err(|_| Failure::RequestTimeout(self.stall))?;
        frame
            .transpose()
            .map_err(|_| Failure::BadRequest("the body broke off or is malformed"))
    }

    /// Room for so many bytes more.
    fn take(&self, bytes: usize) -> Result<Room, Failure> {
        let bytes = u32::try_from(bytes).map_err(|_| Failure::Overloaded)?;
        let take = |room: &Arc<Semaphore>| {
            let taken = room.clone().try_acquire_many_owned(bytes);
            taken.map_err(|_| Failure::Overloaded)
        };
        Ok([take(&self.share)?, take(&self.room)?])
    }
}

/// What is taken of the share and of the whole.
type Room = [OwnedSemaphorePermit; 2];

/// What has arrived; a single piece is not copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    rest: BytesMut,
    last: usize,
    room: Option<Room>,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn take(&mut self, data: Bytes, holding: &Holding) -> Result<(), Failure> {
        if (self.len() + data.len()) as u64 > holding.max {
            return Err(Failure::RequestTooLarge(Some(holding.max)));
        }
        let more = holding.take(data.len())?;
        match &mut self.room {
            Some(room) => {
                let parts = room.iter_mut().zip(more);
                parts.for_each(|(room, more)| room.merge(more));
            }
            None => self.room = Some(more),
        }
        self.last = data.len();
        if self.len() == 0 {
            self.first = data;
            return Ok(());
        }
        self.rest
            .extend_from_slice(&std::mem::take(&mut self.first));
        self.rest.extend_from_slice(&data);
        Ok(())
    }

    /// The piece that was taken last.
    fn last(&self) -> &[u8] {
        let all = if self.rest.is_empty() {
            &self.first[..]
        } else {
            &self.rest[..]
        };
        all.split_at(all.len() - self.last).1
    }

    fn whole(self) -> (Option<Bytes>, Option<Room>) {
        let data = if self.rest.is_empty() {
            self.first
        } else {
            self.rest.freeze()
        };
        (Some(data).filter(|data| !data.is_empty()), self.room)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn holding(max: u64) -> Holding {
        Holding::new(&Config {
            max_body: Some(max),
            ..Config::default()
        })
    }

    fn body(text: &'static str) -> Peeked<Source> {
        Peeked::new(Source::Held(Box::new(Held {
            data: Some(Bytes::from_static(text.as_bytes())),
            ..Held::default()
        })))
    }

    #[tokio::test]
    async fn a_body_is_held_up_to_the_limit() {
        let held = holding(5).read(body("12345"), &mut []).await.unwrap();
        let read = Source::Held(Box::new(held)).collect().await.unwrap();
        assert_eq!(read.to_bytes(), "12345");
        let larger = holding(4).read(body("12345"), &mut []).await;
        assert_eq!(larger.unwrap_err(), Failure::RequestTooLarge(Some(4)));
    }

    #[tokio::test]
    async fn all_held_bodies_together_have_a_bound() {
        let holding = Holding {
            room: Arc::new(Semaphore::new(8)),
            ..holding(100)
        };
        let first = holding.read(body("12345"), &mut []).await.unwrap();
        let second = holding.read(body("12345"), &mut []).await;
        assert_eq!(second.unwrap_err(), Failure::Overloaded);
        let elsewhere = holding.share().read(body("12345"), &mut []).await;
        assert_eq!(elsewhere.unwrap_err(), Failure::Overloaded);
        drop(first);
        assert!(holding.read(body("12345"), &mut []).await.is_ok());
    }

    #[tokio::test]
    async fn the_bodies_of_one_tunnel_leave_room_for_those_of_others() {
        let holding = Holding {
            share: Arc::new(Semaphore::new(8)),
            ..holding(100)
        };
        let _first = holding.read(body("12345"), &mut []).await.unwrap();
        assert!(holding.read(body("12345"), &mut []).await.is_err());
        let elsewhere = holding.share();
        assert!(elsewhere.read(body("12345"), &mut []).await.is_ok());
    }

    #[test]
    fn pieces_are_put_together_and_each_is_seen_once() {
        let (mut pieces, holding) = (Pieces::default(), holding(100));
        for piece in ["ab", "cde", "", "f"] {
            let data = Bytes::from_static(piece.as_bytes());
            pieces.take(data, &holding).unwrap();
            assert_eq!(pieces.last(), piece.as_bytes());
        }
        assert_eq!(pieces.whole().0.unwrap(), "abcdef");
    }
}
