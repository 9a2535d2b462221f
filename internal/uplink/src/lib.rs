//! Admits agents, keeps their links, and bridges link and bus.
//!
//! The agent-facing half of a node. An agent comes in by [`Uplink::upgrade`], or
//! over TCP by [`Uplink::serve_channel`] with a ticket from [`Uplink::ticket`] (or
//! by [`Uplink::accept`]), past caps that are asked before any signature is verified
//! and the operator's rules (`admission`), through the handshake into the
//! directory (`admit`, `claim`); from then
//! on one task owns its link, and exchanges run over it as streams (`link`,
//! `streams`). Edges are met only on the bus: [`Uplink::deliver`] takes what they
//! send, and answers go back by [`bus::Bus::send`], to the own node like to any.
//!
//! It does not know what a frame on a stream says, only whose it is and whether
//! it ends something; bodies, credit and statuses are the edge's and the agent's.

mod admission;
mod admit;
mod channel;
mod claim;
mod config;
mod link;
mod pinning;
mod refusal;
mod registry;
mod spread;
mod stats;
mod streams;
mod throttle;
mod tickets;
mod traffic;
mod uplink;

pub use admission::{
    AdmissionMode, BadLines, Ceiling, Keys, MAX_KEYS_FILE, MAX_TOKENS, MAX_TOKENS_FILE, NotAToken,
    Rules, Token, TxtError, TxtResolver,
};
pub use channel::Channel;
pub use config::{Config, PublicUrl, Rate, UrlScheme};
pub use stats::Stats;
pub use uplink::Uplink;
