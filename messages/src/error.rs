//! What can be wrong with a payload, one variant a rule of the specification.
//!
//! What a violation costs is decided by the tag, not here: on a stream it resets the stream, on the link it ends the link.

use crate::head::{MAX_AUTHORITY, MAX_HEAD, MAX_INLINE_BODY};
use crate::headers::{MAX_HEADER_NAME, MAX_HEADERS, MAX_TRAILERS};
use crate::reset::MAX_REASON;
use crate::tag::Tag;

/// Why a payload is not the message its tag says. The text names the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The tag is unknown to this version. Skip the frame.
    #[error("tag {0:#04x} is unknown")]
    Unknown(u8),
    /// The messages of an upgrade carry no body.
    #[error("an upgrade carries no body, this one has {len} bytes")]
    UpgradeBody {
        /// Length of the body, bytes.
        len: usize,
    },
    /// A `WsResponse` accepts; a refusal is an `HttpResponse`.
    #[error("a WsResponse has status 101, not {0}")]
    NotAccepted(u16),
    /// A close code outside 1000 to 4999 (RFC 6455, 7.4).
    #[error("{0} is no close code")]
    CloseCode(u16),
    /// The payload ends inside a field.
    #[error("the payload ends inside its {what}")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// Bytes are left after the last field of a message that cannot be extended.
    #[error("{extra} bytes follow the end of the {what}")]
    TrailingBytes {
        /// The message or block.
        what: &'static str,
        /// How many.
        extra: usize,
    },
    /// A payload of fixed length has another one.
    #[error("{tag:?} has a payload of {expected} bytes, not {got}")]
    Length {
        /// The message.
        tag: Tag,
        /// The only legal length in bytes.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Encoded head above the limit.
    #[error("a head has at most {MAX_HEAD} bytes, not {len}")]
    HeadTooLarge {
        /// Announced length in bytes.
        len: usize,
    },
    /// Trailer block above the limit.
    #[error("trailers have at most {MAX_TRAILERS} bytes, not {len}")]
    TrailersTooLarge {
        /// Length in bytes.
        len: usize,
    },
    /// More header entries than allowed; repeats count.
    #[error("a header block has at most {MAX_HEADERS} entries, not {count}")]
    TooManyHeaders {
        /// Announced entries.
        count: usize,
    },
    /// A header name that is empty, has upper case, or is no token.
    #[error("header {index}: a name is a lower-case token (RFC 9110 section 5.1)")]
    HeaderName {
        /// Position in the block, from 0.
        index: usize,
    },
    /// A header value with a control character.
    #[error("header {index}: a value has no control characters but tab (RFC 9110 section 5.5)")]
    HeaderValue {
        /// Position in the block, from 0.
        index: usize,
    },
    /// Not a token, or CONNECT.
    #[error("a method is a token (RFC 9110 section 9.1) and not CONNECT")]
    Method,
    /// A scheme byte other than 0 (http) or 1 (https).
    #[error("a scheme is 0 (http) or 1 (https), not {0}")]
    Scheme(u8),
    /// Not host and optional port.
    #[error(
        "an authority is a host with an optional port, without userinfo, of 1 to {MAX_AUTHORITY} bytes"
    )]
    Authority,
    /// Neither origin form nor the asterisk of OPTIONS.
    #[error(
        "a target is origin form (/path?query, no fragment), or * for OPTIONS (RFC 9112 section 3.2)"
    )]
    Target,
    /// An address family byte other than 4 or 6.
    #[error("an address family is 4 or 6, not {0}")]
    AddressFamily(u8),
    /// A visitor's HTTP version other than 1.0, 1.1 and 2.
    #[error("a visitor's HTTP version is 10, 11 or 20, not {0}")]
    VisitorVersion(u8),
    /// A status outside 100 to 999.
    #[error("a status is 100 to 999, not {0}")]
    Status(u16),
    /// A 1xx head that ends the stream or brings a body.
    #[error("an interim (1xx) head has neither END nor an inline body")]
    Interim,
    /// Inline body above the limit.
    #[error(
        "an inline body has at most {MAX_INLINE_BODY} bytes, not {len}; longer ones follow in Body frames"
    )]
    InlineBodyTooLarge {
        /// Length in bytes.
        len: usize,
    },
    /// A credit grant of zero or with the top bit set.
    #[error("a window increment is 1 to 2147483647, not {0}")]
    WindowIncrement(u32),
    /// Reason of a reset above the limit.
    #[error("a reason has at most {MAX_REASON} bytes, not {len}")]
    ReasonTooLong {
        /// Length in bytes.
        len: usize,
    },
    /// Reason of a reset that is not text.
    #[error("a reason is UTF-8")]
    ReasonUtf8,
    /// A registration request that cannot be a compact JWS.
    #[error(
        "a registration request is a compact JWS: characters A-Z a-z 0-9 - _ and dots, not empty"
    )]
    RegistrationAlphabet,
    /// JSON that does not parse, misses a field or has one of another type.
    #[error("{tag:?} is not the JSON object of the specification: {reason}")]
    Json {
        /// The message.
        tag: Tag,
        /// What the parser says, cut to [`MAX_REASON`] bytes.
        reason: String,
    },
}

/// Why something cannot be put on the wire. Names the limit, so that a caller can answer 431, 413 or 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Encoded head above the limit.
    #[error("a head has at most {MAX_HEAD} bytes encoded, not {len}")]
    HeadTooLarge {
        /// Encoded length in bytes.
        len: usize,
    },
    /// Encoded trailers above the limit.
    #[error("trailers have at most {MAX_TRAILERS} bytes encoded, not {len}")]
    TrailersTooLarge {
        /// Encoded length in bytes.
        len: usize,
    },
    /// More header entries than allowed; repeats count.
    #[error("a header block has at most {MAX_HEADERS} entries, not {count}")]
    TooManyHeaders {
        /// Entries.
        count: usize,
    },
    /// A header name above the limit.
    #[error("a header name has at most {MAX_HEADER_NAME} bytes, not {len}")]
    HeaderNameTooLong {
        /// Length in bytes.
        len: usize,
    },
    /// A method above 255 bytes, or CONNECT.
    #[error("a method has at most 255 bytes and is not CONNECT")]
    Method,
    /// Not host and optional port.
    #[error(
        "an authority is a host with an optional port, without userinfo, of 1 to {MAX_AUTHORITY} bytes"
    )]
    Authority,
    /// Neither origin form nor the asterisk of OPTIONS.
    #[error("a target is origin form, or * for OPTIONS (RFC 9112 section 3.2)")]
    Target,
    /// A version other than 1.0, 1.1 and 2.
    #[error("a visitor's HTTP version is 1.0, 1.1 or 2")]
    VisitorVersion,
    /// A 1xx head that ends the stream or brings a body.
    #[error("an interim (1xx) head has neither END nor an inline body")]
    Interim,
    /// Inline body above the limit.
    #[error("an inline body has at most {MAX_INLINE_BODY} bytes, not {len}")]
    InlineBodyTooLarge {
        /// Length in bytes.
        len: usize,
    },
}
