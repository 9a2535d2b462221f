//! The order in which a link's frames leave. Pure: no waker, no clock.
//!
//! Control frames first, so that credit and cancellation never wait behind somebody's download; then data, one frame
//! from each stream in turn, so that no stream waits behind more than one frame of another. Two things are kept
//! whatever else happens: frames that open streams leave in the order they came (ids only ever rise on the wire),
//! and nothing of a stream overtakes the frame that opens it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem;

use foldhash::fast::RandomState;
use messages::{FRAME_OVERHEAD, Frame, Message, ResetCode, StreamId, Tag};
use tokio::time::Instant;

use super::{OutboxLimits, PushError};

pub(super) struct Queue {
    limits: OutboxLimits,
    control: VecDeque<Frame>,
    /// Credit has a lane of its own beside the other control frames, because it alone can be held back.
    windows: VecDeque<Frame>,
    /// Hashed by foldhash: the standard hasher took one in eight instructions that a small frame costs a link.
    lanes: HashMap<StreamId, Lane, RandomState>,
    /// Streams with something to send, in turn.
    ring: VecDeque<StreamId>,
    /// Streams whose opening frame is held back, in order.
    parked: VecDeque<StreamId>,
    held_until: Option<Instant>,
    bytes: usize,
}

/// What waits of one stream. The first frame lies outside the deque: most streams only ever have one waiting, and
/// those allocate nothing.
struct Lane {
    head: Frame,
    rest: VecDeque<Frame>,
}

impl Queue {
    pub(super) fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            control: VecDeque::new(),
            windows: VecDeque::new(),
            lanes: HashMap::default(),
            ring: VecDeque::new(),
            parked: VecDeque::new(),
            held_until: None,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, frame: Frame) -> Result<(), PushError> {
        match frame.tag() {
            Some(tag) if tag.is_control() => self.push_control(tag, frame),
            _ => self.push_data(frame),
        }
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Frame> {
        if self.held_until.is_some_and(|until| until <= now) {
            self.release();
        }
        if let Some(frame) = self.control.pop_front() {
            return Some(frame);
        }
        if self.held_until.is_none()
            && let Some(frame) = self.windows.pop_front()
        {
            return Some(frame);
        }
        self.pop_data()
    }

    pub(super) fn hold_until(&mut self, until: Instant) {
        if self.held_until.is_none() {
            // Openings that are already in the ring must not fall behind those that will be parked.
            let lanes = &self.lanes;
            let (parked, ring) = mem::take(&mut self.ring)
                .into_iter()
                .partition(|id| lanes.get(id).is_some_and(Lane::is_unopened));
            (self.parked, self.ring) = (parked, ring);
        }
        self.held_until = self.held_until.max(Some(until));
    }

    /// When frames that are waiting for it may go; `None` when nothing waits for time.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
            .filter(|_| !self.parked.is_empty() || !self.windows.is_empty())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the streams that the peer has not heard of yet, and lifts the hold: the link is ending.
    pub(super) fn drop_openings(&mut self) {
        self.release();
        let unopened: Vec<_> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.is_unopened())
            .map(|(id, _)| *id)
            .collect();
        for id in unopened {
            self.drop_lane(id);
        }
    }

    /// Gives all memory back that holds nothing.
    pub(super) fn trim(&mut self) {
        for frames in [&mut self.control, &mut self.windows] {
            frames.shrink_to_fit();
        }
        for turns in [&mut self.ring, &mut self.parked] {
            turns.shrink_to_fit();
        }
        self.lanes.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.control.capacity()
            + self.windows.capacity()
            + self.lanes.capacity()
            + self.ring.capacity()
            + self.parked.capacity()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    fn push_control(&mut self, tag: Tag, frame: Frame) -> Result<(), PushError> {
        let id = frame.stream;
        if let Some(lane) = self.lanes.get_mut(&id) {
            let unopened = lane.is_unopened();
            if tag == Tag::Reset && !ends_politely(&frame) {
                if unopened {
                    self.bytes -= lane
                        .rest
                        .drain(..)
                        .map(|dropped| size(&dropped))
                        .sum::<usize>();
                } else {
                    self.drop_lane(id);
                }
            }
            if unopened || (tag == Tag::Reset && self.lanes.contains_key(&id)) {
                return self.push_data(frame);
            }
        }
        if self.control.len() + self.windows.len() >= self.limits.control_frames {
            return Err(PushError::Full);
        }
        let lane = if tag == Tag::Window {
            &mut self.windows
        } else {
            &mut self.control
        };
        lane.push_back(frame);
        Ok(())
    }

    fn push_data(&mut self, frame: Frame) -> Result<(), PushError> {
        let size = size(&frame);
        if self.bytes + size > self.limits.bytes {
            return Err(PushError::Full);
        }
        self.bytes += size;
        match self.lanes.entry(frame.stream) {
            Entry::Occupied(mut lane) => lane.get_mut().rest.push_back(frame),
            Entry::Vacant(free) => {
                let id = frame.stream;
                let lane = free.insert(Lane {
                    head: frame,
                    rest: VecDeque::new(),
                });
                if self.held_until.is_some() && lane.is_unopened() {
                    self.parked.push_back(id);
                } else {
                    self.ring.push_back(id);
                }
            }
        }
        Ok(())
    }

    fn pop_data(&mut self) -> Option<Frame> {
        let id = self.ring.pop_front()?;
        let Entry::Occupied(mut lane) = self.lanes.entry(id) else {
            return None;
        };
        let frame = if let Some(next) = lane.get_mut().rest.pop_front() {
            self.ring.push_back(id);
            mem::replace(&mut lane.get_mut().head, next)
        } else {
            lane.remove().head
        };
        self.bytes -= size(&frame);
        Some(frame)
    }

    fn release(&mut self) {
        self.held_until = None;
        self.ring.append(&mut self.parked);
    }

    fn drop_lane(&mut self, id: StreamId) {
        let Some(lane) = self.lanes.remove(&id) else {
            return;
        };
        self.bytes -= size(&lane.head) + lane.rest.iter().map(size).sum::<usize>();
        for turns in [&mut self.ring, &mut self.parked] {
            turns.retain(|other| *other != id);
        }
    }
}

impl Lane {
    /// Whether the peer does not know this stream yet.
    fn is_unopened(&self) -> bool {
        matches!(self.head.tag(), Some(Tag::HttpRequest | Tag::WsRequest))
    }
}

/// Whether a Reset only says that this side needs nothing more: it must not cut off what this side still sends.
fn ends_politely(frame: &Frame) -> bool {
    matches!(Message::decode(frame), Ok(Message::Reset(reset)) if reset.code == ResetCode::Done)
}

fn size(frame: &Frame) -> usize {
    frame.payload.len() + FRAME_OVERHEAD as usize
}

#[cfg(test)]
mod tests;
