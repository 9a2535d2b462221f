//! Who is asked for, who asks, and how much of it is let through, by visitors who
//! write their bytes themselves.

#![allow(
    clippy::unwrap_used,
    reason = "what cannot be set up has failed the test"
)]

#[path = "visitors/agent.rs"]
mod agent;
#[path = "visitors/house.rs"]
mod house;

#[path = "visitors/hosts.rs"]
mod hosts;
#[path = "visitors/limits.rs"]
mod limits;
#[path = "visitors/names.rs"]
mod names;
#[path = "visitors/proxies.rs"]
mod proxies;
