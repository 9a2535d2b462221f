//! Policies as visitors meet them: through a real listener, over HTTP/1.1 and
//! HTTP/2, in requests, event streams and WebSockets.

#![allow(
    clippy::unwrap_used,
    reason = "what cannot be set up has failed the test"
)]

#[path = "policies/agent.rs"]
mod agent;
#[path = "policies/house.rs"]
mod house;

#[path = "policies/pages.rs"]
mod pages;
#[path = "policies/passwords.rs"]
mod passwords;
#[path = "policies/pools.rs"]
mod pools;
#[path = "policies/rules.rs"]
mod rules;
#[path = "policies/webhooks.rs"]
mod webhooks;
