//! A server's end of a link over an in-memory pipe, and targets made of closures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use identity::{Claims, SecretKey, VerifiedRegistration, auto_name, grant_id};
use messages::{
    Frame, Granted, LinkLimits, Message, NodeId, Refused, RequestHead, RequestId, Reset,
    ResponseHead, Scheme, StreamId, VisitorFacts,
};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel::handshake::{
    GreetError, HandshakeError, Registration, ServerTerms, Wanted, greet, register,
};
use tunnel::pipe::{self, Pipe};
use tunnel::{Keepalive, LinkEnd};

use crate::event::{Event, Events};
use crate::link::{Link, Service};
use crate::{Context, RequestBody, Target, TargetBody, TargetError};

pub(crate) const DOMAIN: &str = "tunnels.example";
pub(crate) const AUTHORITY: &str = "label.tunnels.example:8443";

/// Long enough for anything on loopback.
const PATIENCE: Duration = Duration::from_secs(20);

type Answer = Result<Response<TargetBody>, TargetError>;

/// A target that does what the closure does.
pub(crate) struct Doing<F>(pub(crate) F);

impl<F, Fut> Target for Doing<F>
where
    F: Fn(Request<RequestBody>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    fn http(&self, request: Request<RequestBody>, context: Context) -> BoxFuture<'_, Answer> {
        (self.0)(request, context).boxed()
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<Event>>>);

impl Diary {
    pub(crate) fn events(&self) -> Events {
        let diary = self.clone();
        Events::new(move |event| diary.0.lock().unwrap().push(event))
    }

    pub(crate) fn read(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// The server's end of one link.
pub(crate) struct Server {
    pub(crate) pipe: Pipe,
    opened: u32,
}

/// What a server is and grants.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) node: NodeId,
    /// How many links it would like the agent to hold.
    pub(crate) links: u32,
    pub(crate) limits: LinkLimits,
    /// What it grants, whatever is asked for.
    pub(crate) grants: Option<String>,
}

impl Site {
    /// Node number `node` of a fleet that would like each agent to hold so many links.
    pub(crate) fn of(node: u8, links: u32) -> Self {
        Self {
            node: NodeId([node; 16]),
            links,
            limits: LinkLimits::default(),
            grants: None,
        }
    }
}

impl Server {
    /// Greets an agent and admits it; what it claimed. `None` when it leaves after Hello, and has signed nothing.
    pub(crate) async fn admit(mut pipe: Pipe, site: &Site) -> Option<(Self, Claims)> {
        let terms = terms(site);
        let claimant = match greet(&mut pipe, &terms).await {
            Ok(claimant) => claimant,
            Err(GreetError::Handshake(HandshakeError::Closed)) => return None,
            Err(other) => panic!("expected a registration, or nothing: {other}"),
        };
        let claims = claimant.registration().claims().clone();
        let (label, hostname) = name(claimant.registration(), site);
        let granted = Granted {
            key_id: claimant.registration().key().thumbprint().to_string(),
            tunnel: label,
            url: format!("https://{hostname}"),
            hostname,
            node: site.node,
            generation: claims.generation.unwrap_or(42),
            links: site.links,
            limits: site.limits.clone(),
        };
        drop(claimant.grant(granted).await.unwrap());
        Some((Self { pipe, opened: 0 }, claims))
    }

    /// Greets an agent and turns it away.
    pub(crate) async fn turn_away(mut pipe: Pipe, site: &Site, refused: Refused) {
        greet(&mut pipe, &terms(site))
            .await
            .unwrap()
            .refuse(refused)
            .await
            .unwrap();
    }

    pub(crate) async fn say(&mut self, frame: Frame) {
        self.pipe.send(frame).await.unwrap();
    }

    /// Opens a stream with this request.
    pub(crate) async fn ask(&mut self, head: &RequestHead, body: &[u8], end: bool) -> StreamId {
        self.opened += 1;
        let stream = StreamId(self.opened);
        self.say(head.encode(stream, body, end).unwrap()).await;
        stream
    }

    /// The next message; `None` at the end of the link.
    pub(crate) async fn hear(&mut self) -> Option<(StreamId, Message)> {
        let bytes = timeout(PATIENCE, self.pipe.next())
            .await
            .expect("the agent says something")?;
        let frame = Frame::decode(bytes.unwrap()).unwrap();
        Some((frame.stream, Message::decode(&frame).unwrap()))
    }

    /// The next message on this stream, which must be the next at all. Grants of credit are passed over.
    pub(crate) async fn on(&mut self, stream: StreamId) -> Message {
        loop {
            let (of, message) = self.hear().await.expect("the link is up");
            assert_eq!(of, stream, "{message:?}");
            if !matches!(message, Message::Window(_)) {
                return message;
            }
        }
    }

