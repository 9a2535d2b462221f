//! Which of two ways is taken, and how soon. Time is paused.

use std::sync::Arc;
use std::sync::Mutex;

use messages::{RefusalCode, Refused};
use tunnel::handshake::RegisterError;

use super::*;

/// How a way behaves: after so many milliseconds, well or not; or never.
#[derive(Clone, Copy)]
enum Way {
    Opens(u64),
    Fails(u64),
    Refuses,
    Swallows,
}

use Way::{Fails, Opens, Refuses, Swallows};

struct Race {
    outcome: Result<Via, String>,
    mistrusted: Option<Via>,
    took: u64,
    /// The ways that were tried, in order.
    tried: Vec<Via>,
}

async fn run(first: Via, tcp: Way, websocket: Way) -> Race {
    let begun = Instant::now();
    let tried = Arc::new(Mutex::new(Vec::new()));
    let noted = tried.clone();
    let (outcome, mistrusted) = race(first, move |via| {
        noted.lock().unwrap().push(via);
        let way = match via {
            Via::Tcp => tcp,
            Via::WebSocket => websocket,
        };
        async move {
            match way {
                Opens(ms) => {
                    sleep(Duration::from_millis(ms)).await;
                    Ok(via)
                }
                Fails(ms) => {
                    sleep(Duration::from_millis(ms)).await;
                    let reason = format!("{} is broken", via.as_str());
                    Err(LinkError::from(HandshakeError::Transport(
                        tunnel::TransportError::Protocol(reason),
                    )))
                }
                Refuses => {
                    let refused = Refused {
                        code: RefusalCode::NotAllowed,
                        message: String::new(),
                        retry_after_ms: None,
                    };
                    Err(RegisterError::Refused(refused).into())
                }
                Swallows => std::future::pending().await,
            }
        }
    })
    .await;
    let tried = tried.lock().unwrap().clone();
    Race {
        outcome: outcome.map_err(|error| error.to_string()),
        mistrusted,
        took: u64::try_from(begun.elapsed().as_millis()).unwrap(),
        tried,
    }
}

const TCP: Via = Via::Tcp;
const WS: Via = Via::WebSocket;

#[tokio::test(start_paused = true)]
async fn where_the_channel_gets_through_nothing_else_is_tried() {
    let race = run(TCP, Opens(400), Opens(10)).await;
    assert_eq!((race.outcome, race.tried), (Ok(TCP), vec![TCP]));
    assert_eq!(race.mistrusted, None);
}

#[tokio::test(start_paused = true)]
async fn a_way_that_fails_is_left_at_once_and_one_that_swallows_within_a_second() {
    for (first, other) in [(TCP, WS), (WS, TCP)] {
        let ways = |of_first, of_other| match first {
            Via::Tcp => (of_first, of_other),
            Via::WebSocket => (of_other, of_first),
        };
        let (tcp, websocket) = ways(Fails(3), Opens(50));
        let race = run(first, tcp, websocket).await;
        assert_eq!((race.outcome, race.took), (Ok(other), 53));
        assert_eq!(race.mistrusted, Some(first));

        let (tcp, websocket) = ways(Swallows, Opens(50));
        let race = run(first, tcp, websocket).await;
        assert_eq!(race.outcome, Ok(other));
        assert!(race.took < 1_000, "{} ms", race.took);
        assert_eq!(race.mistrusted, Some(first));
        assert_eq!(race.tried, vec![first, other]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_way_that_gets_there_first_is_taken() {
    let race = run(TCP, Opens(1_200), Opens(400)).await;
    assert_eq!((race.outcome, race.took), (Ok(TCP), 1_200));
    assert_eq!(race.mistrusted, None);
    // And late, when the other leads nowhere.
    let race = run(TCP, Opens(5_000), Fails(1)).await;
    assert_eq!((race.outcome, race.took), (Ok(TCP), 5_000));
    assert_eq!(race.mistrusted, Some(WS));
}

#[tokio::test(start_paused = true)]
async fn when_both_ways_fail_the_websockets_reason_is_told() {
    for (first, tcp, websocket) in [
        (TCP, Fails(1), Fails(1)),
        (WS, Fails(1), Fails(1)),
        (TCP, Fails(2_000), Fails(5)),
        (WS, Fails(5), Fails(2_000)),
    ] {
        let race = run(first, tcp, websocket).await;
        let why = race.outcome.unwrap_err();
        assert!(why.contains("ws is broken"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_no_other_way_would_mend_ends_the_attempt() {
    let race = run(TCP, Refuses, Opens(1)).await;
    assert!(race.outcome.is_err());
    assert_eq!(race.tried, vec![TCP]);
}

#[tokio::test(start_paused = true)]
async fn a_way_that_led_nowhere_is_tried_last_for_a_while() {
    let key = Arc::new(identity::SecretKey::generate());
    let config = super::super::Config::new("http://relay.example".parse().unwrap(), key);
    let reacher = Reacher::new(Wishes {
        config: Arc::new(config),
        session: [0; 16],
        terms: super::super::terms::Terms::new(None, None),
    });
    assert_eq!(reacher.first(), TCP);
    reacher.mistrust(TCP);
    assert_eq!(reacher.first(), WS);
    sleep(MISTRUST).await;
    assert_eq!(reacher.first(), TCP);
    reacher.mistrust(WS);
    assert_eq!(reacher.first(), TCP);
}
