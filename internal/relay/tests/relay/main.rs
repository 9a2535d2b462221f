//! The relay between real sockets: what visitors and an upstream see of it, when both behave and when one does not.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise fails, which is its job"
)]

mod bad_input;
mod ends;
mod handshakes;
mod messages;
mod shared;
mod stage;
mod trouble;
