//! The two ends of a tunnel that is measured: a visitor and a service that ask for no memory once they are set up, so
//! that every allocation of the process is the tunnel's.
//!
//! They speak as much HTTP and WebSocket as the measured exchanges need, and panic at anything else. No program links
//! this crate.

mod service;
mod visitor;
mod wire;

pub use service::Service;
pub use visitor::Visitor;

/// Bytes of a small response's body.
pub const SMALL: usize = 1024;
/// Bytes of a body that goes in lock step: the next are sent when these have arrived, so they are one frame.
pub const STEP: usize = 4096;
/// Such steps in one body.
pub const STEPS: usize = 1000;
/// Bytes of a large body.
pub const LARGE: usize = 64 << 20;
/// Bytes of a WebSocket message; below 126, where its length takes one byte.
pub const MESSAGE: usize = 100;
