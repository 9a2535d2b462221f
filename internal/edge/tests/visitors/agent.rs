//! Agents behind the memory bus, without uplinks between: one for every link there
//! is. Each says which link it is and for whom it was asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, Weak},
};

use adit_edge::Edge;
use bus::{Bus, Content, Delivery, Envelope, ExchangeId, Inbox, LinkId};
use bytes::Bytes;
use exchange::{Event, Opening, Outlet, Port, Receiver, Role, Sender, open};
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use messages::{Frame, RequestHead, ResponseHead, Tag};
use tokio_util::task::TaskTracker;

#[derive(Default)]
pub(crate) struct Agents {
    pub(crate) place: OnceLock<(Arc<Edge>, Arc<dyn Bus>)>,
    me: OnceLock<Weak<Self>>,
    ports: Mutex<HashMap<ExchangeId, Port>>,
    tasks: TaskTracker,
}

impl Agents {
    pub(crate) fn new() -> Arc<Self> {
        let agents = Arc::new(Self::default());
        agents.me.set(Arc::downgrade(&agents)).unwrap();
        agents
    }

    fn me(&self) -> Arc<Self> {
        let me = self.me.get().and_then(Weak::upgrade);
        me.expect("it lives as long as its house")
    }

    fn open(&self, envelope: &Envelope, link: LinkId, frame: &Frame) {
        let outlet = Arc::new(Line {
            agents: self.me(),
            about: envelope.clone(),
        });
        let opening = Opening {
            upgrading: frame.tag() == Some(Tag::WsRequest),
            ..Opening::of(Role::Agent)
        };
        let (port, sender, receiver) = open(outlet.clone(), opening);
        let mut ports = self.ports.lock().unwrap();
        ports.insert(envelope.exchange, port.clone());
        drop(ports);
        outlet.say(Content::Accepted);
        port.deliver(frame).expect("the edge speaks the protocol");
        self.tasks.spawn(serve(link, sender, receiver));
    }
}

async fn serve(link: LinkId, mut sender: Sender, mut receiver: Receiver) {
    let ok = ResponseHead {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
    };
    match receiver.recv().await.expect("a head") {
        Event::Request(head) => {
            let page = Bytes::from(page(link, &head));
            let mut ok = ok;
            ok.headers.insert(CONTENT_LENGTH, page.len().into());
            sender.response(&ok, &page, true).unwrap();
        }
        Event::Upgrade(_) => {
            sender.accept(&ok).unwrap();
            while let Ok(Event::Message { .. }) = receiver.recv().await {}
        }
        other => panic!("{other:?}"),
    }
}

/// `link 1: 192.0.2.7 by http`
fn page(link: LinkId, head: &RequestHead) -> String {
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    format!(
        "link {}: {} by {}",
        link.0,
        field("x-forwarded-for").unwrap(),
        field("x-forwarded-proto").unwrap()
    )
}

impl Inbox for Agents {
    fn deliver(&self, delivery: Delivery) {
        let Delivery::Envelope(envelope) = delivery else {
            return;
        };
        match &envelope.content {
            Content::Open { link, frame, .. } => self.open(&envelope, *link, frame),
            Content::ToAgent { frame, .. } => {
                let port = self.ports.lock().unwrap().get(&envelope.exchange).cloned();
                if let Some(port) = port {
                    drop(port.deliver(frame));
                }
            }
            Content::Accepted | Content::Nack(_) | Content::ToVisitor(_) => {
                let (edge, _) = self.place.get().expect("visitors come later");
                edge.deliver(envelope);
            }
        }
    }
}

/// The way back to the edge.
struct Line {
    agents: Arc<Agents>,
    about: Envelope,
}

impl Line {
    fn say(&self, content: Content) {
        let envelope = Envelope {
            content,
            ..self.about.clone()
        };
        let (_, bus) = self.agents.place.get().expect("visitors come later");
        bus.send(envelope.from, envelope)
            .expect("the own node can be reached");
    }
}

impl Outlet for Line {
    fn send(&self, frame: Frame) {
        self.say(Content::ToVisitor(frame));
    }

    fn done(&self) {
        self.agents
            .ports
            .lock()
            .unwrap()
            .remove(&self.about.exchange);
    }
}
