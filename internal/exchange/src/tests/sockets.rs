//! WebSockets spliced to exchanges.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::HeaderMap;
use messages::{Reset, ResetCode, Teardown};

use super::{End, bytes, request, response};
use crate::{
    Event, Opening, Role,
    socket::{FRAGMENT, Said, SocketError, Spliced, splice},
};

/// A socket whose other side is the test.
struct Wire {
    inp: mpsc::Receiver<Result<Said, SocketError>>,
    out: mpsc::Sender<Said>,
}

struct Peer {
    out: mpsc::Sender<Result<Said, SocketError>>,
    inp: mpsc::Receiver<Said>,
}

fn socket() -> (Wire, Peer) {
    let (out, peer_in) = mpsc::channel(1);
    let (peer_out, inp) = mpsc::channel(1);
    (
        Wire { inp, out },
        Peer {
            out: peer_out,
            inp: peer_in,
        },
    )
}

impl Stream for Wire {
    type Item = Result<Said, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inp.poll_next_unpin(cx)
    }
}

impl Sink<Said> for Wire {
    type Error = SocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.out.poll_ready(cx).map_err(|_| SocketError::Lost)
    }

    fn start_send(mut self: Pin<&mut Self>, said: Said) -> Result<(), SocketError> {
        self.out.start_send(said).map_err(|_| SocketError::Lost)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.out.poll_flush_unpin(cx).map_err(|_| SocketError::Lost)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.out.poll_close_unpin(cx).map_err(|_| SocketError::Lost)
    }
}

fn text(data: impl Into<Bytes>) -> Said {
    Said::Message {
        data: data.into(),
        text: true,
        more: false,
    }
}

fn close(code: u16) -> Said {
    Said::Close {
        code: Some(code),
        reason: "bye".to_owned(),
    }
}

/// An edge and an agent with an accepted WebSocket between them.
async fn upgraded() -> (End, End) {
    let mut edge = End::alone(Opening {
        upgrading: true,
        ..Opening::of(Role::Edge)
    });
    let mut agent = End::alone(Opening::of(Role::Agent));
    assert!(edge.wire.peer.set(agent.port.clone()).is_ok());
    assert!(agent.wire.peer.set(edge.port.clone()).is_ok());
    edge.sender().upgrade(&request()).unwrap();
    assert!(matches!(
        agent.receiver().recv().await,
        Ok(Event::Upgrade(_))
    ));
    agent.sender().accept(&response(101)).unwrap();
    assert!(matches!(
        edge.receiver().recv().await,
        Ok(Event::Upgraded(_))
    ));
    (edge, agent)
}

fn spliced(mut end: End) -> (impl Future<Output = Spliced>, Peer) {
    let (wire, peer) = socket();
    (
        splice(
            wire,
            end.sender.take().unwrap(),
            end.receiver.take().unwrap(),
        ),
        peer,
    )
}

#[tokio::test]
async fn messages_and_the_close_pass_from_socket_to_socket() {
    let (edge, agent) = upgraded().await;
    let wires = (edge.wire.clone(), agent.wire.clone());
    let (edge, mut visitor) = spliced(edge);
    let (agent, mut target) = spliced(agent);
    let talk = async {
        visitor.out.send(Ok(text("hello"))).await.unwrap();
        assert_eq!(target.inp.next().await, Some(text("hello")));
        target.out.send(Ok(text(""))).await.unwrap();
        assert_eq!(visitor.inp.next().await, Some(text("")));
        visitor.out.send(Ok(close(4001))).await.unwrap();
        assert_eq!(target.inp.next().await, Some(close(4001)));
        assert_eq!(
            visitor.inp.next().await,
            Some(close(4001)),
            "the close is answered"
        );
        drop((visitor, target));
    };
    let (edge, agent, ()) = tokio::join!(edge, agent, talk);
    let said = Teardown::Close {
        code: Some(4001),
        reason: "bye".to_owned(),
    };
    assert_eq!(
        (edge, agent),
        (Spliced::BySocket(said.clone()), Spliced::ByPeer(said))
    );
    assert!(wires.0.is_done() && wires.1.is_done());
}

