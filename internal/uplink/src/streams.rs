//! The book of one link's streams: which exchange each id stands for, and how
//! much of it is still open. Pure: it knows nothing of queues, locks or time.
//!
//! A stream has two directions. Each ends by its `end` flag or by a reset from
//! its sender; the stream is over, and stops counting against the limit, when
//! both have. So a reset frees nothing until the agent acknowledged it: a visitor
//! who cancels quickly buys no extra work at the target.

use bus::ExchangeId;
use foldhash::HashMap;
use messages::{NodeId, StreamId};

/// From here on the link should be replaced; the ids that are left carry what
/// arrives until the agent is back.
pub(crate) const SPENT: StreamId = StreamId(StreamId::LAST.0 - 65_536);

/// An exchange as the whole fleet knows it: ids are unique per opening node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub(crate) node: NodeId,
    pub(crate) id: ExchangeId,
}

/// Why no stream can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CannotOpen {
    /// As many streams are open as the link may have.
    Full,
    /// No ids are left.
    Exhausted,
    /// This exchange has a stream here already.
    Duplicate,
}

/// The agent named a stream that was never opened: a fault of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeverOpened;

/// The streams of one link.
#[derive(Debug)]
pub(crate) struct StreamTable {
    live: HashMap<StreamId, Stream>,
    ids: HashMap<Exchange, StreamId>,
    /// The highest id ever opened; ids are never reused.
    highest: StreamId,
    limit: usize,
}

#[derive(Debug)]
struct Stream {
    /// `None`: nobody listens on our side any more; it only waits for the
    /// agent's end.
    exchange: Option<Exchange>,
    edge_ended: bool,
    agent_ended: bool,
}

impl Stream {
    fn is_over(&self) -> bool {
        self.edge_ended && self.agent_ended
    }
}

impl StreamTable {
    /// No streams yet, at most `limit` at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            live: HashMap::default(),
            ids: HashMap::default(),
            highest: StreamId::LINK,
            limit,
        }
    }

    /// The next id, for this exchange. `ends`: the opening frame is all the edge
    /// has to say.
    pub(crate) fn open(&mut self, exchange: Exchange, ends: bool) -> Result<StreamId, CannotOpen> {
        if self.ids.contains_key(&exchange) {
            return Err(CannotOpen::Duplicate);
        }
        if self.live.len() >= self.limit {
            return Err(CannotOpen::Full);
        }
        let id = self.highest.next().ok_or(CannotOpen::Exhausted)?;
        self.highest = id;
        let stream = Stream {
            exchange: Some(exchange),
            edge_ended: ends,
            agent_ended: false,
        };
        self.live.insert(id, stream);
        self.ids.insert(exchange, id);
        Ok(id)
    }

    /// Takes back an `open` whose frame could not be queued: the agent never
    /// heard of it, but the id stays used.
    pub(crate) fn forget(&mut self, id: StreamId) {
        self.remove(id);
    }

    /// The stream a frame from the edge goes to; `None` when it is over.
    pub(crate) fn heard_edge(&mut self, exchange: Exchange, ends: bool) -> Option<StreamId> {
        let id = *self.ids.get(&exchange)?;
        let stream = self.live.get_mut(&id)?;
        stream.edge_ended |= ends;
        if stream.is_over() {
            self.remove(id);
        }
        Some(id)
    }

    /// The exchange a frame from the agent goes to; `None` when nobody waits for
    /// it any more.
    pub(crate) fn heard_agent(
        &mut self,
        id: StreamId,
        ends: bool,
    ) -> Result<Option<Exchange>, NeverOpened> {
        if id > self.highest {
            return Err(NeverOpened);
        }
        let Some(stream) = self.live.get_mut(&id) else {
            return Ok(None);
        };
        stream.agent_ended |= ends;
        let exchange = stream.exchange;
        if stream.is_over() {
            self.remove(id);
        }
        Ok(exchange)
    }

    /// Nobody waits for this exchange any more. The id to reset at the agent;
    /// `None` when there is nothing to reset.
    pub(crate) fn abandon(&mut self, exchange: Exchange) -> Option<StreamId> {
        let id = self.ids.remove(&exchange)?;
        let stream = self.live.get_mut(&id)?;
        stream.exchange = None;
        stream.edge_ended = true;
        if stream.is_over() {
            self.live.remove(&id);
        }
        Some(id)
    }

    /// [`abandon`](Self::abandon) for everything a node had opened.
    pub(crate) fn abandon_node(&mut self, node: NodeId) -> Vec<StreamId> {
        let lost: Vec<_> = self
            .ids
            .keys()
            .filter(|e| e.node == node)
            .copied()
            .collect();
        lost.into_iter().filter_map(|e| self.abandon(e)).collect()
    }

    /// The link is gone: every exchange that was waiting for it.
    pub(crate) fn clear(&mut self) -> Vec<Exchange> {
        self.live.clear();
        self.ids.drain().map(|(exchange, _)| exchange).collect()
    }

    /// Streams that count against the limit.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Nothing is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Ids are running out: the link should be replaced.
    pub(crate) fn is_spent(&self) -> bool {
        self.highest >= SPENT
    }

    /// Uses up the ids before `id`, as weeks of requests would.
    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, id: StreamId) {
        self.highest = StreamId(id.0 - 1);
    }

    fn remove(&mut self, id: StreamId) {
        if let Some(Stream {
            exchange: Some(exchange),
            ..
        }) = self.live.remove(&id)
        {
            self.ids.remove(&exchange);
        }
    }
}

#[cfg(test)]
mod tests;
