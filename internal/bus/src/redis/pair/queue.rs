//! What waits for one node: bounded, in order, taken in batches that fit the budget.

use std::collections::VecDeque;

use messages::Tag;

use super::super::wire;
use crate::{Content, Envelope, SendError};

/// How many bytes one batch may have, unless a single envelope has more. Large enough that the cost of a message does
/// not show, small enough that a small envelope does not wait long behind it.
const MAX_BATCH: usize = 256 * 1024;

/// How many bytes may wait for one node. Beyond, only what keeps exchanges going or ends them is queued.
const MAX_QUEUED: usize = 32 * 1024 * 1024;

/// How many bytes of those may wait beyond.
const RESERVED: usize = 1024 * 1024;

/// How many envelopes may wait for one node: some 200 bytes each, beside their payloads.
const MAX_COUNT: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    envelopes: VecDeque<Envelope>,
    /// Of all of them, as they will be on the wire.
    bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }

    /// # Errors
    /// [`SendError::Full`] at the bound; what keeps exchanges going, or ends them, has some room beyond.
    pub(super) fn push(&mut self, envelope: Envelope) -> Result<(), SendError> {
        let cost = wire::cost(&envelope);
        let room = match is_control(&envelope.content) {
            true => MAX_QUEUED + RESERVED,
            false => MAX_QUEUED,
        };
        let too_large = envelope.check_len().is_err();
        if too_large || self.bytes + cost > room || self.envelopes.len() >= MAX_COUNT {
            return Err(SendError::Full);
        }
        self.bytes += cost;
        self.envelopes.push_back(envelope);
        Ok(())
    }

    /// The next batch, and its bytes, while so many bytes of the budget are under way.
    pub(super) fn next_batch(&mut self, under_way: u64, budget: u64) -> (Vec<Envelope>, u64) {
        let mut room = room(under_way, budget);
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(next) = self.envelopes.front() {
            let cost = wire::cost(next);
            // What is larger than the whole budget goes alone, when nothing else is under way.
            let alone = batch.is_empty() && under_way == 0;
            if cost > room && !alone {
                break;
            }
            room = room.saturating_sub(cost);
            self.bytes -= cost;
            bytes += cost as u64;
            batch.extend(self.envelopes.pop_front());
        }
        (batch, bytes)
    }

    /// Whether there is a next batch.
    pub(super) fn fits(&self, under_way: u64, budget: u64) -> bool {
        let next = self.envelopes.front();
        next.is_some_and(|next| under_way == 0 || wire::cost(next) <= room(under_way, budget))
    }
}

fn room(under_way: u64, budget: u64) -> usize {
    let left = budget.saturating_sub(under_way);
    usize::try_from(left).map_or(MAX_BATCH, |left| left.min(MAX_BATCH))
}

/// Whether it keeps exchanges going, or ends them, rather than filling them. A link knows the same distinction.
fn is_control(content: &Content) -> bool {
    match content {
        Content::Accepted | Content::Nack(_) => true,
        Content::Open { .. } => false,
        Content::ToAgent { frame, .. } | Content::ToVisitor(frame) => {
            Tag::from_u8(frame.tag).is_some_and(Tag::is_control)
        }
    }
}
