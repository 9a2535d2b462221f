//! What lies below the rules: the exchange with the agent.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use messages::TunnelId;
use tower::Service;

use super::layer::Answer;
use crate::{
    body::Body, connection::Connection, edge::Edge, failure::Failure, host::Addressed,
    relay::Relay, request::Call, route::Offers,
};

/// One request's way to its tunnel, as a service that owns what it needs.
#[derive(Clone)]
pub(crate) struct Exchange {
    edge: Arc<Edge>,
    connection: Connection,
    addressed: Arc<Addressed>,
    tunnel: TunnelId,
    offers: Offers,
}

impl Exchange {
    pub(crate) fn new(
        edge: &Arc<Edge>,
        connection: &Connection,
        (addressed, tunnel): (&Arc<Addressed>, TunnelId),
        offers: Offers,
    ) -> Self {
        Self {
            edge: edge.clone(),
            connection: connection.clone(),
            addressed: addressed.clone(),
            tunnel,
            offers,
        }
    }

    async fn run(mut self, call: Call) -> Answer {
        let relay = Relay {
            edge: &self.edge,
            connection: &self.connection,
            addressed: &self.addressed,
            tunnel: self.tunnel,
            method: call.method().clone(),
            version: call.version(),
        };
        relay.run(call, &mut self.offers).await
    }
}

impl Service<Call> for Exchange {
    type Response = http::Response<Body>;
    type Error = Failure;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(self.clone().run(call))
    }
}
