//! The public side: listener, host to tunnel, one exchange, errors to responses.
//!
//! A visitor's connection is accepted by [`Edge::serve`], its requests are
//! turned into exchanges, and those into frames on the bus. The edge knows
//! nothing of links and keys: it addresses tunnels through the directory and
//! meets the uplink only on the bus.
//!
//! The order of work on a request is the order of the modules: `host` decides
//! what it names, `holder` finds who has that name, within `limits`, and `route` a
//! link of his, `headers` removes what belongs to one hop, `policy` applies the
//! rules of that link, `forwarded` writes who asked, `relay` or `ws` runs the
//! exchange, and `failure` is the one place that decides the statuses Adit answers
//! itself.

mod body;
mod clock;
mod config;
mod connection;
mod edge;
mod failure;
mod forwarded;
mod headers;
mod holder;
mod host;
mod io;
mod limits;
mod listener;
mod page;
mod policy;
mod proxy_protocol;
mod relay;
mod request;
mod request_ids;
mod response;
mod route;
mod source;
mod table;
mod upload;
mod visit;
mod ws;

pub use body::{Body, BoxError};
pub use config::{BadDomain, Config, Granted, OverRate, ProxyProtocol, Rate};
pub use edge::{Edge, Reserved};
