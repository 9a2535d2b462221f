//! One request of a visitor: whom it is for, what he is answered, and the line
//! in the access log.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, Version, header::CONNECTION, uri::Authority};
use hyper::body::Incoming;
use messages::RequestId;
use tokio::time::Instant;

use crate::{
    body::Body,
    connection::Connection,
    edge::Edge,
    failure::Failure,
    host::{self, Destination},
    page::{self, Asked},
    relay::Relay,
    request::Outgoing,
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
    let facts = Facts::of(&request);
    let answered = match host::decide(&mut request, &edge.config.domain) {
        Ok((Destination::Own, _)) => return edge.reserved.call(request, connection.peer).await,
        Ok((Destination::Unknown, _)) => Err(Failure::UnknownHost),
        Ok((Destination::Tunnel(tunnel), authority)) => {
            let relay = Relay {
                edge,
                connection,
                tunnel,
                method: facts.method.clone(),
                version: facts.version,
            };
            relayed(&relay, request, &authority, id).await
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

async fn relayed(
    relay: &Relay<'_>,
    request: Request<Incoming>,
    authority: &Authority,
    id: RequestId,
) -> Result<Response<Body>, Failure> {
    if ws::is_upgrade(&request) {
        return ws::relay(relay, request, authority, id).await;
    }
    let config = &relay.edge.config;
    let outgoing = Outgoing::prepare(request, authority, relay.connection, config, id)?;
    relay.run(outgoing).await
}

/// After a failure in mid-body the rest of it is not read: the connection ends.
fn leave_nothing_unread(failure: &Failure, response: &mut Response<Body>) {
    let mid_body = matches!(
        failure,
        Failure::RequestTooLarge(_)
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
            host: request.headers().get(http::header::HOST).cloned(),
            version: request.version(),
        }
    }

    fn log(&self, id: RequestId, status: StatusCode, elapsed: Duration) {
        tracing::info!(
            target: "adit::access",
            request = %id,
            host = ?self.host,
            method = %self.method,
            path = self.path,
            status = status.as_u16(),
            ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        );
    }
}
