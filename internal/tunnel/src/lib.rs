//! One authenticated link between an agent and a server.
//!
//! From the wire up: a [`Transport`] carries whole messages (over a WebSocket, [`ws`], or over encrypted TCP, [`channel`]); the
//! [`handshake`] turns a fresh transport into a registration that has been proven; then
//! [`drive`] runs the link: it reads frames into a [`FrameHandler`], writes what an [`Outbox`] holds, and
//! watches over liveness ([`Keepalive`]).
//!
//! This crate knows nothing of exchanges, buses or HTTP bodies: what a frame on a stream means is its
//! handler's business. It is also the only one that names the WebSocket library for links.

mod buffers;
pub mod channel;
pub mod handshake;
mod keepalive;
mod link;
mod outbox;
pub mod pipe;
mod text;
mod transport;
pub mod ws;

pub use keepalive::Keepalive;
pub use link::{FrameHandler, LinkEnd, LinkFault, drive};
pub use outbox::{Outbox, OutboxLimits, PushError};
pub use transport::{Transport, TransportError};
