//! What a frame may do to an exchange, and how exchanges end.

use futures_util::FutureExt;
use http::HeaderMap;
use messages::{Frame, INITIAL_WINDOW, Message, Reset, ResetCode};

use super::{End, bytes, response};
use crate::{Event, Opening, Role, Violation, mailbox::UNASSIGNED};

fn last_reset(end: &End) -> Option<Reset> {
    end.wire
        .sent()
        .iter()
        .rev()
        .find_map(|frame| match Message::decode(frame) {
            Ok(Message::Reset(reset)) => Some(reset),
            _ => None,
        })
}

fn body(len: usize, end: bool) -> Frame {
    Frame::body(UNASSIGNED, bytes(len), end)
}

fn answer(status: u16, end: bool) -> Frame {
    response(status).encode(UNASSIGNED, b"", end).unwrap()
}

#[tokio::test]
async fn a_small_exchange_is_one_frame_each_way() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"ping", true);
    assert!(matches!(
        agent.receiver().recv().await,
        Ok(Event::Request(_))
    ));
    assert!(matches!(agent.receiver().recv().await, Ok(Event::Data(data)) if data == "ping"));
    assert!(matches!(agent.receiver().recv().await, Ok(Event::End)));
    agent.answers(b"pong", true);
    assert!(matches!(
        edge.receiver().recv().await,
        Ok(Event::Response(_))
    ));
    assert!(matches!(edge.receiver().recv().await, Ok(Event::Data(data)) if data == "pong"));
    assert!(matches!(edge.receiver().recv().await, Ok(Event::End)));
    assert_eq!((edge.wire.sent().len(), agent.wire.sent().len()), (1, 1));
    assert!(edge.wire.is_done() && agent.wire.is_done());
}

#[tokio::test]
async fn a_sender_waits_for_credit_and_goes_on_when_some_is_granted() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", false);
    assert!(matches!(
        agent.receiver().recv().await,
        Ok(Event::Request(_))
    ));
    let whole = INITIAL_WINDOW as usize * 2;
    let mut sender = edge.sender.take().unwrap();
    let mut sending = Box::pin(async move { sender.data(bytes(whole), true).await });
    assert!(
        sending.as_mut().now_or_never().is_none(),
        "two windows do not fit into one"
    );
    let mut got = 0;
    let (sent, ()) = tokio::join!(sending, async {
        while let Ok(Event::Data(data)) = agent.receiver().recv().await {
            got += data.len();
            agent.receiver().consumed(messages::cost(data.len()));
        }
    });
    sent.unwrap();
    assert_eq!(got, whole);
}

#[tokio::test]
async fn more_than_the_credit_resets_this_exchange() {
    let edge = End::alone(Opening::of(Role::Edge));
    edge.port.deliver(&answer(200, false)).unwrap();
    for _ in 0..2 {
        edge.port.deliver(&body(60_000, false)).unwrap();
    }
    assert_eq!(
        edge.port.deliver(&body(60_000, false)),
        Err(Violation::Overrun)
    );
    assert_eq!(last_reset(&edge).unwrap().code, ResetCode::Overrun);
    assert!(
        !edge.wire.is_done(),
        "the stream counts until the peer acknowledges"
    );
    edge.port
        .deliver(&Frame::reset(
            UNASSIGNED,
            &Reset::new(ResetCode::Overrun, ""),
        ))
        .unwrap();
    assert!(edge.wire.is_done());
}

#[tokio::test]
async fn frames_out_of_order_reset_the_exchange() {
    let broken = |frames: &[Frame]| {
        let edge = End::alone(Opening::of(Role::Edge));
        let (last, before) = frames.split_last().unwrap();
        before
            .iter()
            .for_each(|frame| assert!(edge.port.deliver(frame).is_ok()));
        let violation = edge.port.deliver(last).unwrap_err();
        assert_eq!(last_reset(&edge).unwrap().code, ResetCode::Protocol);
        violation
    };
    assert!(matches!(
        broken(&[body(1, false)]),
        Violation::OutOfOrder(_)
    ));
    assert!(matches!(
        broken(&[answer(200, false), answer(200, false)]),
        Violation::OutOfOrder(_)
    ));
    assert_eq!(
        broken(&[answer(200, true), body(1, false)]),
        Violation::AfterEnd
    );
    assert_eq!(broken(&[Frame::ping([0; 8])]), Violation::Unexpected);
    let garbage = Frame {
        payload: bytes(1),
        ..answer(200, true)
    };
    assert!(matches!(broken(&[garbage]), Violation::Malformed(_)));
    let hints = vec![answer(103, false); 9];
    assert!(matches!(broken(&hints), Violation::OutOfOrder(_)));
}

