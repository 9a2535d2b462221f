//! A visitor's request as it crosses the tunnel.

use exchange::{body::Peeked, hop};
use http::{
    HeaderMap, Method, Request, Version,
    header::{CONTENT_LENGTH, EXPECT, HeaderValue, MAX_FORWARDS, TRANSFER_ENCODING},
    request::Parts,
};
use http_body::Body as _;
use hyper::body::Incoming;
use messages::{RequestHead, RequestId, VisitorFacts};

use crate::{
    config::Config,
    connection::Connection,
    failure::Failure,
    forwarded, headers,
    host::{self, Addressed},
};

/// A request ready to be sent to an agent.
pub(crate) struct Outgoing {
    pub(crate) head: RequestHead,
    pub(crate) body: Peeked<Incoming>,
    pub(crate) kind: BodyKind,
}

/// How the body of a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// There is none.
    None,
    /// It follows, or goes along when it is small and already here.
    Present,
    /// It is asked for when the service says `100 Continue`.
    Expected,
}

/// Refuses a head above the limit of this server. The library for HTTP/1.1 reads
/// further ahead than that; the one for HTTP/2 counts heads by itself.
pub(crate) fn check_size<B>(request: &Request<B>, max: usize) -> Result<(), Failure> {
    if request.version() == Version::HTTP_2 {
        return Ok(());
    }
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter();
    let len = fields.fold(target, |len, (name, value)| {
        len + name.as_str().len() + value.len() + FIELD_ENDS
    });
    if len > max {
        return Err(Failure::HeadTooLarge);
    }
    Ok(())
}

/// The colon, the blank and the line break of a field.
const FIELD_ENDS: usize = 4;

impl Outgoing {
    /// Checks the request and rewrites its head for the next hop, in the order
    /// the module list of this crate gives.
    pub(crate) fn prepare(
        request: Request<Incoming>,
        addressed: &Addressed,
        connection: &Connection,
        config: &Config,
        id: RequestId,
    ) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        check_framing(&parts.headers, config.max_body)?;
        count_down(&parts.method, &mut parts.headers)?;
        let kind = body_kind(&mut parts.headers, &body)?;
        let head = rewrite(parts, addressed, connection, config, id)?;
        Ok(Self {
            head,
            body: Peeked::new(body),
            kind,
        })
    }
}

/// The head of a WebSocket's upgrade request, rewritten like any other; what
/// upgrades the visitor's own hop is gone.
pub(crate) fn upgrade_head(
    request: Request<Incoming>,
    addressed: &Addressed,
    connection: &Connection,
    config: &Config,
    id: RequestId,
) -> Result<RequestHead, Failure> {
    let (mut parts, _body) = request.into_parts();
    // An extended CONNECT is a GET to everyone behind this hop.
    parts.method = Method::GET;
    rewrite(parts, addressed, connection, config, id)
}

fn rewrite(
    mut parts: Parts,
    addressed: &Addressed,
    connection: &Connection,
    config: &Config,
    request_id: RequestId,
) -> Result<RequestHead, Failure> {
    let visitor = forwarded::visitor(&parts.headers, connection.peer, &config.trusted_proxies);
    headers::strip_request(&mut parts.headers);
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    forwarded::write(&mut parts.headers, visitor, addressed, parts.version)?;
    Ok(RequestHead {
        target: host::origin_form(&parts.uri, &parts.method)?,
        method: parts.method,
        scheme: visitor.scheme,
        authority: addressed.authority.as_str().to_owned(),
        headers: parts.headers,
        visitor: VisitorFacts {
            addr: visitor.addr,
            version: parts.version,
        },
        request_id,
        attempt: 0,
    })
}

/// The fields that frame the body, and those that look like them. One walk over
/// the names that are there, where each question to the map would cost a hash.
fn check_framing(headers: &HeaderMap, max_body: Option<u64>) -> Result<(), Failure> {
    for name in headers.keys() {
        match name.as_str() {
            "content-length" => check_length(headers, max_body)?,
            "transfer-encoding" => check_coding(headers)?,
            // Some services read these as the framing fields (CGI writes `-` as
            // `_`): passed on, they would let one request hide another.
            "content_length" | "transfer_encoding" => {
                return Err(Failure::BadRequest(
                    "Content_Length and Transfer_Encoding are no framing fields",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Too much is refused before a byte of it is read, where its length is told.
fn check_length(headers: &HeaderMap, max: Option<u64>) -> Result<(), Failure> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match (length, max) {
        (Some(length), Some(max)) if length > max => Err(Failure::RequestTooLarge(Some(max))),
        _ => Ok(()),
    }
}

/// The one transfer coding that is understood, once (RFC 9112, 6.1); whatever
/// else the library lets through would reach the service under another framing.
fn check_coding(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = hop::tokens(headers, &TRANSFER_ENCODING);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(()),
        _ => Err(Failure::BadRequest(
            "the only transfer coding is chunked, applied once",
        )),
    }
}

/// Max-Forwards of OPTIONS and TRACE (RFC 9110, 7.6.2): at zero the request
/// ends here.
fn count_down(method: &Method, headers: &mut HeaderMap) -> Result<(), Failure> {
    if *method != Method::OPTIONS && *method != Method::TRACE {
        return Ok(());
    }
    let Some(left) = headers
        .get(MAX_FORWARDS)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
    else {
        return Ok(());
    };
    match left.checked_sub(1) {
        Some(left) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(left));
            Ok(())
        }
        None => Err(Failure::MethodNotAllowed),
    }
}

fn body_kind(headers: &mut HeaderMap, body: &Incoming) -> Result<BodyKind, Failure> {
    let mut expectations = headers.get_all(EXPECT).iter().peekable();
    let expects = expectations.peek().is_some();
    if !expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Failure::ExpectationFailed);
    }
    match (body.is_end_stream(), expects) {
        (true, true) => {
            headers.remove(EXPECT);
            Ok(BodyKind::None)
        }
        (true, false) => Ok(BodyKind::None),
        (false, true) => Ok(BodyKind::Expected),
        (false, false) => Ok(BodyKind::Present),
    }
}

/// HTTP/1.0 knows no chunks: what has no length ends with the connection.
pub(crate) fn is_close_delimited(version: Version) -> bool {
    version == Version::HTTP_10 || version == Version::HTTP_09
}
