//! Where bytes lie on their way into a link and out of it, whichever transport carries it.
//!
//! What all transports have in common is what is dear: memory that is held while nothing happens, copies, and system
//! calls. Bytes are read into a [`scratch`] that the links of a thread lend each other ([`pool`]), and what is to be
//! written between two flushes is one [`batch`].

pub(crate) mod batch;
mod pool;
pub(crate) mod scratch;
