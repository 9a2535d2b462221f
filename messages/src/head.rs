//! Request and response heads: encoded by hand, straight into and out of the types of the `http` crate.
//!
//! A head is preceded by its length, so that a reader can tell head from inline body without parsing, and so that later
//! versions can append fields: bytes behind the header block, inside the head, are skipped.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::error::{DecodeError, EncodeError};
use crate::frame::{Flags, Frame};
use crate::headers::{self, put_len_u8, put_len_u16};
use crate::ids::{RequestId, StreamId};
use crate::tag::Tag;
use crate::wire::Reader;

/// Longest encoded head in bytes, without its length field.
pub const MAX_HEAD: usize = 64 * 1024;

/// Longest body that travels in the same frame as its head, in bytes.
pub const MAX_INLINE_BODY: usize = 16 * 1024;

/// Longest authority in bytes: a host name has at most 253, and a port.
pub const MAX_AUTHORITY: usize = 255;

/// Bytes of the length that precedes a head.
pub(crate) const HEAD_LEN_FIELD: usize = 4;

/// How the visitor spoke to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As written in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What the edge knows of the visitor's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorFacts {
    /// The visitor's address, after trusted proxies.
    pub addr: SocketAddr,
    /// HTTP/1.0, 1.1 or 2.
    pub version: Version,
}

/// A visitor's request as the agent gets it. Scheme and authority describe it; they never choose where the agent dials.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestHead {
    /// Any token but CONNECT, at most 255 bytes.
    pub method: Method,
    /// Of the visitor's connection.
    pub scheme: Scheme,
    /// The host the visitor asked for, with its port if given; 1 to [`MAX_AUTHORITY`] bytes, no userinfo.
    pub authority: String,
    /// Origin form, byte for byte, or `*` for OPTIONS.
    pub target: PathAndQuery,
    /// Repeats in their order; at most [`crate::MAX_HEADERS`].
    pub headers: HeaderMap,
    /// Who asked, and how.
    pub visitor: VisitorFacts,
    /// What the logs call this request.
    pub request_id: RequestId,
    /// 0 for the first delivery of the request, 1 for the one retry.
    pub attempt: u8,
}

/// A target's response, interim or final.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseHead {
    /// 100 to 999 on the wire; 1xx are interim: without END, without inline body, with another head to follow.
    pub status: StatusCode,
    /// Repeats in their order; at most [`crate::MAX_HEADERS`].
    pub headers: HeaderMap,
}

impl RequestHead {
    /// The frame that opens `stream`, with `body` (at most [`MAX_INLINE_BODY`] bytes) inline. `end`: nothing follows.
    ///
    /// # Errors
    /// When a part breaks a limit or cannot be carried; nothing is allocated then.
    pub fn encode(&self, stream: StreamId, body: &[u8], end: bool) -> Result<Frame, EncodeError> {
        let payload = self.to_payload(body)?;
        Ok(Frame::new(
            Tag::HttpRequest,
            Flags::end_if(end),
            stream,
            payload,
        ))
    }

    /// The frame that opens `stream` with a WebSocket's upgrade request.
    ///
    /// # Errors
    /// When a part breaks a limit or cannot be carried; nothing is allocated then.
    pub fn encode_upgrade(&self, stream: StreamId) -> Result<Frame, EncodeError> {
        let payload = self.to_payload(&[])?;
        Ok(Frame::new(Tag::WsRequest, Flags::NONE, stream, payload))
    }

    fn to_payload(&self, body: &[u8]) -> Result<Bytes, EncodeError> {
        let method = self.method.as_str();
        if method.len() > 255 || self.method == Method::CONNECT {
            return Err(EncodeError::Method);
        }
        if !is_authority(self.authority.as_bytes()) {
            return Err(EncodeError::Authority);
        }
        let target = self.target.as_str();
        if !is_target(target.as_bytes(), &self.method) {
            return Err(EncodeError::Target);
        }
        let version = version_byte(self.visitor.version).ok_or(EncodeError::VisitorVersion)?;
        let address_len: usize = if self.visitor.addr.is_ipv4() { 4 } else { 16 };
        let len = [
            REQUEST_FIXED,
            address_len,
            method.len(),
            self.authority.len(),
            target.len(),
            headers::encoded_len(&self.headers)?,
        ]
        .into_iter()
        .fold(0, usize::saturating_add);

        let mut out = start(len, body)?;
        out.push(self.attempt);
        out.extend_from_slice(&self.request_id.0);
        out.push(version);
        put_addr(&mut out, self.visitor.addr);
        out.push(match self.scheme {
            Scheme::Http => 0,
            Scheme::Https => 1,
        });
        put_len_u8(&mut out, method.len());
        out.extend_from_slice(method.as_bytes());
        put_len_u8(&mut out, self.authority.len());
        out.extend_from_slice(self.authority.as_bytes());
        put_len_u16(&mut out, target.len());
        out.extend_from_slice(target.as_bytes());
        headers::put(&mut out, &self.headers);
        out.extend_from_slice(body);
        Ok(Bytes::from(out))
    }

