//! A `TompHTTP` Bare server: fetches remote URLs on behalf of pages that cannot.
//!
//! Pages behind service-worker proxies may ask only their own origin. They hand what they want of a remote to a Bare server,
//! in headers of its own, and get back what the remote said. Three versions of the protocol (github.com/tomphttp/specifications)
//! are spoken, a module each: `v1`, `v2`, `v3`; what they have in common – the remote request, header lists, errors, the
//! store of metadata – are the modules beside them.
//!
//! What this crate refuses to know: how requests reach it, and what a tunnel is. It is handed requests and the address of
//! who asks, and gives responses.

mod access;
mod body;
mod config;
mod error;
mod filter;
mod headers;
mod limits;
mod manifest;
mod meta;
mod relay;
mod remote;
mod respond;
mod server;
mod target;
mod v1;
mod v2;
mod v3;

pub use access::Access;
pub use body::{Body, BoxError};
pub use config::{AccessLog, Config, Family, Maintainer, Timeouts};
pub use filter::{HostPattern, HostPatternError, Rules};
pub use limits::VisitorLimits;
pub use server::{Bare, Run, Stream, Upgrade};
