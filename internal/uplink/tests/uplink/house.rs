//! One node with an uplink and a fake edge, and agents spoken by hand.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use adit_uplink::{Config, Uplink};
use bus::{Content, Delivery, Envelope, ExchangeId, Inbox, Nack, Node, Route, memory::Fleet};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, StatusCode, Version, uri::PathAndQuery};
use identity::{Claims, Mode, SecretKey};
use messages::{
    Disconnect, Frame, Granted, Hello, Message, NodeId, Notice, PROTOCOL_VERSION, Refused,
    RegistrationResponse, RequestHead, RequestId, Reset, ResetCode, ResponseHead, Scheme, StreamId,
    TunnelId, VisitorFacts,
};
use tokio::{sync::mpsc, time::timeout};
use tunnel::{
    handshake::{RegisterError, Registration, Wanted, register},
    pipe::{Pipe, pair},
};

pub(crate) const DOMAIN: &str = "adit.example";

/// Longer than anything here waits for, in paused time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node. What its edge is told is read with [`House::told`].
pub(crate) struct House {
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) node: Node,
    pub(crate) fleet: Fleet,
    told: mpsc::Receiver<Envelope>,
    next_exchange: u64,
}

/// Sorts deliveries as a server does, into the uplink and the (fake) edge.
struct Hall {
    uplink: OnceLock<Arc<Uplink>>,
    edge: mpsc::Sender<Envelope>,
}

impl Inbox for Hall {
    fn deliver(&self, delivery: Delivery) {
        let uplink = self
            .uplink
            .get()
            .expect("the uplink is set before anything is sent");
        match delivery {
            Delivery::Envelope(envelope) => match envelope.content {
                Content::Open { .. } | Content::ToAgent { .. } => uplink.deliver(envelope),
                _ => self
                    .edge
                    .try_send(envelope)
                    .expect("the fake edge has room"),
            },
            Delivery::Gap(node) | Delivery::Lost(node) => uplink.node_lost(node),
            Delivery::Superseded { tunnel, link, by } => uplink.superseded(tunnel, link, by),
        }
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Config::new(DOMAIN))
    }

    /// A node of a fleet, whose agents have so long to go to another.
    pub(crate) fn moving_within(drain_move: Duration) -> Self {
        Self::with(Config {
            drain_move,
            ..Config::new(DOMAIN)
        })
    }

    pub(crate) fn with(config: Config) -> Self {
        let (edge, told) = mpsc::channel(4096);
        let hall = Arc::new(Hall {
            uplink: OnceLock::new(),
            edge,
        });
        let fleet = Fleet::new();
        let node = fleet.join(NodeId([1; 16]), hall.clone());
        let uplink = Uplink::new(config, node.bus.clone(), node.directory.clone());
        hall.uplink.set(uplink.clone()).expect("set once");
        Self {
            uplink,
            node,
            fleet,
            told,
            next_exchange: 1,
        }
    }

    /// A connection from `peer` that has said nothing yet.
    pub(crate) fn connect_from(&self, peer: &str) -> Result<Agent, Refused> {
        let (ours, theirs) = pair();
        let peer: SocketAddr = peer.parse().expect("an address with a port");
        self.uplink.accept(theirs, peer)?;
        Ok(Agent {
            pipe: ours,
            notices: Vec::new(),
        })
    }

    pub(crate) fn connect(&self) -> Agent {
        self.connect_from("192.0.2.7:4000")
            .expect("within the caps")
    }

    /// A registered agent, and where its tunnel is.
    pub(crate) async fn agent(&self, key: &SecretKey) -> (Agent, Route) {
        let mut agent = self.connect();
        let granted = agent.register(key, [1; 16]).await.expect("it is granted");
        (agent, self.route(key, granted.generation))
    }

    pub(crate) fn route(&self, key: &SecretKey, generation: u64) -> Route {
        let routes = self.node.directory.local(key.public().tunnel_id(None));
        let routes = routes.expect("the tunnel is announced");
        let of_generation = routes.iter().find(|route| route.generation == generation);
        *of_generation.expect("with the generation that was granted")
    }

    /// Opens an exchange over a route, as an edge would.
    pub(crate) fn open(&mut self, tunnel: TunnelId, route: Route, request: Frame) -> ExchangeId {
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        let Route {
            link,
            generation,
            policy,
            ..
        } = route;
        let content = Content::Open {
            link,
            generation,
            policy,
            attempt: 0,
            frame: request,
        };
        self.send(exchange, tunnel, content);
        exchange
    }

    /// Sends a further frame of an exchange, as an edge would.
    pub(crate) fn say(&self, exchange: ExchangeId, tunnel: TunnelId, route: Route, frame: Frame) {
        self.send(
            exchange,
            tunnel,
            Content::ToAgent {
                link: route.link,
                frame,
            },
        );
    }

    fn send(&self, exchange: ExchangeId, tunnel: TunnelId, content: Content) {
        let bus = &self.node.bus;
        let envelope = Envelope {
            from: bus.node(),
            exchange,
            tunnel,
            content,
        };
        bus.send(bus.node(), envelope)
            .expect("the own node can always be reached");
    }

    /// The next thing the edge is told.
    pub(crate) async fn told(&mut self) -> Envelope {
        let told = timeout(PATIENCE, self.told.recv()).await;
        told.expect("the edge is told something")
            .expect("the house stands")
    }

    /// Everything the edge has been told by now and not read.
    pub(crate) fn told_by_now(&mut self) -> Vec<Envelope> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    pub(crate) async fn told_accepted(&mut self, exchange: ExchangeId) {
        let told = self.told().await;
        assert_eq!((told.exchange, told.content), (exchange, Content::Accepted));
    }

    pub(crate) async fn told_nack(&mut self, exchange: ExchangeId) -> Nack {
        let told = self.told().await;
        assert_eq!(told.exchange, exchange);
        match told.content {
            Content::Nack(nack) => nack,
            other => panic!("a nack is due, not {other:?}"),
        }
    }

    pub(crate) async fn told_reset(&mut self, exchange: ExchangeId) -> ResetCode {
        let told = self.told().await;
        assert_eq!(told.exchange, exchange);
        match told.content {
            Content::ToVisitor(frame) => reset_code(&frame),
            other => panic!("a reset is due, not {other:?}"),
        }
    }
}