    /// Reads the payload of an `HttpRequest`: the head, and the inline body as a slice of the payload.
    pub(crate) fn decode(payload: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let (mut reader, body) = split(payload)?;
        let attempt = reader.u8("attempt")?;
        let request_id = RequestId(reader.array("request id")?);
        let version = match reader.u8("visitor version")? {
            10 => Version::HTTP_10,
            11 => Version::HTTP_11,
            20 => Version::HTTP_2,
            other => return Err(DecodeError::VisitorVersion(other)),
        };
        let addr = read_addr(&mut reader)?;
        let scheme = match reader.u8("scheme")? {
            0 => Scheme::Http,
            1 => Scheme::Https,
            other => return Err(DecodeError::Scheme(other)),
        };
        let method = read_method(&mut reader)?;
        let authority = read_authority(&mut reader)?;
        let target = read_target(&mut reader, &method)?;
        let headers = headers::read(&mut reader)?;
        let head = Self {
            method,
            scheme,
            authority,
            target,
            headers,
            visitor: VisitorFacts { addr, version },
            request_id,
            attempt,
        };
        Ok((head, body))
    }
}

impl ResponseHead {
    /// The frame that carries this head, with `body` (at most [`MAX_INLINE_BODY`] bytes) inline. `end`: nothing follows.
    ///
    /// # Errors
    /// When a part breaks a limit, or an interim head is given a body or an end.
    pub fn encode(&self, stream: StreamId, body: &[u8], end: bool) -> Result<Frame, EncodeError> {
        if self.status.is_informational() && (end || !body.is_empty()) {
            return Err(EncodeError::Interim);
        }
        let payload = self.to_payload(body)?;
        Ok(Frame::new(
            Tag::HttpResponse,
            Flags::end_if(end),
            stream,
            payload,
        ))
    }

    /// The frame that accepts a WebSocket; the status is 101 whatever this head says.
    ///
    /// # Errors
    /// When the head breaks a limit.
    pub fn encode_accepted(&self, stream: StreamId) -> Result<Frame, EncodeError> {
        let accepted = Self {
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers: self.headers.clone(),
        };
        let payload = accepted.to_payload(&[])?;
        Ok(Frame::new(Tag::WsResponse, Flags::NONE, stream, payload))
    }

    /// This head, if it accepts an upgrade.
    pub(crate) fn accepted(self) -> Result<Self, DecodeError> {
        if self.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self);
        }
        Err(DecodeError::NotAccepted(self.status.as_u16()))
    }

    fn to_payload(&self, body: &[u8]) -> Result<Bytes, EncodeError> {
        let len = headers::encoded_len(&self.headers)?.saturating_add(RESPONSE_FIXED);
        let mut out = start(len, body)?;
        out.extend_from_slice(&self.status.as_u16().to_be_bytes());
        headers::put(&mut out, &self.headers);
        out.extend_from_slice(body);
        Ok(Bytes::from(out))
    }

    /// Reads the payload of an `HttpResponse`: the head, and the inline body as a slice of the payload.
    pub(crate) fn decode(payload: &Bytes, end: bool) -> Result<(Self, Bytes), DecodeError> {
        let (mut reader, body) = split(payload)?;
        let status = reader.u16("status")?;
        let status = StatusCode::from_u16(status).map_err(|_| DecodeError::Status(status))?;
        if status.is_informational() && (end || !body.is_empty()) {
            return Err(DecodeError::Interim);
        }
        let headers = headers::read(&mut reader)?;
        Ok((Self { status, headers }, body))
    }
}

/// Length of the inline body in a head's payload, without parsing the head; 0 where the payload is malformed.
pub(crate) fn inline_body_len(payload: &[u8]) -> usize {
    let Some((field, rest)) = payload.split_first_chunk::<HEAD_LEN_FIELD>() else {
        return 0;
    };
    let head = usize::try_from(u32::from_be_bytes(*field)).unwrap_or(usize::MAX);
    rest.len().saturating_sub(head)
}

