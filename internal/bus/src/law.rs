//! The law of claiming a tunnel: what a record decides, and the book of all records.
//!
//! It is pure: whoever asks brings the time. The memory backend decides by it for the whole fleet. The Redis backend
//! keeps the same law in a script, and uses this one for its own links while Redis cannot be asked.

mod clock;
mod ledger;
mod pins;
mod record;

pub(crate) use clock::{Clock, Now};
pub(crate) use ledger::Ledger;
pub(crate) use pins::{MAX_PINS, Pin, Pins};
pub(crate) use record::{
    Announcer, Holder, LATE_PERIOD, MAX_AHEAD_MICROS, MAX_KNOWN, MAX_TAKEOVERS, MAX_WITHDRAWN,
    TAKEOVER_PERIOD,
};
