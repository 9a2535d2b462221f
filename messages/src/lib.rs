//! The wire between agent and server: types, codec, limits and credit rules, as `SPEC.md` describes them.
//!
//! A leaf: it knows bytes, and nothing of sockets, clocks, tasks or keys. Whatever comes from a peer is bounded here before
//! anything is stored for it, and no input can make it panic. The layers, from the outside in: [`Frame`] (tag, flags, stream,
//! payload), [`Message`] (what a payload says), and the types of single messages.
//!
//! What it refuses to know: which message is allowed when (the link and the exchange keep that), whether a signature is good
//! (identity), what a header means (edge and agent).
#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that computes nonsense fails, which is its job"
    )
)]

mod control;
mod credit;
mod error;
mod frame;
mod head;
mod headers;
mod ids;
mod message;
mod policy;
mod reset;
mod socket;
mod tag;
mod text;
mod ticket;
mod wire;

pub use control::{
    Disconnect, DisconnectCode, Granted, Hello, LinkLimits, MAX_DOMAIN, Notice, NoticeCode,
    PROTOCOL_VERSION, RefusalCode, Refused, RegistrationResponse,
};
pub use credit::{
    CreditOverflow, FRAME_OVERHEAD, GROWTH_PERIOD, INITIAL_WINDOW, MAX_CREDIT, MAX_WINDOW,
    MIN_CHUNK, Overrun, ReceiveWindow, SendCredit, cost,
};
pub use error::{DecodeError, EncodeError};
pub use frame::{Flags, Frame, FrameError, HEADER_LEN, MAX_FRAME};
pub use head::{
    MAX_AUTHORITY, MAX_HEAD, MAX_INLINE_BODY, RequestHead, ResponseHead, Scheme, VisitorFacts,
};
pub use headers::{MAX_HEADER_NAME, MAX_HEADERS, MAX_TRAILERS};
pub use ids::{Hex, IdError, LabelError, NodeId, RequestId, StreamId, TunnelId};
pub use message::Message;
pub use policy::{
    BasicAuth, Cors, Credential, FieldRules, MAX_POLICY, MAX_RULES, Network, NotANetwork, Policy,
    PolicyError, PolicyId, Provider, Secret, Webhook,
};
pub use reset::{MAX_REASON, Reset, ResetCode};
pub use socket::{MAX_CLOSE_REASON, Teardown};
pub use tag::{MAX_BODY_FRAME, MAX_REGISTRATION, Tag};
pub use ticket::{MAX_TICKET, TICKET_LIFETIME, TICKETS_PATH, Ticket};
