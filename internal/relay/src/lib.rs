//! A WebSocket relay: what a visitor says goes through a pipeline of steps to an upstream, and what the upstream says
//! through another one back.
//!
//! Each visitor has a connection to the upstream of their own, so nobody waits for anybody and answers need no address.
//! With [`Config::shared`] all visitors share one, and each request carries a number by which its answer finds back.
//!
//! The crate knows nothing of tunnels: it takes a byte stream behind a finished WebSocket handshake, whoever made that.
//! It spawns one task, the shared upstream's; everything else runs in the future of the visit, and dropping that ends
//! it. Memory is bounded by the limits of the [`Config`], whatever either side sends.

mod backoff;
mod config;
mod dial;
mod event;
mod failure;
mod intake;
mod own;
mod pipeline;
mod relay;
mod rules;
mod settings;
mod shared;
mod socket;
mod speaker;
pub mod step;
mod upstream;

pub use config::{Config, Errors, Limits};
pub use event::{Event, Json, Payload};
pub use pipeline::{Pipeline, PipelineError};
pub use relay::{Opened, Refused, Relay, Visit};
pub use rules::{Pointer, Rule, RuleError};
pub use settings::{Names, Settings, SettingsError};
pub use upstream::{Upstream, UpstreamError};
