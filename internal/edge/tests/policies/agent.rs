//! An agent behind the memory bus, without an uplink between.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, Weak},
};

use adit_edge::Edge;
use bus::{
    Announcement, Bus, Content, Delivery, Directory, Envelope, ExchangeId, Inbox, LinkId, Nack,
};
use bytes::Bytes;
use exchange::{Event, Opening, Outlet, Port, Receiver, Role, Sender, open};
use futures_util::FutureExt;
use http::StatusCode;
use messages::{Frame, RequestHead, ResponseHead, Tag, TunnelId, cost};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::house::{NODE, map};

/// The agent: it keeps what it was asked and answers by the path.
#[derive(Default)]
pub(crate) struct Agent {
    pub(crate) place: OnceLock<Place>,
    ports: Mutex<HashMap<ExchangeId, Port>>,
    asked: Mutex<Vec<(RequestHead, Bytes)>>,
    links: Mutex<Vec<LinkId>>,
    /// What is announced instead of taking the next request.
    returns: Mutex<Option<Announcement>>,
    /// Lets a slow response go on.
    pub(crate) go_on: Arc<Notify>,
    tasks: TaskTracker,
}

pub(crate) struct Place {
    pub(crate) edge: Arc<Edge>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) agent: Weak<Agent>,
}

impl Agent {
    /// The requests that have reached it.
    pub(crate) fn asked(&self) -> Vec<(RequestHead, Bytes)> {
        self.asked.lock().unwrap().clone()
    }

    /// The links that requests were offered to.
    pub(crate) fn links(&self) -> Vec<LinkId> {
        self.links.lock().unwrap().clone()
    }

    /// The next request finds the agent gone, and coming back.
    pub(crate) fn returns_with(&self, announcement: Announcement) {
        *self.returns.lock().unwrap() = Some(announcement);
    }

    fn open(self: &Arc<Self>, envelope: &Envelope, frame: &Frame) {
        let outlet = Arc::new(Line {
            agent: Arc::downgrade(self),
            exchange: envelope.exchange,
            tunnel: envelope.tunnel,
        });
        let returns = self.returns.lock().unwrap().take();
        if let Some(announcement) = returns {
            let directory = &self.place.get().unwrap().directory;
            let announced = directory.announce(announcement).now_or_never();
            announced.expect("memory does not wait").unwrap();
            return outlet.say(Content::Nack(Nack::Stale));
        }
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
            Content::Open { link, frame, .. } => {
                self.links.lock().unwrap().push(*link);
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