/// One end of a link, spoken by hand.
pub(crate) struct Agent {
    pub(crate) pipe: Pipe,
    /// What its owner was told while it heard something else.
    pub(crate) notices: Vec<Notice>,
}

impl Agent {
    pub(crate) async fn register(
        &mut self,
        key: &SecretKey,
        session: [u8; 16],
    ) -> Result<Granted, RegisterError> {
        self.register_as(key, &wish(session)).await
    }

    pub(crate) async fn register_as(
        &mut self,
        key: &SecretKey,
        wish: &Registration,
    ) -> Result<Granted, RegisterError> {
        register(&mut self.pipe, key, wish).await
    }

    pub(crate) async fn say(&mut self, frame: Frame) {
        self.pipe.send(frame).await.expect("the link is up");
    }

    /// The next frame; `None` when the link was closed.
    pub(crate) async fn hear(&mut self) -> Option<Frame> {
        let message = timeout(PATIENCE, self.pipe.next())
            .await
            .expect("something is heard");
        let bytes = message?.expect("a pipe does not fail");
        Some(Frame::decode(bytes).expect("the uplink sends frames"))
    }

    /// The next frame but for pings and notices, decoded, with its stream.
    pub(crate) async fn hear_message(&mut self) -> (StreamId, Message) {
        loop {
            let frame = self.hear().await.expect("the link is up");
            match Message::decode(&frame).expect("the uplink sends messages") {
                Message::Ping(_) => {}
                Message::Notice(notice) => self.notices.push(notice),
                message => return (frame.stream, message),
            }
        }
    }

    pub(crate) async fn hear_hello(&mut self) -> Hello {
        match self.hear_message().await {
            (_, Message::Hello(hello)) => hello,
            (_, other) => panic!("a Hello is due, not {other:?}"),
        }
    }

