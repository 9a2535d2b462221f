//! What tests of Adit talk with: visitors, local services, agents and servers, in domain words.
//!
//! The binaries are started as a user starts them ([`process`]); services behind them are small ones of ours
//! ([`origin`]) or real programs; visitors ([`visitor`]) speak HTTP through hyper, or raw bytes where a rule of the wire
//! is what the test is about; [`hostile`] is an agent that speaks the protocol and breaks it.
//!
//! For tests only: helpers panic with the reason instead of returning errors.

pub mod balancer;
pub mod cluster;
pub mod fault;
pub mod fleet;
pub mod hostile;
pub mod http2;
pub mod load;
pub mod origin;
pub mod port;
pub mod process;
pub mod redis;
pub mod socket;
pub mod visitor;
