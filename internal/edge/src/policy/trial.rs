//! How rules are tried in tests: a policy, a request, and a service that answers
//! whatever the test wants and says what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use exchange::body::Peeked;
use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use messages::{Policy, PolicyId, RequestId, Scheme, TunnelId};
use sha2::{Digest, Sha256};
use tokio_util::task::TaskTracker;

use super::{Policies, Shared, stack::Stack};
use crate::{
    body::Body,
    config::Config,
    failure::Failure,
    forwarded::Visitor,
    page::Asked,
    request::{About, BodyKind, Call, Payload},
    source::{Held, Source},
};

type Seen = Arc<Mutex<Option<Request<Bytes>>>>;

/// A policy before a service.
pub(super) struct Trial {
    stack: Arc<Stack>,
    fields: HeaderMap,
    body: Bytes,
    status: u16,
}

impl Trial {
    /// The policy, before a service that answers 200 and nothing else.
    pub(super) fn of(policy: &str) -> Self {
        let shared = Policies::new(&Config::default(), TaskTracker::new()).shared;
        Self::sharing(policy, &shared)
    }

    /// The policy, with what rules share of another one.
    pub(super) fn sharing(policy: &str, shared: &Shared) -> Self {
        let rules = Policy::from_json(policy.as_bytes()).unwrap();
        let id = PolicyId(Sha256::digest(rules.to_json()).into());
        Self {
            stack: Arc::new(Stack::compile(&rules, id, shared)),
            fields: HeaderMap::new(),
            body: Bytes::new(),
            status: 200,
        }
    }

    /// The service answers with these fields and this body.
    pub(super) fn serving(mut self, fields: &[(&str, &str)], body: &str) -> Self {
        self.fields = fields
            .iter()
            .map(|(name, value)| field(name, value))
            .collect();
        self.body = Bytes::copy_from_slice(body.as_bytes());
        self
    }

    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn get(&self, target: &str) -> Asking {
        self.ask("GET", target)
    }

    pub(super) fn post(&self, target: &str, body: &str) -> Asking {
        let mut asking = self
            .ask("POST", target)
            .with("content-length", &body.len().to_string());
        asking.body = Some(Bytes::copy_from_slice(body.as_bytes()));
        asking
    }

    pub(super) fn ask(&self, method: &str, target: &str) -> Asking {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "tunnel.example");
        let seen = Seen::default();
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = self.fields.clone();
        Asking {
            stack: self.stack.clone(),
            request: request.body(()).unwrap(),
            visitor: Visitor {
                addr: SocketAddr::from(([192, 0, 2, 7], 0)),
                scheme: Scheme::Http,
            },
            body: None,
            service: Service { response, seen },
        }
    }
}

/// A request that is being made up.
pub(super) struct Asking {
    stack: Arc<Stack>,
    request: Request<()>,
    visitor: Visitor,
    body: Option<Bytes>,
    service: Service,
}

impl Asking {
    /// Adds a field.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let (name, value) = field(name, value);
        if name == "host" {
            self.request.headers_mut().remove("host");
        }
        self.request.headers_mut().append(name, value);
        self
    }

    pub(super) fn method(mut self, method: &str) -> Self {
        *self.request.method_mut() = method.parse().unwrap();
        self
    }

    pub(super) fn from(mut self, address: &str) -> Self {
        self.visitor.addr = SocketAddr::new(address.parse().unwrap(), 0);
        self
    }

    pub(super) fn over_tls(mut self) -> Self {
        self.visitor.scheme = Scheme::Https;
        self
    }

    pub(super) fn http_10(mut self) -> Self {
        *self.request.version_mut() = Version::HTTP_10;
        self
    }

    /// The request as rules get it.
    pub(super) fn call(self) -> Call {
        let kind = self
            .body
            .as_ref()
            .map_or(BodyKind::None, |_| BodyKind::Present);
        let source = Source::Held(Box::new(Held {
            data: self.body,
            ..Held::default()
        }));
        let asked = Asked::of(&self.request, RequestId([0; 16]));
        let visitor = self.visitor;
        self.request.map(|()| Payload {
            body: Peeked::new(source),
            kind,
            socket: None,
            about: About {
                visitor,
                tunnel: TunnelId([7; 32]),
                asked,
            },
        })
    }

    pub(super) async fn send(self) -> Answered {
        let (stack, service) = (self.stack.clone(), self.service.clone());
        let seen = service.seen.clone();
        let answer = stack.answer(self.call(), service).await;
        let seen = seen.lock().unwrap().take();
        Answered { answer, seen }
    }
}

/// What came of a request.
pub(super) struct Answered {
    answer: Result<Response<Body>, Failure>,
    seen: Option<Request<Bytes>>,
}

impl Answered {
    pub(super) fn status(&self) -> Result<u16, Failure> {
        let status = self
            .answer
            .as_ref()
            .map(|response| response.status().as_u16());
        status.map_err(Clone::clone)
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.answer.as_ref().expect("a response").headers()
    }

    pub(super) async fn text(self) -> Bytes {
        let body = self.answer.expect("a response").into_body();
        body.collect().await.expect("a whole body").to_bytes()
    }

    pub(super) fn reached_the_service(&self) -> bool {
        self.seen.is_some()
    }

    /// The request as the service would get it.
    pub(super) fn request(&self) -> &Request<Bytes> {
        self.seen.as_ref().expect("the request reached the service")
    }
}

#[derive(Clone)]
struct Service {
    response: Response<Bytes>,
    seen: Seen,
}

impl tower::Service<Call> for Service {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Response<Body>, Failure>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Failure>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Self { response, seen } = self.clone();
        async move {
            let (parts, payload) = call.into_parts();
            let read = payload
                .body
                .collect()
                .await
                .expect("a whole body")
                .to_bytes();
            *seen.lock().unwrap() = Some(Request::from_parts(parts, read));
            Ok(response.map(Body::full))
        }
        .boxed()
    }
}

fn field(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
}
