//! What a client is told when it gets no remote response (BareServerErrors.md of the specification).

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::body::{Body, full};

/// The codes of the specification, and those of ours, which it wants to begin with `IMPL_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unknown,
    MissingBareHeader,
    InvalidBareHeader,
    UnknownBareHeader,
    ForbiddenBareHeader,
    InvalidHeader,
    HostNotFound,
    ConnectionReset,
    ConnectionRefused,
    ConnectionTimeout,
    /// What the reference program says to those who exceed its rate.
    ConnectionLimitExceeded,
    /// The remote's certificate, or its TLS.
    ImplTlsFailed,
    /// More at once than this server takes.
    ImplOverloaded,
}

impl Code {
    /// As on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::MissingBareHeader => "MISSING_BARE_HEADER",
            Self::InvalidBareHeader => "INVALID_BARE_HEADER",
            Self::UnknownBareHeader => "UNKNOWN_BARE_HEADER",
            Self::ForbiddenBareHeader => "FORBIDDEN_BARE_HEADER",
            Self::InvalidHeader => "INVALID_HEADER",
            Self::HostNotFound => "HOST_NOT_FOUND",
            Self::ConnectionReset => "CONNECTION_RESET",
            Self::ConnectionRefused => "CONNECTION_REFUSED",
            Self::ConnectionTimeout => "CONNECTION_TIMEOUT",
            Self::ConnectionLimitExceeded => "CONNECTION_LIMIT_EXCEEDED",
            Self::ImplTlsFailed => "IMPL_TLS_FAILED",
            Self::ImplOverloaded => "IMPL_OVERLOADED",
        }
    }
}

/// One error: a status, a code, and the id of what was wrong: `<object>[.<key>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BareError {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) id: String,
    pub(crate) message: Cow<'static, str>,
}

/// Its form on the wire.
#[derive(Serialize)]
struct Wire<'a> {
    code: &'static str,
    id: &'a str,
    message: &'a str,
}

impl BareError {
    pub(crate) fn new(
        status: StatusCode,
        code: Code,
        id: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            id: id.into(),
            message: message.into(),
        }
    }

    /// A header that the version asks for is not there.
    pub(crate) fn missing(header: &str) -> Self {
        Self::of_header(Code::MissingBareHeader, header, "Header was not specified.")
    }

    /// A header has a value that cannot be read.
    pub(crate) fn invalid(header: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::of_header(Code::InvalidBareHeader, header, why)
    }

    /// A header that begins like those of the specification and is none.
    pub(crate) fn unknown_header(header: &str) -> Self {
        Self::of_header(
            Code::UnknownBareHeader,
            header,
            "The header is none of this version.",
        )
    }

    /// A value in this header is not allowed.
    pub(crate) fn forbidden(header: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            ..Self::of_header(Code::ForbiddenBareHeader, header, why)
        }
    }

    /// A member of X-Bare-Headers is no string and no list of strings.
    pub(crate) fn not_a_string(name: &str) -> Self {
        let id = format!("bare.headers.{name}");
        let why = "Header was not a String.";
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidBareHeader, id, why)
    }

    /// A member of X-Bare-Headers cannot be a header of HTTP.
    pub(crate) fn illegal_header(name: &str) -> Self {
        let id = format!("bare.headers.{name}");
        let why = "HTTP allows no header of this name and value.";
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidHeader, id, why)
    }

    /// No route.
    pub(crate) fn not_found() -> Self {
        let id = "error.NotFoundError";
        Self::new(StatusCode::NOT_FOUND, Code::Unknown, id, "Not Found")
    }

    /// An address that is not for everybody to reach through this server.
    pub(crate) fn forbidden_address() -> Self {
        Self::internal(Code::Unknown, "error.RangeError", "Forbidden IP")
    }

    /// Something about the remote.
    pub(crate) fn internal(
        code: Code,
        id: &'static str,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, id, why)
    }

    /// More at once than this server takes.
    pub(crate) fn overloaded(why: &'static str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, Code::ImplOverloaded, "unknown", why)
    }

    fn of_header(code: Code, header: &str, why: impl Into<Cow<'static, str>>) -> Self {
        let id = format!("request.headers.{header}");
        Self::new(StatusCode::BAD_REQUEST, code, id, why)
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let wire = Wire {
            code: self.code.as_str(),
            id: &self.id,
            message: &self.message,
        };
        let text = serde_json::to_string_pretty(&wire).expect("strings are JSON");
        let mut response = Response::new(full(text));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}
