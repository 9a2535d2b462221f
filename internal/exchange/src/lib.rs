//! One exchange as either end sees it: a mailbox whose bound is the credit
//! granted, and HTTP bodies in and out of it.
//!
//! The edge and the agent are the two ends of every stream; what lies between
//! them (uplink, bus, link) only carries frames. Both ends follow the same
//! rules: credit per direction, one final head, nothing after the end, a reset
//! that is acknowledged. They are written here once, without sockets and
//! without knowing which end they serve beyond [`Role`].
//!
//! [`open`] gives three handles: a [`Port`] for the table that routes frames in
//! (synchronous, never blocks), a [`Sender`] and a [`Receiver`] for the tasks
//! that work on the exchange.

pub mod body;
mod budget;
pub mod hop;
mod mailbox;
mod receiver;
mod sender;
mod shared;
pub mod socket;
mod state;

pub use budget::Budget;
pub use mailbox::{CutSignal, Delivered, Opening, Outlet, Port, Role, Violation, open};
pub use receiver::{Event, Receiver};
pub use sender::Sender;

#[cfg(test)]
mod tests;
