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
    forwarded::{self, Visitor},
    holder::{self, Holder},
    host::{self, Addressed},
    page::{self, Asked},
    policy::Exchange,
    relay::Relay,
    request::{self, About},
    route::Offers,
};

/// Answers one request.
pub(crate) async fn serve(
    edge: &Arc<Edge>,
    connection: &Connection,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let started = Instant::now();
    let id = edge.ids.next();
    let asked = Asked::of(&request, id);
    let mut facts = Facts::of(&request);
    let addressed = request::check_size(&request, edge.config.max_head)
        .and_then(|()| host::decide(&mut request, &edge.config, &connection.last_host));
    let answered = match addressed {
        Ok(addressed) => {
            let trusted = &edge.config.trusted_proxies;
            let visitor = forwarded::visitor(request.headers(), connection.peer, trusted);
            let path = request.uri().path();
            facts.host = Some(addressed.host.clone());
            match holder::find(edge, &addressed, path, visitor.addr.ip()).await {
                Ok(Holder::Server) => return own(edge, connection, request, visitor).await,
                Ok(Holder::Agent(tunnel, offers)) => {
                    let about = About {
                        visitor,
                        tunnel,
                        asked,
                    };
                    tunnelled(edge, connection, request, (&addressed, about, offers)).await
                }
                Err(failure) => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    };
    let mut response = answered.unwrap_or_else(|failure| failed(&failure, asked));
    if edge.leaving.is_cancelled() && facts.version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
    facts.log(id, response.status(), started.elapsed());
    response
}

/// A page of the server itself, or the door of agents.
async fn own(
    edge: &Edge,
    connection: &Connection,
    request: Request<Incoming>,
    visitor: Visitor,
) -> Response<Body> {
    let response = edge.reserved.call(request, visitor.addr).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Links have limits of their own.
        connection.state.leave_room();
    }
    response
}

/// What the agent behind the name answers, or Adit for it by the tunnel's policy.
async fn tunnelled(
    edge: &Arc<Edge>,
    connection: &Connection,
    request: Request<Incoming>,
    (addressed, about, mut offers): (&Arc<Addressed>, About, Offers),
) -> Result<Response<Body>, Failure> {
    let tunnel = about.tunnel;
    let call = request::receive(request, &edge.config, about)?;
    if !offers.policy().is_none() {
        let stack = edge.policies.find(edge, tunnel, offers.policy()).await?;
        let exchange = Exchange::new(edge, connection, (addressed, tunnel), offers);
        return stack.answer(call, exchange).await;
    }
    let relay = Relay {
        edge,
        connection,
        addressed,
        tunnel,
        method: call.method().clone(),
        version: call.version(),
    };
    relay.run(call, &mut offers).await
}

/// The page for a failure.
pub(crate) fn failed(failure: &Failure, asked: Asked) -> Response<Body> {
    tracing::debug!(request = %asked.id, ?failure, "answered by the edge");
    page::render(failure, asked)
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