#[tokio::test]
async fn a_message_larger_than_the_window_arrives_whole() {
    let (edge, agent) = upgraded().await;
    let wire = edge.wire.clone();
    let (edge, mut visitor) = spliced(edge);
    let (agent, mut target) = spliced(agent);
    let talk = async {
        visitor.out.send(Ok(text(bytes(400_000)))).await.unwrap();
        assert_eq!(target.inp.next().await, Some(text(bytes(400_000))));
        drop((visitor, target));
    };
    tokio::join!(edge, agent, talk);
    assert!(
        wire.sent()
            .iter()
            .all(|frame| frame.payload.len() <= FRAGMENT),
        "on the link it is cut into fragments"
    );
}

#[tokio::test]
async fn a_message_beyond_what_is_held_leaves_in_fragments() {
    let (edge, agent) = upgraded().await;
    let (edge, mut visitor) = spliced(edge);
    let (agent, mut target) = spliced(agent);
    let whole = 5_000_000;
    let talk = async {
        visitor.out.send(Ok(text(bytes(whole)))).await.unwrap();
        let (mut got, mut fragments) = (0, 0);
        while let Some(Said::Message { data, more, .. }) = target.inp.next().await {
            got += data.len();
            fragments += 1;
            if !more {
                break;
            }
        }
        assert_eq!((got, fragments), (whole, 3));
        drop((visitor, target));
    };
    tokio::join!(edge, agent, talk);
}

#[tokio::test]
async fn a_socket_lost_without_a_close_is_lost_on_the_other_side() {
    let (edge, agent) = upgraded().await;
    let (edge, visitor) = spliced(edge);
    let (agent, mut target) = spliced(agent);
    drop(visitor);
    let (edge, agent) = tokio::join!(edge, agent);
    assert_eq!(
        (edge, agent),
        (
            Spliced::BySocket(Teardown::Lost),
            Spliced::ByPeer(Teardown::Lost)
        )
    );
    assert_eq!(target.inp.next().await, None, "no close frame was made up");
}

#[tokio::test]
async fn a_broken_rule_is_answered_with_its_code_and_the_other_side_is_told() {
    let (edge, agent) = upgraded().await;
    let (edge, mut visitor) = spliced(edge);
    let (agent, mut target) = spliced(agent);
    let broken = Err(SocketError::Broken {
        code: 1009,
        reason: "too large",
    });
    let talk = async {
        visitor.out.send(broken).await.unwrap();
        let told = Some(Said::Close {
            code: Some(1009),
            reason: "too large".to_owned(),
        });
        assert_eq!(visitor.inp.next().await, told);
        assert_eq!(target.inp.next().await, told);
        drop((visitor, target));
    };
    tokio::join!(edge, agent, talk);
}

#[tokio::test]
async fn a_lost_tunnel_closes_the_socket_with_1014() {
    let (edge, _agent) = upgraded().await;
    let port = edge.port.clone();
    let (edge, mut visitor) = spliced(edge);
    port.cut(Reset::new(ResetCode::LinkLost, ""));
    let talk = async {
        assert!(matches!(
            visitor.inp.next().await,
            Some(Said::Close {
                code: Some(1014),
                ..
            })
        ));
        drop(visitor);
    };
    let (edge, ()) = tokio::join!(edge, talk);
    assert!(matches!(edge, Spliced::Cut(_)));
}

#[tokio::test]
async fn an_upgrade_nobody_asked_for_is_a_violation() {
    let edge = End::alone(Opening::of(Role::Edge));
    let accepted = messages::ResponseHead {
        status: http::StatusCode::SWITCHING_PROTOCOLS,
        headers: HeaderMap::new(),
    };
    let frame = accepted
        .encode_accepted(crate::mailbox::UNASSIGNED)
        .unwrap();
    assert_eq!(edge.port.deliver(&frame), Err(crate::Violation::Unexpected));
}
