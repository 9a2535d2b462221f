//! Two ends of one exchange, joined in memory.

mod bodies;
mod rules;
mod sockets;

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, uri::PathAndQuery};
use messages::{Frame, RequestHead, RequestId, ResponseHead, Scheme, VisitorFacts};

use crate::{Opening, Outlet, Port, Receiver, Role, Sender, Violation, open};

/// One end, and what it has sent.
struct End {
    port: Port,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    wire: Arc<Wire>,
}

/// Records what an end sends and passes it on to the other end's port.
#[derive(Default)]
struct Wire {
    sent: Mutex<Vec<Frame>>,
    peer: OnceLock<Port>,
    violations: Mutex<Vec<Violation>>,
    done: Mutex<u32>,
}

impl Outlet for Wire {
    fn send(&self, frame: Frame) {
        self.sent.lock().unwrap().push(frame.clone());
        if let Some(peer) = self.peer.get()
            && let Err(violation) = peer.deliver(&frame)
        {
            self.violations.lock().unwrap().push(violation);
        }
    }

    fn done(&self) {
        *self.done.lock().unwrap() += 1;
    }
}

impl Wire {
    fn sent(&self) -> Vec<Frame> {
        self.sent.lock().unwrap().clone()
    }

    fn is_done(&self) -> bool {
        let done = *self.done.lock().unwrap();
        assert!(done <= 1, "done is reported once");
        done == 1
    }
}

impl End {
    fn alone(opening: Opening) -> Self {
        let wire = Arc::new(Wire::default());
        let (port, sender, receiver) = open(wire.clone(), opening);
        Self {
            port,
            sender: Some(sender),
            receiver: Some(receiver),
            wire,
        }
    }

    /// An edge and an agent, each delivering to the other.
    fn pair() -> (Self, Self) {
        let edge = Self::alone(Opening::of(Role::Edge));
        let agent = Self::alone(Opening::of(Role::Agent));
        assert!(edge.wire.peer.set(agent.port.clone()).is_ok());
        assert!(agent.wire.peer.set(edge.port.clone()).is_ok());
        (edge, agent)
    }

    fn sender(&mut self) -> &mut Sender {
        self.sender.as_mut().expect("the sender is still here")
    }

    fn receiver(&mut self) -> &mut Receiver {
        self.receiver.as_mut().expect("the receiver is still here")
    }

    fn asks(&mut self, body: &[u8], end: bool) {
        assert!(self.sender().fits_inline(body.len()));
        self.sender().request(&request(), body, end).unwrap();
    }

    fn answers(&mut self, body: &[u8], end: bool) {
        assert!(self.sender().fits_inline(body.len()));
        self.sender().response(&response(200), body, end).unwrap();
    }
}

fn request() -> RequestHead {
    RequestHead {
        method: Method::POST,
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: PathAndQuery::from_static("/"),
        headers: HeaderMap::new(),
        visitor: VisitorFacts {
            addr: ([127, 0, 0, 1], 1).into(),
            version: http::Version::HTTP_11,
        },
        request_id: RequestId([7; 16]),
        attempt: 0,
    }
}

fn response(status: u16) -> ResponseHead {
    ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
    }
}

fn bytes(len: usize) -> Bytes {
    Bytes::from(vec![b'x'; len])
}
