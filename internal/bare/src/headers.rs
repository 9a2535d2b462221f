//! Header rules of the specification: what `X-Bare-Headers` says, how it is split, and the lists beside it.

pub(crate) mod fields;
pub(crate) mod lists;
pub(crate) mod split;

use http::HeaderMap;

/// The headers of the specification, as ids name them.
pub(crate) const HOST: &str = "x-bare-host";
pub(crate) const PORT: &str = "x-bare-port";
pub(crate) const PROTOCOL: &str = "x-bare-protocol";
pub(crate) const PATH: &str = "x-bare-path";
pub(crate) const URL: &str = "x-bare-url";
pub(crate) const HEADERS: &str = "x-bare-headers";
pub(crate) const FORWARD_HEADERS: &str = "x-bare-forward-headers";
pub(crate) const PASS_HEADERS: &str = "x-bare-pass-headers";
pub(crate) const PASS_STATUS: &str = "x-bare-pass-status";
pub(crate) const ID: &str = "x-bare-id";
pub(crate) const STATUS: &str = "x-bare-status";
pub(crate) const STATUS_TEXT: &str = "x-bare-status-text";

/// The value of a header as browsers write it: one byte a character (ISO 8859-1), repeats joined by commas.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let values: Vec<String> = values.map(|value| latin1(value.as_bytes())).collect();
    Some(values.join(", "))
}

/// ISO 8859-1 is the first 256 characters of Unicode.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