#[tokio::test]
async fn a_visitor_who_leaves_cancels_the_work_at_the_agent() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", true);
    let cancelled = agent.port.cut_signal();
    drop(edge.receiver.take());
    assert_eq!(cancelled.await.code, ResetCode::Cancelled);
    let refused = agent.sender().data(bytes(10), true).await.unwrap_err();
    assert_eq!(refused.code, ResetCode::Cancelled);
    drop(agent);
    assert!(edge.wire.is_done());
}

#[tokio::test]
async fn a_target_that_stops_reading_still_answers_whole() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", false);
    assert!(matches!(
        agent.receiver().recv().await,
        Ok(Event::Request(_))
    ));
    drop(agent.receiver.take());
    agent.answers(b"too large", true);
    assert!(matches!(
        edge.receiver().recv().await,
        Ok(Event::Response(_))
    ));
    assert!(matches!(edge.receiver().recv().await, Ok(Event::Data(_))));
    assert!(matches!(edge.receiver().recv().await, Ok(Event::End)));
    let refused = edge.sender().data(bytes(10), false).await.unwrap_err();
    assert_eq!(refused.code, ResetCode::Done);
    assert!(edge.wire.is_done() && agent.wire.is_done());
}

#[tokio::test]
async fn a_sender_dropped_in_the_middle_cuts_and_never_ends_cleanly() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", true);
    agent.answers(b"half of", false);
    drop(agent.sender.take());
    assert!(matches!(
        edge.receiver().recv().await,
        Ok(Event::Response(_))
    ));
    assert!(
        matches!(edge.receiver().recv().await, Ok(Event::Data(_))),
        "what came before the cut is kept"
    );
    assert_eq!(
        edge.receiver().recv().await.unwrap_err().code,
        ResetCode::Cancelled
    );
    assert!(edge.wire.is_done() && agent.wire.is_done());
}

#[tokio::test]
async fn a_lost_link_cuts_without_a_word_to_the_peer() {
    let mut edge = End::alone(Opening::of(Role::Edge));
    edge.asks(b"", false);
    edge.port.cut(Reset::new(ResetCode::LinkLost, "gone"));
    assert_eq!(
        edge.receiver().recv().await.unwrap_err().code,
        ResetCode::LinkLost
    );
    assert_eq!(
        edge.sender().data(bytes(1), false).await.unwrap_err().code,
        ResetCode::LinkLost
    );
    assert!(edge.wire.is_done());
    drop(edge.sender.take());
    assert_eq!(edge.wire.sent().len(), 1, "only the request was sent");
}

#[tokio::test]
async fn a_body_that_waits_for_100_continue_moves_when_the_window_opens() {
    let mut edge = End::alone(Opening {
        send_credit: 0,
        ..Opening::of(Role::Edge)
    });
    let mut agent = End::alone(Opening {
        receive_credit: 0,
        ..Opening::of(Role::Agent)
    });
    assert!(agent.wire.peer.set(edge.port.clone()).is_ok());
    assert!(edge.wire.peer.set(agent.port.clone()).is_ok());
    edge.asks(b"", false);
    assert!(edge.sender().writable().now_or_never().is_none());
    agent.receiver().open_window();
    edge.sender().writable().await.unwrap();
    edge.sender().data(bytes(10), true).await.unwrap();
    agent.receiver().open_window();
    assert_eq!(agent.wire.sent().len(), 1, "a window opens once");
}

#[tokio::test]
async fn empty_frames_do_not_use_the_window_up() {
    let edge = End::alone(Opening::of(Role::Edge));
    edge.port.deliver(&answer(200, false)).unwrap();
    for _ in 0..5_000 {
        edge.port.deliver(&body(0, false)).unwrap();
    }
    edge.port.deliver(&body(40_000, false)).unwrap();
}

#[tokio::test]
async fn a_101_that_is_no_accepted_websocket_is_a_violation() {
    let edge = End::alone(Opening {
        upgrading: true,
        ..Opening::of(Role::Edge)
    });
    assert_eq!(
        edge.port.deliver(&answer(101, false)),
        Err(Violation::Unexpected)
    );
}

#[tokio::test]
async fn trailers_end_their_direction() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", true);
    agent.answers(b"", false);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    agent.sender().trailers(&trailers).await.unwrap();
    assert!(matches!(
        edge.receiver().recv().await,
        Ok(Event::Response(_))
    ));
    assert!(matches!(edge.receiver().recv().await, Ok(Event::Trailers(got)) if got == trailers));
    assert!(matches!(edge.receiver().recv().await, Ok(Event::End)));
}