    /// The stream of the next request.
    pub(crate) async fn hear_request(&mut self) -> StreamId {
        match self.hear_message().await {
            (stream, Message::HttpRequest { .. }) => stream,
            (_, other) => panic!("a request is due, not {other:?}"),
        }
    }

    pub(crate) async fn hear_reset(&mut self) -> (StreamId, ResetCode) {
        match self.hear_message().await {
            (stream, Message::Reset(reset)) => (stream, reset.code),
            (_, other) => panic!("a reset is due, not {other:?}"),
        }
    }

    /// The wish that the agent move, after which the link goes on.
    pub(crate) async fn hear_notice(&mut self) -> Disconnect {
        match self.hear_message().await {
            (_, Message::Disconnect(notice)) => notice,
            (_, other) => panic!("a Disconnect is due, not {other:?}"),
        }
    }

    /// The last words, after which the link is closed.
    pub(crate) async fn hear_disconnect(&mut self) -> Disconnect {
        match self.hear_message().await {
            (_, Message::Disconnect(disconnect)) => {
                assert_eq!(self.hear().await, None, "nothing follows the last words");
                disconnect
            }
            (_, other) => panic!("a Disconnect is due, not {other:?}"),
        }
    }

    /// A refusal, after which the link is closed.
    pub(crate) async fn hear_refusal(&mut self) -> Refused {
        match self.hear_message().await {
            (_, Message::RegistrationResponse(RegistrationResponse::Refused(refused))) => {
                assert_eq!(self.hear().await, None, "nothing follows a refusal");
                refused
            }
            (_, other) => panic!("a refusal is due, not {other:?}"),
        }
    }
}

pub(crate) fn wish(session: [u8; 16]) -> Registration {
    Registration {
        audience: DOMAIN.to_owned(),
        expect_domain: None,
        wanted: Wanted::default(),
        token: None,
        policy: None,
        session,
        generation: None,
        mode: Mode::Exclusive,
        agent: "test".to_owned(),
        channel: None,
        timeout: Duration::from_secs(10),
    }
}

/// What an honest agent signs in answer to a Hello.
pub(crate) fn claims(hello: &Hello) -> Claims {
    Claims {
        aud: DOMAIN.to_owned(),
        nonce: hello.nonce,
        iat: hello.time,
        exp: hello.time + 60,
        name: None,
        host: None,
        auto: false,
        session: "0".repeat(32),
        generation: None,
        mode: Mode::Exclusive,
        agent: "test".to_owned(),
        versions: vec![PROTOCOL_VERSION],
        policy: None,
        channel: None,
        join: None,
        chain: Vec::new(),
    }
}

/// A request; `whole` if no body follows.
pub(crate) fn request(whole: bool) -> Frame {
    let head = RequestHead {
        method: Method::POST,
        scheme: Scheme::Http,
        authority: DOMAIN.to_owned(),
        target: PathAndQuery::from_static("/"),
        headers: HeaderMap::new(),
        visitor: VisitorFacts {
            addr: "198.51.100.1:5000".parse().expect("an address"),
            version: Version::HTTP_11,
        },
        request_id: RequestId([9; 16]),
        attempt: 0,
    };
    head.encode(StreamId(1), b"", whole).expect("a small head")
}

/// A response that ends its stream.
pub(crate) fn response(stream: StreamId) -> Frame {
    let head = ResponseHead {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
    };
    head.encode(stream, b"hello", true).expect("a small head")
}

pub(crate) fn body(stream: StreamId, end: bool) -> Frame {
    Frame::body(stream, Bytes::from_static(b"bytes"), end)
}

pub(crate) fn reset(stream: StreamId, code: ResetCode) -> Frame {
    Frame::reset(stream, &Reset::new(code, ""))
}

pub(crate) fn reset_code(frame: &Frame) -> ResetCode {
    match Message::decode(frame) {
        Ok(Message::Reset(reset)) => reset.code,
        other => panic!("a reset is due, not {other:?}"),
    }
}

/// Lets every task that can go on do so, without letting time pass.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}
