//! The built binaries with real services behind them, as visitors, agents' owners and attackers meet them.

mod attacks;
mod bad_frames;
mod exchanges;
mod failures;
mod grpc;
mod real_services;
mod survival;