/// Bytes of a request head besides address, method, authority, target and headers: attempt, request id, version, address
/// family, port, scheme and three lengths.
const REQUEST_FIXED: usize = 1 + 16 + 1 + 1 + 2 + 1 + 1 + 1 + 2;

/// Bytes of a response head besides headers: the status.
const RESPONSE_FIXED: usize = 2;

/// Checks both limits, then reserves exactly what head and body will take and writes the head's length.
fn start(head: usize, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
    if body.len() > MAX_INLINE_BODY {
        return Err(EncodeError::InlineBodyTooLarge { len: body.len() });
    }
    let field = match u32::try_from(head) {
        Ok(field) if head <= MAX_HEAD => field,
        Ok(_) | Err(_) => return Err(EncodeError::HeadTooLarge { len: head }),
    };
    let mut out = Vec::with_capacity(
        HEAD_LEN_FIELD
            .saturating_add(head)
            .saturating_add(body.len()),
    );
    out.extend_from_slice(&field.to_be_bytes());
    Ok(out)
}

/// Tells head from inline body and checks the limits of both.
fn split(payload: &Bytes) -> Result<(Reader<'_>, Bytes), DecodeError> {
    let mut reader = Reader::new(payload);
    let len = usize::try_from(reader.u32("head length")?).unwrap_or(usize::MAX);
    if len > MAX_HEAD {
        return Err(DecodeError::HeadTooLarge { len });
    }
    let head = reader.section(len, "head")?;
    if reader.len() > MAX_INLINE_BODY {
        return Err(DecodeError::InlineBodyTooLarge { len: reader.len() });
    }
    Ok((head, reader.remainder()))
}

fn version_byte(version: Version) -> Option<u8> {
    match version {
        Version::HTTP_10 => Some(10),
        Version::HTTP_11 => Some(11),
        Version::HTTP_2 => Some(20),
        _ => None,
    }
}

fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

fn read_addr(reader: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip = match reader.u8("address family")? {
        4 => IpAddr::from(reader.array::<4>("address")?),
        6 => IpAddr::from(reader.array::<16>("address")?),
        other => return Err(DecodeError::AddressFamily(other)),
    };
    Ok(SocketAddr::new(ip, reader.u16("port")?))
}

fn read_method(reader: &mut Reader<'_>) -> Result<Method, DecodeError> {
    let len = usize::from(reader.u8("method length")?);
    let method =
        Method::from_bytes(reader.bytes(len, "method")?).map_err(|_| DecodeError::Method)?;
    if method == Method::CONNECT {
        return Err(DecodeError::Method);
    }
    Ok(method)
}

fn read_authority(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let len = usize::from(reader.u8("authority length")?);
    let authority = reader.bytes(len, "authority")?;
    if !is_authority(authority) {
        return Err(DecodeError::Authority);
    }
    String::from_utf8(authority.to_vec()).map_err(|_| DecodeError::Authority)
}

fn read_target(reader: &mut Reader<'_>, method: &Method) -> Result<PathAndQuery, DecodeError> {
    let len = usize::from(reader.u16("target length")?);
    let target = reader.shared(len, "target")?;
    if !is_target(&target, method) {
        return Err(DecodeError::Target);
    }
    PathAndQuery::from_maybe_shared(target).map_err(|_| DecodeError::Target)
}

/// Host and optional port in the characters of RFC 3986; whether the host names anything is for the edge to say.
fn is_authority(bytes: &[u8]) -> bool {
    let legal = |byte: &u8| IN_AUTHORITY.get(usize::from(*byte)) == Some(&true);
    (1..=MAX_AUTHORITY).contains(&bytes.len()) && bytes.iter().all(legal)
}

/// Which bytes an authority may have. A table: a hostname that is a key is long, and is checked at both ends.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler runs it, and would say so"
)]
const IN_AUTHORITY: [bool; 256] = {
    let mut table = [false; 256];
    let legal =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:[]";
    let mut at = 0;
    while at < legal.len() {
        table[legal[at] as usize] = true;
        at += 1;
    }
    table
};

/// The two forms that a target may have. A `#` is refused because the parser behind would silently cut the target there.
fn is_target(target: &[u8], method: &Method) -> bool {
    match target {
        [b'/', rest @ ..] => !rest.contains(&b'#'),
        b"*" => method == Method::OPTIONS,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
