//! What both binaries do at birth and death: configuration layers, logging, workers, signals, drain.
//!
//! A leaf that knows nothing of tunnels. It reads neither the environment nor the command line and ends no process:
//! `cmd` hands those in and turns an [`Exit`] into the exit code, so that everything here can be tested in process.

pub mod config;
pub mod drain;
pub mod exit;
pub mod files;
pub mod logging;
pub mod resources;
pub mod signals;
pub mod workers;

pub use drain::{Drained, drain};
pub use exit::Exit;
pub use signals::{Signal, Signals};
pub use workers::{WorkerEnd, Workers};
