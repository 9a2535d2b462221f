//! A node with an edge, an agent behind the memory bus, and visitors.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use adit_edge::{Body, Config, Edge, Reserved};
use bus::{
    Announcement, Bus, Content, Delivery, Directory, Envelope, ExchangeId, Inbox, LinkId, Mode,
    memory::Fleet,
};
use bytes::Bytes;
use data_encoding::BASE64;
use exchange::{Event, Opening, Outlet, Port, Receiver, Role, Sender, open};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use messages::{Frame, NodeId, Policy, PolicyId, RequestHead, ResponseHead, Tag, TunnelId, cost};
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The longest a step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const TUNNEL: TunnelId = TunnelId([7; 32]);
const NODE: NodeId = NodeId([1; 16]);

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
            agent: Arc::downgrade(&agent),
        };
        assert!(agent.place.set(place).is_ok());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { edge.serve(listener, CancellationToken::new()).await });
        let house = Self {
            agent,
            directory: node.directory,
            addr,
            _tasks: tasks,
        };
        house.announce(1, policy).await;
        house
    }

    /// The agent comes, with another link, and replaces what was.
    pub(crate) async fn announce(&self, link: u64, policy: &str) {
        let document = Policy::from_json(policy.as_bytes()).unwrap().to_json();
        let (policy, document) = if document == "{}" {
            (PolicyId::NONE, Bytes::new())
        } else {
            (PolicyId(Sha256::digest(&document).into()), document)
        };
        self.announce_as(link, policy, document).await;
    }

    /// The same with a document that need not be one.
    pub(crate) async fn announce_as(&self, link: u64, policy: PolicyId, document: Bytes) {
        let announcement = Announcement {
            tunnel: TUNNEL,
            link: LinkId(link),
            session: [u8::try_from(link).unwrap(); 16],
            generation: None,
            mode: Mode::Exclusive,
            version: 1,
            owner: TUNNEL.0,
            policy,
            document,
        };
        self.directory.announce(announcement).await.unwrap();
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

/// The agent: it keeps what it was asked and answers by the path.
#[derive(Default)]
pub(crate) struct Agent {
    place: OnceLock<Place>,
    ports: Mutex<HashMap<ExchangeId, Port>>,
    asked: Mutex<Vec<(RequestHead, Bytes)>>,
    /// Lets a slow response go on.
    pub(crate) go_on: Arc<Notify>,
    tasks: TaskTracker,
}

struct Place {
    edge: Arc<Edge>,
    bus: Arc<dyn Bus>,
    agent: Weak<Agent>,
}

impl Agent {
    /// The requests that have reached it.
    pub(crate) fn asked(&self) -> Vec<(RequestHead, Bytes)> {
        self.asked.lock().unwrap().clone()
    }

    fn open(self: &Arc<Self>, envelope: &Envelope, frame: &Frame) {
        let outlet = Arc::new(Line {
            agent: Arc::downgrade(self),
            exchange: envelope.exchange,
            tunnel: envelope.tunnel,
        });
        let opening = Opening {
            upgrading: frame.tag() == Some(Tag::WsRequest),
            ..Opening::of(Role::Agent)
        };
        let (port, sender, receiver) = open(outlet.clone(), opening);
        self.ports
            .lock()
            .unwrap()
            .insert(envelope.exchange, port.clone());
        outlet.say(Content::Accepted);
        port.deliver(frame).expect("the edge speaks the protocol");
        self.tasks.spawn(self.clone().serve(sender, receiver));
    }

    async fn serve(self: Arc<Self>, sender: Sender, mut receiver: Receiver) {
        match receiver.recv().await.expect("a head") {
            Event::Request(head) => self.answer(*head, sender, receiver).await,
            Event::Upgrade(head) => self.echo(*head, sender, receiver).await,
            other => panic!("{other:?}"),
        }
    }

    async fn answer(&self, head: RequestHead, mut sender: Sender, mut receiver: Receiver) {
        let mut body = Vec::new();
        while let Ok(Event::Data(data)) = receiver.recv().await {
            body.extend_from_slice(&data);
            receiver.consumed(cost(data.len()));
        }
        let path = head.target.path().to_owned();
        self.asked.lock().unwrap().push((head, body.into()));
        let kind = match path.as_str() {
            "/events" => "text/event-stream",
            _ => "text/html",
        };
        let head = ResponseHead {
            status: StatusCode::OK,
            headers: map(&[("content-type", kind), ("x-service", "old")]),
        };
        if matches!(path.as_str(), "/events" | "/slow") {
            sender.response(&head, &Bytes::new(), false).unwrap();
            drop(
                sender
                    .data(Bytes::from_static(b"data: one\n\n"), false)
                    .await,
            );
            self.go_on.notified().await;
            drop(
                sender
                    .data(Bytes::from_static(b"data: two\n\n"), true)
                    .await,
            );
        } else {
            let page = Bytes::from_static(b"<p>hello</p>");
            sender.response(&head, &page, true).unwrap();
        }
    }

    async fn echo(&self, head: RequestHead, mut sender: Sender, mut receiver: Receiver) {
        self.asked.lock().unwrap().push((head, Bytes::new()));
        let accepted = ResponseHead {
            status: StatusCode::OK,
            headers: map(&[("x-service", "old")]),
        };
        sender.accept(&accepted).unwrap();
        loop {
            match receiver.recv().await {
                Ok(Event::Message { data, text, more }) => {
                    drop(sender.message(data, text, more).await);
                }
                Ok(Event::Teardown(teardown)) => return sender.teardown(&teardown),
                _ => return,
            }
        }
    }
}

impl Inbox for Agent {
    fn deliver(&self, delivery: Delivery) {
        let (Some(place), Delivery::Envelope(envelope)) = (self.place.get(), delivery) else {
            return;
        };
        match &envelope.content {
            Content::Open { frame, .. } => {
                let me = place
                    .agent
                    .upgrade()
                    .expect("it lives as long as its house");
                me.open(&envelope, frame);
            }
            Content::ToAgent { frame, .. } => {
                let port = self.ports.lock().unwrap().get(&envelope.exchange).cloned();
                if let Some(port) = port {
                    drop(port.deliver(frame));
                }
            }
            Content::Accepted | Content::Nack(_) | Content::ToVisitor(_) => {
                place.edge.deliver(envelope);
            }
        }
    }
}

/// The way back to the edge.
struct Line {
    agent: Weak<Agent>,
    exchange: ExchangeId,
    tunnel: TunnelId,
}

impl Line {
    fn say(&self, content: Content) {
        let Some(agent) = self.agent.upgrade() else {
            return;
        };
        let envelope = Envelope {
            from: NODE,
            exchange: self.exchange,
            tunnel: self.tunnel,
            content,
        };
        let place = agent
            .place
            .get()
            .expect("it was placed before the first visitor");
        place
            .bus
            .send(NODE, envelope)
            .expect("the own node can be reached");
    }
}

impl Outlet for Line {
    fn send(&self, frame: Frame) {
        self.say(Content::ToVisitor(frame));
    }

    fn done(&self) {
        if let Some(agent) = self.agent.upgrade() {
            agent.ports.lock().unwrap().remove(&self.exchange);
        }
    }
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}
