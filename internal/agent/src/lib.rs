//! The client as a library: connect, register, keep links up, call the target.
//!
//! From the outside in: [`Agent`] keeps links to a server up for as long as it is wanted; a link carries streams;
//! each stream is one exchange, a task of its own that asks the [`Target`] and sends its answer back under credit.
//! [`HttpTarget`] is the target that most people want: one local HTTP service.
//!
//! What this crate refuses to know: what a hostname means to visitors (the edge decides), how frames travel (the
//! tunnel), and how anything is shown to a person ([`Event`]s are handed out).

mod agent;
mod backoff;
mod body;
mod context;
mod error;
mod event;
mod hostname;
mod http_target;
mod link;
mod links;
mod self_check;
mod serve;
mod streams;
mod target;
#[cfg(test)]
mod testing;
mod transport;
mod ws;

pub use agent::{Agent, Config, Dials};
pub use body::{RequestBody, RequestBodyError};
pub use context::Context;
pub use error::{AgentError, LinkError};
pub use event::{Event, Outcome, PoolChange, PoolSize, Report};
pub use hostname::Hostname;
pub use http_target::{
    HostHeader, HostHeaderError, HttpTarget, HttpTargetConfig, ProxyProtocol, ProxyProtocolError,
    TargetProtocol, TargetProtocolError, TargetUrl, TargetUrlError,
};
pub use links::{Links, LinksError, MAX_LINKS};
pub use self_check::SelfCheck;
pub use target::{BoxError, Duplex, SocketAnswer, Target, TargetBody, TargetError};
pub use transport::{Transports, TransportsError, Via};
