//! A visitor's request as it crosses the tunnel.

use exchange::{body::Peeked, hop};
use http::{
    HeaderMap, Method, Request, Version,
    header::{CONTENT_LENGTH, EXPECT, HeaderValue, MAX_FORWARDS, TRANSFER_ENCODING},
};
use http_body::Body as _;
use hyper::body::Incoming;
use messages::{RequestHead, TunnelId, VisitorFacts};

use crate::{
    config::Config,
    failure::Failure,
    forwarded::{self, Visitor},
    headers,
    host::{self, Addressed},
    page::Asked,
    source::Source,
    ws,
};

/// A request between its checks and its exchange: what belongs to the visitor's
/// hop is gone, what the next hop is told of him is not yet written. Policies see
/// and change it in this form.
pub(crate) type Call = Request<Payload>;

/// What comes with the head of a request.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) body: Peeked<Source>,
    pub(crate) kind: BodyKind,
    /// The request asks for a WebSocket; its body is none.
    pub(crate) socket: Option<Box<ws::Upgrade>>,
    pub(crate) about: About,
}

/// What is known of a request beyond its head and body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// Who asks.
    pub(crate) visitor: Visitor,
    /// For what.
    pub(crate) tunnel: TunnelId,
    /// What a page must know that answers instead of the service.
    pub(crate) asked: Asked,
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

/// Checks a request and removes what belongs to the visitor's hop. A WebSocket's
/// upgrade request is one like any other from then on.
///
/// All is done in place, and inlined like [`head`]: each move of a request copies
/// half a kilobyte, and those moves were one instruction in thirty of a small one.
#[inline]
pub(crate) fn receive(
    mut request: Request<Incoming>,
    config: &Config,
    about: About,
) -> Result<Call, Failure> {
    let (kind, socket) = if ws::is_upgrade(&request) {
        (BodyKind::None, Some(upgrade(&mut request)?))
    } else {
        (plain(&mut request, config)?, None)
    };
    let version = request.version();
    headers::strip_request(request.headers_mut());
    if version == Version::HTTP_2 {
        headers::join_cookies(request.headers_mut());
    }
    Ok(request.map(|body| {
        let source = match &socket {
            Some(_) => Source::Empty,
            None => Source::Visitor(body),
        };
        Payload {
            body: Peeked::new(source),
            kind,
            socket,
            about,
        }
    }))
}

fn plain(request: &mut Request<Incoming>, config: &Config) -> Result<BodyKind, Failure> {
    check_framing(request.headers(), config.max_body)?;
    let counts = matches!(*request.method(), Method::OPTIONS | Method::TRACE);
    if counts {
        count_down(request.headers_mut())?;
    }
    let is_empty = request.body().is_end_stream();
    body_kind(request.headers_mut(), is_empty)
}

fn upgrade(request: &mut Request<Incoming>) -> Result<Box<ws::Upgrade>, Failure> {
    let socket = ws::Upgrade::take(request)?;
    // An extended CONNECT is a GET to everyone behind this hop.
    *request.method_mut() = Method::GET;
    Ok(Box::new(socket))
}

/// The head as it crosses, with what the next hop is told of the visitor.
#[inline]
pub(crate) fn head(call: Call, addressed: &Addressed) -> Result<(RequestHead, Payload), Failure> {
    let (mut parts, payload) = call.into_parts();
    let visitor = payload.about.visitor;
    forwarded::write(&mut parts.headers, visitor, addressed, parts.version)?;
    let head = RequestHead {
        target: host::origin_form(&parts.uri, &parts.method)?,
        method: parts.method,
        scheme: visitor.scheme,
        authority: addressed.authority.as_str().to_owned(),
        headers: parts.headers,
        visitor: VisitorFacts {
            addr: visitor.addr,
            version: parts.version,
        },
        request_id: payload.about.asked.id,
        attempt: 0,
    };
    Ok((head, payload))
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
fn count_down(headers: &mut HeaderMap) -> Result<(), Failure> {
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

fn body_kind(headers: &mut HeaderMap, is_empty: bool) -> Result<BodyKind, Failure> {
    let mut expectations = headers.get_all(EXPECT).iter().peekable();
    let expects = expectations.peek().is_some();
    if !expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Failure::ExpectationFailed);
    }
    match (is_empty, expects) {
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
