//! The built binaries as a fleet: real nodes, a real Redis, real balancers, and everything that can happen to them.
//!
//! Times in here are those the documentation promises, and what a busy machine adds to them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise fails, which is its job"
)]

mod anywhere;
mod channel;
mod compose;
mod deaths;
mod drains;
mod half_open;
mod links;
mod nginx;
mod redis_trouble;
mod residue;
mod rolling;
mod service;
mod slow_visitor;
mod stage;
mod standstill;
mod takeovers;
