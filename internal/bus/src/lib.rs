//! How nodes talk, and how they know who holds which tunnel.
//!
//! Edge and uplink never import each other: they meet here. [`Bus`] moves an [`Envelope`] to a node and hands it to
//! that node's one [`Inbox`]; [`Directory`] says which links on which nodes serve a tunnel, and decides, in one atomic
//! announce, who may. Whether the two halves sit in one process or in ten is the choice of a URL given to [`connect`].
//!
//! What this crate refuses to know: what a frame means (payloads are opaque), who an agent is (a tunnel id is proven
//! before it gets here) and which link of several to use (that is the edge's to pick).
//!
//! A backend is one file that implements the two traits, one arm in [`connect`], and one line in the test that runs the
//! `conformance` suite over every backend: the suite, not the memory backend, is the law.

mod delivery;
mod directory;
mod documents;
mod envelope;
mod law;
pub mod memory;
mod node;
pub mod redis;
mod table;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use delivery::{Bus, Delivery, Health, Inbox, SendError};
pub use directory::{
    AnnounceError, Announced, Announcement, Directory, MAX_DOCUMENT, MAX_KEY, MAX_VALUE, Mode,
    PinError, PutError, Route, Routes, SessionId, Unavailable,
};
pub use envelope::{
    Content, EncodeError, Envelope, EnvelopeError, ExchangeId, LinkId, MAX_ENVELOPE, Nack,
};
pub use node::{ConnectError, Node, connect};
