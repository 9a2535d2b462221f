//! HTTP bodies in and out of an exchange.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use messages::{MAX_WINDOW, ResetCode};

use super::{End, bytes};
use crate::{
    Budget, Event, Opening, Role,
    body::{Incoming, IncomingError, Peeked, PumpError, PumpRules, Rules, pump},
};

/// A body that says each of these in turn; `None` is a pause of one poll.
struct Script(VecDeque<Option<Bytes>>);

impl Script {
    fn of(parts: &[Option<&'static str>]) -> Self {
        Self(parts.iter().map(|part| part.map(Bytes::from)).collect())
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(Some(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

const RULES: PumpRules = PumpRules {
    sent: 0,
    max: Some(512_000),
    source_stall: Some(Duration::from_secs(30)),
    credit_stall: Some(Duration::from_secs(30)),
    clean_trailers: None,
};

async fn response_body(edge: &mut End, rules: Rules) -> Incoming {
    assert!(matches!(
        edge.receiver().recv().await,
        Ok(Event::Response(_))
    ));
    Incoming::new(edge.receiver.take().unwrap(), rules)
}

#[tokio::test]
async fn a_body_longer_than_many_windows_passes_whole_and_its_window_grows() {
    let budget = Arc::new(Budget::new(2 * MAX_WINDOW));
    let mut edge = End::alone(Opening {
        budget: Some(budget.clone()),
        ..Opening::of(Role::Edge)
    });
    let mut agent = End::alone(Opening::of(Role::Agent));
    assert!(edge.wire.peer.set(agent.port.clone()).is_ok());
    assert!(agent.wire.peer.set(edge.port.clone()).is_ok());
    edge.asks(b"", true);
    agent.answers(b"", false);
    let body = response_body(&mut edge, Rules::default()).await;
    let mut sender = agent.sender.take().unwrap();
    let whole = 20_000_000;
    let mut source = http_body_util::Full::new(bytes(whole));
    let rules = PumpRules { max: None, ..RULES };
    let (pumped, got) = tokio::join!(pump(&mut source, &mut sender, rules), body.collect());
    assert_eq!(pumped.unwrap(), whole as u64);
    assert_eq!(got.unwrap().to_bytes().len(), whole);
    assert!(
        edge.wire.sent().len() < 300,
        "a grown window needs few grants"
    );
    assert_eq!(budget.left(), 2 * MAX_WINDOW, "growth is given back");
    assert!(edge.wire.is_done() && agent.wire.is_done());
}

#[tokio::test]
async fn frames_that_do_not_add_up_to_content_length_are_an_error() {
    for (announced, sent) in [(10, 4), (3, 4)] {
        let (mut edge, mut agent) = End::pair();
        edge.asks(b"", true);
        agent.answers(b"four", true);
        let rules = Rules {
            length: Some(announced),
            ..Rules::default()
        };
        let error = response_body(&mut edge, rules)
            .await
            .collect()
            .await
            .unwrap_err();
        assert!(
            matches!(error, IncomingError::Length { got, .. } if got == sent),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_cut_and_the_agent_told() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", true);
    agent.answers(b"", false);
    let body = response_body(
        &mut edge,
        Rules {
            max: Some(5),
            ..Rules::default()
        },
    )
    .await;
    agent.sender().data(bytes(6), false).await.unwrap();
    let error = body.collect().await.unwrap_err();
    assert!(matches!(error, IncomingError::TooLarge(5)));
    assert_eq!(
        agent.sender().data(bytes(1), true).await.unwrap_err().code,
        ResetCode::TooLarge
    );
}

#[tokio::test]
async fn exactly_the_limit_passes_and_one_byte_more_does_not() {
    for (len, passes) in [(5, true), (6, false)] {
        let (mut edge, _agent) = End::pair();
        edge.asks(b"", false);
        let mut source = http_body_util::Full::new(bytes(len));
        let result = pump(
            &mut source,
            edge.sender(),
            PumpRules {
                max: Some(5),
                ..RULES
            },
        )
        .await;
        assert_eq!(result.is_ok(), passes, "{len} bytes: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_and_a_target_without_appetite_are_told_apart() {
    let (mut edge, _agent) = End::pair();
    edge.asks(b"", false);
    let mut silent = http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<Frame<Bytes>, Infallible>,
    >());
    let stalled = pump(&mut silent, edge.sender(), RULES).await;
    assert!(matches!(stalled, Err(PumpError::SourceStalled { .. })));
    let mut large = http_body_util::Full::new(bytes(200_000));
    let stalled = pump(&mut large, edge.sender(), RULES).await;
    assert!(
        matches!(stalled, Err(PumpError::CreditStalled)),
        "nobody consumed: {stalled:?}"
    );
}

#[tokio::test]
async fn what_is_there_at_once_goes_with_the_head() {
    let mut body = Peeked::new(Script::of(&[Some("a"), Some("b"), None, Some("c")]));
    assert_eq!(body.take_ready(100, 0).await, (Bytes::from("ab"), false));
    assert_eq!(body.take_ready(100, 1).await, (Bytes::from("c"), true));

    let mut too_long = Peeked::new(Script::of(&[Some("aa"), Some("bbbb")]));
    assert_eq!(too_long.take_ready(4, 0).await, (Bytes::from("aa"), false));
    assert_eq!(too_long.collect().await.unwrap().to_bytes(), "bbbb");
}

#[tokio::test]
async fn a_body_is_whole_when_its_length_is_there_even_before_the_end_frame() {
    let (mut edge, mut agent) = End::pair();
    edge.asks(b"", true);
    agent.answers(b"four", false);
    let mut body = response_body(
        &mut edge,
        Rules {
            length: Some(4),
            ..Rules::default()
        },
    )
    .await;
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    agent.sender().end();
    assert!(edge.wire.is_done() && agent.wire.is_done());
    assert_eq!(edge.wire.sent().len(), 1, "nothing was cancelled");
}
