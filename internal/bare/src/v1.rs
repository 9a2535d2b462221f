//! Version 1 (BareServerV1.md): four headers name the remote, lists are JSON, nothing is split.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::body::{Body, full};
use crate::error::{BareError, Code};
use crate::headers::fields::{Fields, Members};
use crate::headers::lists::{Lists, header_name, names, passable, status};
use crate::headers::{
    FORWARD_HEADERS, HEADERS, HOST, PASS_HEADERS, PASS_STATUS, PATH, PORT, PROTOCOL, latin1, text,
};
use crate::limits::Place;
use crate::meta::{Record, Store};
use crate::relay::relay;
use crate::remote::{Ask, Heard, Socket};
use crate::respond::{Splitting, respond};
use crate::server::{Upgrade, Visit};
use crate::target::{Kind, Parts, Target};

/// What begins like this is the specification's.
const PREFIX: &str = "x-bare-";

/// Every header of the specification that a request of this version may have.
const KNOWN: [&str; 8] = [
    HOST,
    PORT,
    PROTOCOL,
    PATH,
    HEADERS,
    FORWARD_HEADERS,
    PASS_HEADERS,
    PASS_STATUS,
];

/// Names that are not forwarded, and nobody is told.
const NOT_FORWARDED: [&str; 4] = ["connection", "transfer-encoding", "origin", "referer"];

/// `* /v1/`: fetches a URL. The remote's status beside the response.
pub(crate) async fn http(
    visit: &mut Visit,
    request: Request<Body>,
) -> Result<(u16, Response<Body>), BareError> {
    let (parts, body) = request.into_parts();
    let (target, fields, lists) = read(&parts.headers)?;
    visit.access.remote = Some(target.shown());
    let ask = Ask {
        visitor: visit.visitor,
        method: parts.method.clone(),
        target,
        fields,
    };
    let mut answer = visit.bare.remotes.request(ask, body).await?;
    pass_old_encoding(&mut answer.headers);
    let status = answer.heard.status;
    let response = respond(&parts.method, answer, &lists, Splitting::Never)?;
    Ok((status, response))
}

fn read(headers: &HeaderMap) -> Result<(Target, Fields, Lists), BareError> {
    let ours = headers.keys().map(HeaderName::as_str);
    let mut ours = ours.filter(|name| name.starts_with(PREFIX));
    if let Some(unknown) = ours.find(|name| !KNOWN.contains(name)) {
        return Err(BareError::unknown_header(unknown));
    }
    let target = Target::of_parts(&Parts::read(headers)?, Kind::Http)?;
    let json = text(headers, HEADERS).ok_or_else(|| BareError::missing(HEADERS))?;
    let mut fields = Fields::parse(&json)?;
    let forward = text(headers, FORWARD_HEADERS);
    let forward = forward.ok_or_else(|| BareError::missing(FORWARD_HEADERS))?;
    let forward = forwarded(&list(FORWARD_HEADERS, &forward)?)?;
    fields.forward(&forward, headers);
    // Forwarded by itself; the other two of that list are the body's framing, which is kept.
    fields.forward(&names(&["content-encoding"]), headers);
    Ok((target, fields, passed(headers)?))
}

/// A list of strings or numbers in JSON.
fn list(header: &str, json: &str) -> Result<Vec<String>, BareError> {
    let members: Vec<Value> = serde_json::from_str(json).map_err(|error| {
        BareError::invalid(header, format!("Header contained invalid JSON. ({error})"))
    })?;
    let text = |member| match member {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(BareError::invalid(
            header,
            "Header was not a list of strings.",
        )),
    };
    members.into_iter().map(text).collect()
}

fn forwarded(list: &[String]) -> Result<Vec<HeaderName>, BareError> {
    let names = list.iter().map(|name| name.to_ascii_lowercase());
    names
        .filter(|name| !NOT_FORWARDED.contains(&&**name))
        .map(|name| header_name(FORWARD_HEADERS, &name))
        .collect()
}

/// The optional lists of what comes back, above what always does.
fn passed(headers: &HeaderMap) -> Result<Lists, BareError> {
    let mut lists = Lists {
        pass: names(&["content-encoding", "content-length"]),
        ..Lists::default()
    };
    if let Some(json) = text(headers, PASS_HEADERS) {
        for name in list(PASS_HEADERS, &json)? {
            lists.pass.push(passable(&name)?);
        }
    }
    if let Some(json) = text(headers, PASS_STATUS) {
        for number in list(PASS_STATUS, &json)? {
            lists.status.push(status(&number)?);
        }
    }
    Ok(lists)
}

/// A name that the header had before it had one.
fn pass_old_encoding(headers: &mut HeaderMap) {
    if let Some(encoding) = headers.get("x-content-encoding").cloned() {
        headers.entry(CONTENT_ENCODING).or_insert(encoding);
    }
}

/// `* /v1/ws-new-meta`: an id by which the metadata of a WebSocket is asked for later.
pub(crate) fn new_meta(store: &Store) -> Result<Response<Body>, BareError> {
    store.insert(Record::V1(None)).map(id_response)
}

