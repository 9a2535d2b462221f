//! The TCP transport: TLS 1.3 between two Ed25519 keys, and in it one frame a record, behind its length.
//!
//! For networks that break or slow down WebSockets. An agent asks for a ticket over HTTP ([`hear_offer`]), opens TCP to where that
//! says, and pins the key that it names ([`connect`]); the server takes the ticket out of the first record ([`Door`]). No
//! certificates: either side shows its key as it is (RFC 7250). So the server knows whose connection it is before a word
//! of the handshake is said, and everything behind the first message of TLS is encrypted.

mod client;
mod error;
mod keys;
mod offer;
mod reader;
mod records;
mod server;
mod socket;

pub use client::{Connected, connect};
pub use error::ChannelError;
pub use offer::{Offer, hear_offer};
pub use records::Records;
pub use server::{AcceptError, Accepted, Door};
pub use socket::Lent;

/// Bytes of the length in front of each record.
const PREFIX: usize = 4;

/// Bytes of a ticket's id: what the first record of an agent has, and nothing else.
const TICKET: usize = 32;

#[cfg(test)]
mod tests;
