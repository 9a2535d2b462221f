//! `adit bare`, built and started as a user starts it, against the numbered facts of docs/bare.md.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that panics has failed, and has no users"
)]

mod common;
mod filter;
mod limits;
mod npm;
mod remotes;
mod sockets;
mod stage;
mod trouble;
mod v1;
mod v2;
mod v3;
