//! A node with an edge, one tunnel, and visitors.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adit_edge::{Body, Config, Edge, Reserved};
use bus::{Announcement, Directory, LinkId, Mode, memory::Fleet};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use messages::{NodeId, Policy, PolicyId, TunnelId};
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Place};

/// The longest a step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TUNNEL: TunnelId = TunnelId([7; 32]);
pub(crate) const NODE: NodeId = NodeId([1; 16]);

/// A server with one tunnel.
pub(crate) struct House {
    pub(crate) agent: Arc<Agent>,
    directory: Arc<dyn Directory>,
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

/// No pages of its own.
struct NoPages;

impl Reserved for NoPages {
    fn call(&self, _: Request<Incoming>, _: SocketAddr) -> BoxFuture<'static, Response<Body>> {
        Box::pin(std::future::ready(Response::new(Body::empty())))
    }
}

impl House {
    /// The tunnel has this policy; `{}` is none.
    pub(crate) async fn with(policy: &str) -> Self {
        let house = Self::empty().await;
        house.announce(1, policy).await;
        house
    }

    /// The tunnel has no link yet.
    pub(crate) async fn empty() -> Self {
        let agent = Arc::new(Agent::default());
        let node = Fleet::new().join(NODE, agent.clone());
        let config = Config {
            trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
            ..Config::default()
        };
        let edge = Edge::new(
            config,
            node.bus.clone(),
            node.directory.clone(),
            Arc::new(NoPages),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let place = Place {
            edge: edge.clone(),
            bus: node.bus,
            directory: node.directory.clone(),
            agent: Arc::downgrade(&agent),
        };
        assert!(agent.place.set(place).is_ok());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { edge.serve(listener, CancellationToken::new()).await });
        Self {
            agent,
            directory: node.directory,
            addr,
            _tasks: tasks,
        }
    }

    /// The agent comes, with another link, and replaces what was.
    pub(crate) async fn announce(&self, link: u64, policy: &str) {
        self.join(link, Mode::Exclusive, policy).await;
    }

    /// The agent comes with another link.
    pub(crate) async fn join(&self, link: u64, mode: Mode, policy: &str) {
        let announcement = Self::announcement(link, mode, policy);
        self.directory.announce(announcement).await.unwrap();
    }

    /// The agent comes with what need not be the document of that name.
    pub(crate) async fn announce_as(&self, link: u64, policy: PolicyId, document: Bytes) {
        let announcement = Announcement {
            policy,
            document,
            ..Self::announcement(link, Mode::Exclusive, "{}")
        };
        self.directory.announce(announcement).await.unwrap();
    }

    pub(crate) fn announcement(link: u64, mode: Mode, policy: &str) -> Announcement {
        let document = Policy::from_json(policy.as_bytes()).unwrap().to_json();
        let (policy, document) = if document == "{}" {
            (PolicyId::NONE, Bytes::new())
        } else {
            (PolicyId(Sha256::digest(&document).into()), document)
        };
        Announcement {
            tunnel: TUNNEL,
            link: LinkId(link),
            session: [u8::try_from(link).unwrap(); 16],
            generation: None,
            mode,
            version: 1,
            owner: TUNNEL.0,
            policy,
            document,
        }
    }

    pub(crate) fn host() -> String {
        format!("{}.localhost", TUNNEL.label())
    }

    /// GET, to its end.
    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("GET", path, fields, "").await
    }

    /// Any request, to its end, over a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &'static str,
    ) -> Answer {
        let mut visitor = self.visitor().await;
        let response = visitor.ask(method, path, fields, body).await;
        Answer::of(response).await
    }

    /// A visitor's HTTP/1.1 connection.
    pub(crate) async fn visitor(&self) -> Visitor {
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.with_upgrades().await) });
        Visitor {
            sender,
            _driver: driver,
        }
    }

    /// A visitor's HTTP/2 connection.
    pub(crate) async fn visitor_h2(&self) -> VisitorH2 {
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await;
        let (sender, connection) = handshake.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        VisitorH2 {
            sender,
            _driver: driver,
        }
    }
}

/// Fields that offer a name and a password.
pub(crate) fn offering(credentials: &str) -> String {
    format!("Basic {}", BASE64.encode(credentials.as_bytes()))
}

/// One connection.
pub(crate) struct Visitor {
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Visitor {
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &'static str,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(path);
        let headers = request.headers_mut().unwrap();
        headers.insert(HOST, HeaderValue::try_from(House::host()).unwrap());
        headers.extend(map(fields));
        let request = request.body(Full::from(body)).unwrap();
        let answered = timeout(PATIENCE, self.sender.send_request(request)).await;
        answered.expect("an answer in time").expect("a response")
    }
}

/// One connection with many streams.
pub(crate) struct VisitorH2 {
    pub(crate) sender: http2::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    async fn of(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect()).await;
        Self {
            status: parts.status,
            headers: parts.headers,
            body: body.expect("it ends").expect("it is whole").to_bytes(),
        }
    }

    /// The code, when Adit itself answered.
    pub(crate) fn error(&self) -> &str {
        let code = self.headers.get("adit-error");
        code.map_or("", |code| code.to_str().unwrap())
    }
}

pub(crate) fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}
