//! The uplink between an agent on an in-memory pipe and an edge that is only an
//! inbox: what it grants, refuses, carries, holds back and ends.

mod admission;
mod caps;
mod channel;
mod house;
mod leaving;
mod pace;
mod registration;
mod spread;
mod streams;
mod websocket;
