//! The built binaries with real services behind them, as visitors, agents' owners and attackers meet them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise fails, which is its job"
)]

mod aborted;
mod admission;
mod agents_addresses;
mod attacks;
mod bad_frames;
mod channel;
mod custom_domains;
mod event_streams;
mod exchanges;
mod expectations;
mod failures;
mod forwarding;
mod framing;
mod grpc;
mod h2c_targets;
mod http2_floods;
mod http2_visitors;
mod large_bodies;
mod limits;
mod many_websockets;
mod names;
mod passwords;
mod policies;
mod real_services;
mod real_websockets;
mod rotation;
mod self_check;
mod survival;
mod trailers;
mod tunnel;
mod websocket_attacks;
mod websockets;