    /// The response head on this stream, with what came in its frame.
    pub(crate) async fn head(&mut self, stream: StreamId) -> (ResponseHead, Bytes, bool) {
        match self.on(stream).await {
            Message::HttpResponse { head, body, end } => (head, body, end),
            other => panic!("expected a response head, not {other:?}"),
        }
    }

    /// A whole response.
    pub(crate) async fn response(&mut self, stream: StreamId) -> (ResponseHead, Vec<u8>) {
        let (head, body, mut end) = self.head(stream).await;
        let mut body = body.to_vec();
        while !end {
            match self.on(stream).await {
                Message::Body { data, end: last } => {
                    body.extend_from_slice(&data);
                    end = last;
                    self.say(Frame::window(stream, messages::cost(data.len())))
                        .await;
                }
                other => panic!("expected body, not {other:?}"),
            }
        }
        (head, body)
    }

    /// The reset of this stream, which is acknowledged.
    pub(crate) async fn reset(&mut self, stream: StreamId) -> Reset {
        match self.on(stream).await {
            Message::Reset(reset) => {
                self.say(Frame::reset(stream, &reset)).await;
                reset
            }
            other => panic!("expected a reset, not {other:?}"),
        }
    }
}

/// Label and hostname of what is granted: what was asked for, unless the site grants something else.
fn name(registration: &VerifiedRegistration, site: &Site) -> (String, String) {
    let auto = || format!("{}.{DOMAIN}", auto_name(registration.root()));
    let host = match (&site.grants, registration.wanted_host()) {
        (Some(host), _) => host.clone(),
        (None, Some(host)) => host.to_owned(),
        (None, None) if registration.claims().auto => auto(),
        (None, None) => {
            let label = registration.label();
            return (label.clone(), format!("{label}.{DOMAIN}"));
        }
    };
    (grant_id(&host).unwrap().label(), host)
}

fn terms(site: &Site) -> ServerTerms<'_> {
    ServerTerms {
        node: site.node,
        domain: DOMAIN,
        time: 1_800_000_000,
        limits: &site.limits,
        accepts_audience: &|host| host == "relay.example",
        channel: None,
        timeout: PATIENCE,
    }
}

fn wish() -> Registration {
    Registration {
        audience: "relay.example".to_owned(),
        expect_domain: None,
        wanted: Wanted::default(),
        token: None,
        policy: None,
        session: [9; 16],
        generation: None,
        mode: identity::Mode::Exclusive,
        agent: "test".to_owned(),
        channel: None,
        timeout: PATIENCE,
    }
}

/// An agent's link that serves a target, and the server's end of it.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) shutdown: CancellationToken,
    pub(crate) diary: Diary,
    agent: JoinSet<LinkEnd>,
}

impl Bench {
    pub(crate) async fn serving(target: impl Target) -> Self {
        Self::limited(target, LinkLimits::default()).await
    }

    pub(crate) async fn limited(target: impl Target, limits: LinkLimits) -> Self {
        let (ours, theirs) = pipe::pair();
        let (shutdown, diary) = (CancellationToken::new(), Diary::default());
        let service = Arc::new(Service {
            target: Arc::new(target),
            events: diary.events(),
            keepalive: Keepalive::default(),
            max_streams: 1024,
            grace: Duration::from_secs(5),
        });
        let mut agent = JoinSet::new();
        let leave = shutdown.clone();
        agent.spawn(async move {
            let (mut transport, key) = (theirs, SecretKey::generate());
            let granted = register(&mut transport, &key, &wish()).await.unwrap();
            let (_control, serving) = Link::new(transport, granted).serve(&service, leave);
            serving.await
        });
        let site = Site {
            limits,
            ..Site::of(7, 1)
        };
        let (server, _) = Server::admit(ours, &site).await.unwrap();
        Self {
            server,
            shutdown,
            diary,
            agent,
        }
    }

    /// Waits for the agent's end of the link, and what it was.
    pub(crate) async fn end(&mut self) -> LinkEnd {
        let end = timeout(PATIENCE, self.agent.join_next()).await;
        end.expect("the link ends")
            .expect("it was not asked before")
            .unwrap()
    }
}

/// A request of a visitor.
pub(crate) fn request(
    method: Method,
    target: &str,
    headers: &[(&'static str, &'static str)],
) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    RequestHead {
        method,
        scheme: Scheme::Https,
        authority: AUTHORITY.to_owned(),
        target: target.parse().unwrap(),
        headers: map,
        visitor: VisitorFacts {
            addr: ([192, 0, 2, 1], 4711).into(),
            version: Version::HTTP_11,
        },
        request_id: RequestId([0xab; 16]),
        attempt: 0,
    }
}

pub(crate) fn get(target: &str) -> RequestHead {
    request(Method::GET, target, &[])
}