/// An id as a response.
pub(crate) fn id_response(id: String) -> Response<Body> {
    let mut response = Response::new(full(id));
    let kind = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// `GET /v1/ws-meta`: the remote's headers, once.
pub(crate) fn meta(store: &Store, headers: &HeaderMap) -> Result<Response<Body>, BareError> {
    let id = Store::id(headers)?;
    let taken = store.take_if(&id, |record| matches!(record, Record::V1(_)));
    let Some(Record::V1(heard)) = taken else {
        return Err(unregistered());
    };
    let json = match heard {
        Some(heard) => {
            let headers = crate::headers::fields::to_json(&heard.fields);
            format!("{{\"headers\":{headers}}}")
        }
        None => "{}".to_owned(),
    };
    let mut response = Response::new(full(json));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// An id that was never given, is none any more, or is one of another version.
pub(crate) fn unregistered() -> BareError {
    BareError::invalid(crate::headers::ID, "Unregistered ID")
}

/// What a WebSocket's subprotocol says.
#[derive(Deserialize)]
struct Wanted {
    remote: Remote,
    headers: Members,
    forward_headers: Vec<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    host: String,
    port: Value,
    path: String,
    protocol: String,
}

/// The header that says what a WebSocket is for.
const SUBPROTOCOL: &str = "sec-websocket-protocol";

/// `GET /v1/` with an upgrade: a WebSocket to a remote.
pub(crate) async fn socket(
    visit: &mut Visit,
    headers: &HeaderMap,
    place: Place,
) -> Result<Upgrade, BareError> {
    let wanted = read_socket(headers)?;
    let parts = Parts {
        host: wanted.remote.host,
        port: match wanted.remote.port {
            Value::String(port) => port,
            port => port.to_string(),
        },
        protocol: wanted.remote.protocol,
        path: wanted.remote.path,
    };
    let target = Target::of_parts(&parts, Kind::Socket).map_err(of_subprotocol)?;
    let mut fields = Fields::read(wanted.headers)?;
    fields.forward(&forwarded(&wanted.forward_headers)?, headers);
    let (heard, remote) = open(visit, target, fields, headers).await?;
    if let Some(id) = wanted.id
        && matches!(visit.bare.store.get(&id), Some(Record::V1(_)))
    {
        visit.bare.store.opened(&id, heard.clone());
    }
    Ok(accepted("bare", &heard, remote, place))
}

fn read_socket(headers: &HeaderMap) -> Result<Wanted, BareError> {
    let offered = text(headers, SUBPROTOCOL).ok_or_else(|| BareError::missing(SUBPROTOCOL))?;
    let mut offered = offered.split(',').map(str::trim);
    let (Some("bare"), Some(encoded)) = (offered.next(), offered.next()) else {
        let why = "The first value is not \"bare\", with a second behind it.";
        return Err(BareError::invalid(SUBPROTOCOL, why));
    };
    // One byte a character (WebSocketProtocol.md).
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(encoded).collect();
    serde_json::from_str(&latin1(&bytes)).map_err(|error| {
        BareError::invalid(
            SUBPROTOCOL,
            format!("The second value is not what was expected. ({error})"),
        )
    })
}

/// A part of the remote stands in the subprotocol here, not in a header of its own.
fn of_subprotocol(error: BareError) -> BareError {
    BareError {
        id: format!("request.headers.{SUBPROTOCOL}"),
        ..error
    }
}

/// Opens the remote's half of a WebSocket whose frames pass as they are. So extensions are the remote's and the client's
/// matter: none may be agreed on that the client did not offer.
pub(crate) async fn open(
    visit: &mut Visit,
    target: Target,
    mut fields: Fields,
    headers: &HeaderMap,
) -> Result<(Heard, Socket), BareError> {
    visit.access.remote = Some(target.shown());
    let offered = headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
    if !offered {
        fields.remove(&SEC_WEBSOCKET_EXTENSIONS);
    }
    let ask = Ask {
        visitor: visit.visitor,
        method: Method::GET,
        target,
        fields,
    };
    let (heard, socket) = visit.bare.remotes.upgrade(ask).await?;
    if !offered && extensions(&heard).is_some() {
        let why = "The remote chose a WebSocket extension that was not offered.";
        return Err(BareError::internal(Code::Unknown, "response", why));
    }
    Ok((heard, socket))
}

fn extensions(heard: &Heard) -> Option<HeaderValue> {
    let name = SEC_WEBSOCKET_EXTENSIONS;
    let mut fields = heard.fields.iter();
    let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name.as_str()))?;
    HeaderValue::from_bytes(value).ok()
}

/// The client's half: what comes right behind the remote's 101 is behind ours.
pub(crate) fn accepted(protocol: &str, heard: &Heard, remote: Socket, place: Place) -> Upgrade {
    let mut head = Response::new(());
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        head.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(extensions) = extensions(heard) {
        head.headers_mut()
            .insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    Upgrade::Accepted {
        head,
        run: Box::new(move |client| {
            Box::pin(async move {
                relay(client, remote).await;
                drop(place);
            })
        }),
    }
}
