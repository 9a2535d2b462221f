//! How many nodes live: counted by the channels that somebody listens to, so that nothing is kept in Redis for it and a
//! node that is killed is missed at once.
//!
//! It is asked for so that agents can be told how many links to hold. One too many does no harm there, one too few
//! costs a tunnel its second node: so a node that is missed may be restarting, and is counted for some minutes still.

use std::sync::Mutex;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::error::StoreError;
use super::locked;
use super::names::Names;
use super::session::Session;
use super::shared::Shared;
use crate::Unavailable;

/// How long nobody is asked again where enough nodes were counted.
const CONFIRM: Duration = Duration::from_secs(30);

/// How long a node that is missed is counted still: longer than it takes to replace one.
const MISSED: Duration = Duration::from_mins(5);

/// What was counted last.
#[derive(Default)]
pub(super) struct Census {
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    nodes: usize,
    /// When there were so many.
    seen: Instant,
}

impl Census {
    /// What need not be asked for again.
    fn enough(&self, wanted: usize, now: Instant) -> Option<usize> {
        let known = (*locked(&self.known))?;
        let is_good = known.nodes >= wanted && now - known.seen < CONFIRM;
        is_good.then_some(known.nodes)
    }

    /// What was counted last, whenever that was.
    fn last(&self) -> Option<usize> {
        locked(&self.known).map(|known| known.nodes)
    }

    /// Takes a count, and says what it comes to.
    fn take(&self, nodes: usize, now: Instant) -> usize {
        let mut known = locked(&self.known);
        match *known {
            Some(before) if nodes < before.nodes && now - before.seen < MISSED => before.nodes,
            _ => {
                *known = Some(Known { nodes, seen: now });
                nodes
            }
        }
    }
}

impl Shared {
    /// See [`Directory::nodes`](crate::Directory::nodes).
    pub(super) async fn nodes(&self, enough: usize) -> Result<usize, Unavailable> {
        if self.has_left() {
            return Err(Unavailable);
        }
        let now = Instant::now();
        if let Some(nodes) = self.census.enough(enough, now) {
            return Ok(nodes);
        }
        let counted = match self.session.load_full() {
            Some(session) => self.answered(count(&session, &self.names).await),
            None => Err(Unavailable),
        };
        match counted {
            Ok(nodes) => Ok(self.census.take(nodes, now)),
            Err(unavailable) => self.census.last().ok_or(unavailable),
        }
    }
}

/// Each node's channel is on one master, and a master counts those that are on it.
async fn count(session: &Session, names: &Names) -> Result<usize, StoreError> {
    let mut question = redis::cmd("PUBSUB");
    question
        .arg(match session.is_cluster() {
            true => "SHARDCHANNELS",
            false => "CHANNELS",
        })
        .arg(names.channels());
    let answers = session.run_everywhere(&question).await?;
    let listened = |answer: &Value| answer.as_sequence().map_or(0, <[Value]>::len);
    // The own channel is listened to, or there was no session.
    Ok(answers.iter().map(listened).sum::<usize>().max(1))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_good_count_is_remembered_and_asked_for_again_later() {
        let census = Census::default();
        assert_eq!(census.enough(1, Instant::now()), None);
        census.take(1, Instant::now());
        assert_eq!(census.enough(2, Instant::now()), None);
        census.take(2, Instant::now());
        assert_eq!(census.enough(2, Instant::now()), Some(2));
        advance(CONFIRM).await;
        assert_eq!(census.enough(2, Instant::now()), None);
        assert_eq!(census.last(), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_more_counts_at_once_and_a_node_less_when_it_stays_away() {
        let census = Census::default();
        assert_eq!(census.take(3, Instant::now()), 3);
        advance(MISSED / 2).await;
        assert_eq!(census.take(2, Instant::now()), 3, "it may be restarting");
        assert_eq!(census.take(3, Instant::now()), 3, "it was");
        advance(MISSED / 2).await;
        assert_eq!(census.take(1, Instant::now()), 3, "two may be");
        advance(MISSED / 2).await;
        assert_eq!(census.take(1, Instant::now()), 1);
        assert_eq!(census.take(4, Instant::now()), 4);
    }
}
