//! The Redis bus against real servers and real trouble. The rules themselves are the conformance suite's.

mod cluster;
mod fleet;
mod hasty;
mod load;
mod masters;
mod names;
mod reach;
mod sentinel;
mod server;

mod trouble;
