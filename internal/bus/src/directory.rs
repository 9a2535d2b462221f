//! The knowing half of the bus: which links on which nodes serve a tunnel, and who may claim one.
//!
//! The rules of claiming (generation, session, mode) are the directory's because only it can decide them atomically for
//! the whole fleet. They are written down once as the `conformance` suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use messages::{MAX_POLICY, NodeId, PolicyId, TunnelId};
use thiserror::Error;

use crate::LinkId;

/// The longest key of a one-shot value, in bytes.
pub const MAX_KEY: usize = 256;

/// The largest one-shot value, in bytes: a ticket or a nonce, never a body.
pub const MAX_VALUE: usize = 16 * 1024;

/// The largest document of a policy, in bytes: canonical JSON may be somewhat longer than what was read.
pub const MAX_DOCUMENT: usize = 2 * MAX_POLICY;

/// Random for each agent process; its links form one pool.
pub type SessionId = [u8; 16];

/// The links that serve one tunnel: those of draining nodes last, otherwise the newest generation first.
pub type Routes = Arc<[Route]>;

/// One link that serves a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The node that holds the link.
    pub node: NodeId,
    /// The link on that node.
    pub link: LinkId,
    /// The generation of the link's session; an envelope that opens an exchange carries it back.
    pub generation: u64,
    /// Its node is leaving: to be used only where no other route exists.
    pub draining: bool,
    /// How its session shares the name.
    pub mode: Mode,
    /// The rules of its link, [`PolicyId::NONE`] without; [`Directory::policy`] has their text. Those of the first route
    /// are applied, and only routes that have the same are offered the exchange.
    pub policy: PolicyId,
}

impl Route {
    /// The routes to choose from: those not draining, or all of them where every one is draining.
    ///
    /// `routes` must be in the order a directory returns them.
    pub fn preferred(routes: &[Self]) -> &[Self] {
        match routes.partition_point(|route| !route.draining) {
            0 => routes,
            healthy => routes.split_at(healthy).0,
        }
    }
}

/// Whether a session wants a tunnel for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The newest session alone serves the tunnel, in the whole fleet.
    Exclusive,
    /// Sessions of the same key serve it together.
    Shared,
}

/// A link's claim to serve a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The tunnel, proven by the agent's registration.
    pub tunnel: TunnelId,
    /// The link on the announcing node. Never used again by that node for another connection.
    pub link: LinkId,
    /// The agent process behind the link.
    pub session: SessionId,
    /// The generation the session was granted before; `None` with its first link.
    pub generation: Option<u64>,
    /// How the session shares the tunnel.
    pub mode: Mode,
    /// Rises with every operation of this link, so that operations that overtake each other settle the same way.
    pub version: u64,
    /// Whose link it is: the tunnel id of the first key of its chain, so a rotated key owns what the first one did.
    pub owner: [u8; 32],
    /// The rules of the link.
    pub policy: PolicyId,
    /// The canonical JSON of `policy`, at most [`MAX_DOCUMENT`] bytes; empty exactly where that is [`PolicyId::NONE`].
    /// It is kept as it is: nothing else should share its memory.
    pub document: Bytes,
}

impl Announcement {
    /// # Errors
    /// [`AnnounceError::Document`] where policy and document do not fit each other, or the bound.
    pub(crate) fn check(&self) -> Result<(), AnnounceError> {
        let fits = self.document.is_empty() == self.policy.is_none();
        if fits && self.document.len() <= MAX_DOCUMENT {
            Ok(())
        } else {
            Err(AnnounceError::Document)
        }
    }
}

/// What an accepted announcement yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The session's generation: drawn now, or the one it already has.
    pub generation: u64,
}

/// Keeps the routes of the fleet.
///
/// Every future here does nothing until polled and is cancel safe in this sense: dropped, its operation has happened
/// either wholly or not at all, and repeating it with the same version is harmless.
pub trait Directory: Send + Sync {
    /// Claims a tunnel for a link, atomically for the fleet.
    ///
    /// A session draws its generation once, max(stored + 1, the store's clock in µs); announcing again keeps it. The
    /// losers of an exclusive claim get [`Delivery::Superseded`](crate::Delivery::Superseded) and their routes are gone
    /// when this returns. A generation implausibly far in the future counts as none.
    ///
    /// Whoever comes while another owner's link serves the tunnel is refused. Once that has none, the name is free: what
    /// the former owner's sessions were granted counts no more, though generations rise on.
    ///
    /// # Errors
    /// See [`AnnounceError`]; in every case nothing has changed.
    fn announce(
        &self,
        announcement: Announcement,
    ) -> BoxFuture<'_, Result<Announced, AnnounceError>>;

    /// Withdraws a link's route. Withdrawing what is not there is no error, and is remembered for a while: an
    /// announcement of the same or a lower version that comes late does not bring the route back.
    ///
    /// # Errors
    /// [`Unavailable`] when the backend cannot be reached; the route then ends with the node's lease.
    fn withdraw(
        &self,
        tunnel: TunnelId,
        link: LinkId,
        version: u64,
    ) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// Marks every route of this node, present and to come, as draining.
    ///
    /// # Errors
    /// [`Unavailable`] when the backend cannot be told; the own view ([`Directory::local`]) is marked all the same.
    fn mark_draining(&self) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// The links of this very node that serve the tunnel; `None` when it has none. Cheap: it is on the path of every
    /// request.
    fn local(&self, tunnel: TunnelId) -> Option<Routes>;

