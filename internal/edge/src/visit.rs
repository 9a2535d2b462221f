//! One request of a visitor: whom it is for, what he is answered, and the line
//! in the access log.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, Version, header::CONNECTION};
use hyper::body::Incoming;
use messages::RequestId;
use tokio::time::Instant;

use crate::{
    body::Body,
    connection::Connection,
    edge::Edge,
    failure::Failure,
    forwarded,
    host::{self, Addressed, Destination},
    page::{self, Asked},
    relay::Relay,
    request::{self, Outgoing},
    ws,
};

/// Answers one request.
pub(crate) async fn serve(
    edge: &Arc<Edge>,
    connection: &Connection,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let started = Instant::now();
    let id = edge.ids.next();
    let asked = Asked::of(request.headers(), id);
    let mut facts = Facts::of(&request);
    let addressed = request::check_size(&request, edge.config.max_head)
        .and_then(|()| host::decide(&mut request, &edge.config.domain, &connection.last_host));
    let answered = match addressed {
        Ok(addressed) if addressed.destination == Destination::Own => {
            let trusted = &edge.config.trusted_proxies;
            let caller = forwarded::visitor(request.headers(), connection.peer, trusted).addr;
            return edge.reserved.call(request, caller).await;
        }
        Ok(addressed) => {
            facts.host = Some(addressed.host.clone());
            tunnelled(edge, connection, request, (&addressed, id)).await
        }
        Err(failure) => Err(failure),
    };
    let mut response = answered.unwrap_or_else(|failure| {
        tracing::debug!(request = %id, ?failure, "answered by the edge");
        let mut response = page::render(&failure, asked);
        if facts.version < Version::HTTP_2 {
            leave_nothing_unread(&failure, &mut response);
        }
        response
    });
    if edge.leaving.is_cancelled() && facts.version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
    facts.log(id, response.status(), started.elapsed());
    response
}

/// What the agent behind the name answers.
async fn tunnelled(
    edge: &Arc<Edge>,
    connection: &Connection,
    request: Request<Incoming>,
    (addressed, id): (&Addressed, RequestId),
) -> Result<Response<Body>, Failure> {
    let Destination::Tunnel(tunnel) = addressed.destination else {
        return Err(Failure::UnknownHost);
    };
    let relay = Relay {
        edge,
        connection,
        tunnel,
        method: request.method().clone(),
        version: request.version(),
    };
    if ws::is_upgrade(&request) {
        return ws::relay(&relay, request, addressed, id).await;
    }
    let outgoing = Outgoing::prepare(request, addressed, connection, &edge.config, id)?;
    relay.run(outgoing).await
}

/// After a failure in mid-body the rest of it is not read: the connection ends.
fn leave_nothing_unread(failure: &Failure, response: &mut Response<Body>) {
    let mid_body = matches!(
        failure,
        Failure::HeadTooLarge
            | Failure::RequestTooLarge(_)
            | Failure::RequestTimeout(_)
            | Failure::UploadStalled(_)
            | Failure::BadRequest(_)
    );
    if mid_body {
        response
            .headers_mut()
            .insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
}

/// What is left to say of a request once it is on its way.
struct Facts {
    method: Method,
    path: String,
    /// Once it is known to be one.
    host: Option<http::HeaderValue>,
    version: Version,
}

impl Facts {
    fn of(request: &Request<Incoming>) -> Self {
        // The query may hold secrets; it is never logged.
        let path = if tracing::enabled!(target: "adit::access", tracing::Level::INFO) {
            request.uri().path().to_owned()
        } else {
            String::new()
        };
        Self {
            method: request.method().clone(),
            path,
            host: None,
            version: request.version(),
        }
    }

    fn log(&self, id: RequestId, status: StatusCode, elapsed: Duration) {
        tracing::info!(
            target: "adit::access",
            request = id.hex().as_str(),
            host = self.host.as_ref().and_then(|host| host.to_str().ok()),
            method = self.method.as_str(),
            path = self.path,
            status = status.as_u16(),
            ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        );
    }
}
