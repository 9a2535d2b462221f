//! HTTP bodies in and out of an exchange.

mod incoming;
mod peeked;
mod pump;

pub use incoming::{Incoming, IncomingError, Rules};
pub use peeked::Peeked;
pub use pump::{PumpError, PumpRules, pump};