    /// The links of the fleet that serve the tunnel, this node's included; empty when nobody does.
    ///
    /// # Errors
    /// [`Unavailable`] when the backend cannot be asked.
    fn lookup(&self, tunnel: TunnelId) -> BoxFuture<'_, Result<Routes, Unavailable>>;

    /// The text of a policy that a route of this tunnel names, from the latest look-up or from an own link. `None` when
    /// it is not known (any more): look up again. [`PolicyId::NONE`] has an empty one. Cheap, and never waits.
    fn policy(&self, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes>;

    /// Lets go of what is remembered of earlier look-ups of a tunnel: its routes were wrong, as a nack or a lost node has
    /// shown. Cheap; a directory that remembers nothing does nothing.
    fn forget(&self, _tunnel: TunnelId) {}

    /// How many nodes of the fleet live, this one included. A node that has come counts at once. One that has gone may
    /// count for some minutes more: it may be restarting.
    ///
    /// Where at least `enough` are known to live, nobody need be asked: an answer is right when it is below, and never
    /// too low otherwise.
    ///
    /// # Errors
    /// [`Unavailable`] when the backend cannot be asked and has never answered.
    fn nodes(&self, enough: usize) -> BoxFuture<'_, Result<usize, Unavailable>>;

    /// Stores a value that can be taken once, within `ttl`, from any node. A second value under the same key replaces
    /// the first.
    ///
    /// # Errors
    /// See [`PutError`].
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), PutError>>;

    /// Takes a one-shot value: of all who ask, one gets it. `None` when it was taken, has expired or never was.
    ///
    /// # Errors
    /// [`Unavailable`] when the backend cannot be asked; the value may then be lost, never taken twice.
    fn take<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>>;

    /// Says how far a name's chain of rotations has come, and hears whether it has come further already: of each name
    /// the highest `sequence` is remembered for ever, with its `tip`, the hash of the chain's last statement. A name that
    /// never rotated has sequence 0, of which nothing is stored.
    ///
    /// Only what is proven may be pinned: that `tip` ends a chain whose first key is `name`. On `Ok` it is kept as safely
    /// as the backend can (see `docs/bus.md` for what that is, and for an outage).
    ///
    /// # Errors
    /// See [`PinError`]; in every case nothing has changed for the name.
    fn pin(
        &self,
        name: [u8; 32],
        sequence: u64,
        tip: [u8; 32],
    ) -> BoxFuture<'_, Result<(), PinError>>;

    /// Refreshes what must not go stale (the node's lease, its view of its own routes). Call it each second.
    ///
    /// # Errors
    /// [`Unavailable`] when the backend cannot be reached; call again.
    fn renew(&self) -> BoxFuture<'_, Result<(), Unavailable>>;
}

/// Why a link may not serve a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnnounceError {
    /// A newer session holds, or held, the tunnel. Final for this session.
    #[error("replaced by generation {by}")]
    Replaced {
        /// The generation that must be exceeded.
        by: u64,
    },
    /// The tunnel changed hands more than 5 times within a minute: two agents fight over one key.
    #[error("taken over too often within a minute")]
    Contended,
    /// A shared session met a live exclusive one.
    #[error("an exclusive session holds the tunnel")]
    ModeConflict,
    /// A live route of another owner holds the tunnel, in whichever mode.
    #[error("another key holds the name")]
    Taken,
    /// The policy comes without its document, a document without its policy, or one above [`MAX_DOCUMENT`].
    #[error("the document of the policy is missing or too large")]
    Document,
    /// This link was withdrawn by an operation of the same or a later version: the announcement came late.
    #[error("the link was already withdrawn")]
    Withdrawn,
    /// The backend cannot be reached, or this node has left the fleet.
    #[error("the directory is unavailable")]
    Unavailable,
}

/// The directory's backend cannot be reached, or this node has left the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the directory is unavailable")]
pub struct Unavailable;

/// Why a chain of rotations is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PinError {
    /// The name has rotated since: a key that was retired speaks.
    #[error("the name has rotated since, {known} times in all")]
    Older {
        /// The highest sequence that was seen.
        known: u64,
    },
    /// The name has rotated as often, but otherwise: somebody else used the same key to rotate.
    #[error("the name has rotated otherwise")]
    Forked,
    /// Nothing can be kept at present, or this node has left the fleet.
    #[error("the directory is unavailable")]
    Unavailable,
}

/// Why a one-shot value was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PutError {
    /// The key exceeds [`MAX_KEY`] or the value [`MAX_VALUE`].
    #[error("key or value is too large")]
    TooLarge,
    /// The store is at its bound, with values that have not expired yet.
    #[error("too many values are waiting to be taken")]
    Full,
    /// The backend cannot be reached, or this node has left the fleet.
    #[error("the directory is unavailable")]
    Unavailable,
}
