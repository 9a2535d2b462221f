//! Bodies as this crate takes and gives them.

use std::error::Error;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// Any error of a body. It cuts the message: a body that broke off is never passed off as a whole one.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a request or a response.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is here already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    full(Bytes::new())
}
