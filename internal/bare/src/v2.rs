//! Version 2 (BareServerV2.md): lists are comma separated above base values, long headers are split, and WebSockets are asked
//! for by a request before them.

use http::header::HeaderMap;
use http::{Request, Response, Uri};

use crate::body::{Body, empty};
use crate::error::BareError;
use crate::headers::fields::Fields;
use crate::headers::lists::{FORWARD_SOCKET, Lists, names};
use crate::headers::{ID, split, text};
use crate::limits::Place;
use crate::meta::{Record, Store, Wanted};
use crate::remote::Ask;
use crate::respond::{Splitting, describe, respond};
use crate::server::{Shared, Upgrade, Visit};
use crate::target::{Kind, Parts, Target};
use crate::v1::{accepted, id_response, open, unregistered};

/// `* /v2/`: fetches a URL. The remote's status beside the response.
pub(crate) async fn http(
    visit: &mut Visit,
    request: Request<Body>,
) -> Result<(u16, Response<Body>), BareError> {
    let target = Target::of_parts(&Parts::read(request.headers())?, Kind::Http)?;
    fetch(visit, request, target).await
}

/// What versions 2 and 3 have in common once the remote is known.
pub(crate) async fn fetch(
    visit: &mut Visit,
    request: Request<Body>,
    target: Target,
) -> Result<(u16, Response<Body>), BareError> {
    let (parts, body) = request.into_parts();
    visit.access.remote = Some(target.shown());
    let mut fields = Fields::parse(&split::join(
        &parts.headers,
        visit.bare.config.long_headers,
    )?)?;
    let lists = Lists::read(&parts.headers, &parts.uri)?;
    fields.forward(&lists.forward, &parts.headers);
    let ask = Ask {
        visitor: visit.visitor,
        method: parts.method.clone(),
        target,
        fields,
    };
    let answer = visit.bare.remotes.request(ask, body).await?;
    let status = answer.heard.status;
    let response = respond(&parts.method, answer, &lists, Splitting::WhereLong)?;
    Ok((status, response))
}

/// `GET /v2/ws-new-meta`: says what a WebSocket is for, and gets the id that opens it.
pub(crate) fn new_meta(
    bare: &Shared,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response<Body>, BareError> {
    let target = Target::of_parts(&Parts::read(headers)?, Kind::Socket)?;
    let fields = Fields::parse(&split::join(headers, bare.config.long_headers)?)?;
    let mut forward = Lists::read(headers, uri)?.forward;
    forward.extend(names(&FORWARD_SOCKET));
    let wanted = Wanted {
        target,
        fields,
        forward,
    };
    let record = Record::V2(Box::new(wanted), None);
    bare.store.insert(record).map(id_response)
}

/// `GET /v2/` with an upgrade: the WebSocket of an id.
pub(crate) async fn socket(
    visit: &mut Visit,
    headers: &HeaderMap,
    place: Place,
) -> Result<Upgrade, BareError> {
    const SUBPROTOCOL: &str = "sec-websocket-protocol";
    let offered = text(headers, SUBPROTOCOL).ok_or_else(|| BareError::missing(SUBPROTOCOL))?;
    let id = offered.split(',').next().unwrap_or_default().trim();
    let Some(Record::V2(wanted, _)) = visit.bare.store.get(id) else {
        return Err(BareError::invalid(SUBPROTOCOL, "Unregistered ID"));
    };
    let Wanted {
        target,
        mut fields,
        forward,
    } = *wanted;
    fields.forward(&forward, headers);
    let (heard, remote) = open(visit, target, fields, headers).await?;
    visit.bare.store.opened(id, heard.clone());
    Ok(accepted(id, &heard, remote, place))
}

/// `GET /v2/ws-meta`: what the remote said to the upgrade, once.
pub(crate) fn meta(store: &Store, headers: &HeaderMap) -> Result<Response<Body>, BareError> {
    let id = Store::id(headers)?;
    let ready = |record: &Record| matches!(record, Record::V2(_, Some(_)));
    match store.take_if(&id, ready) {
        Some(Record::V2(_, Some(heard))) => {
            let mut response = Response::new(empty());
            describe(&heard, Splitting::WhereLong, response.headers_mut());
            Ok(response)
        }
        _ if matches!(store.get(&id), Some(Record::V2(_, None))) => {
            Err(BareError::invalid(ID, "Meta not ready"))
        }
        _ => Err(unregistered()),
    }
}
