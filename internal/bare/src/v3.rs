//! Version 3 (BareServerV3.md): a URL names the remote, and a WebSocket is opened by a message on it.

mod messages;
mod socket;

use http::header::{HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use http::{Request, Response};

use crate::body::Body;
use crate::error::BareError;
use crate::limits::Place;
use crate::server::{Upgrade, Visit};
use crate::target::Target;
use crate::v2;

/// `* /v3/`: fetches a URL. The remote's status beside the response.
pub(crate) async fn http(
    visit: &mut Visit,
    request: Request<Body>,
) -> Result<(u16, Response<Body>), BareError> {
    let target = Target::of_headers(request.headers())?;
    v2::fetch(visit, request, target).await
}

/// `GET /v3/` with an upgrade: a WebSocket on which the client is to say where it leads. Of the subprotocols that are offered
/// the first is accepted.
pub(crate) fn socket(visit: Visit, headers: HeaderMap, place: Place) -> Upgrade {
    let mut head = Response::new(());
    if let Some(protocol) = first_protocol(&headers) {
        head.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Upgrade::Accepted {
        head,
        run: Box::new(move |client| {
            Box::pin(async move {
                socket::serve(visit, headers, client).await;
                drop(place);
            })
        }),
    }
}

fn first_protocol(headers: &HeaderMap) -> Option<http::HeaderValue> {
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered.split(',').next()?.trim().parse().ok()
}
