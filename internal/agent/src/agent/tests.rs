//! The agent's life over in-memory links, in paused time.

use std::io;
use std::sync::Mutex;

use http::Response;
use identity::Claims;
use messages::{LinkLimits, RefusalCode, Refused};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tunnel::pipe::{self, Pipe};

use super::*;
use crate::TargetBody;
use crate::testing::{Diary, Doing, Server, get};

/// An agent that is running, and the server's ends of the links it makes.
struct Life {
    links: mpsc::Receiver<Pipe>,
    shutdown: CancellationToken,
    diary: Diary,
    running: JoinSet<Result<(), AgentError>>,
}

impl Life {
    /// An agent whose server listens, except to the first `unheard` attempts.
    fn begin(unheard: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(
            "http://relay.example".parse().unwrap(),
            Arc::new(SecretKey::generate()),
        );
        change(&mut config);
        let agent = Agent::new(
            config,
            Arc::new(Doing(async |_, _| {
                Ok(Response::new(TargetBody::full("hi")))
            })),
        );
        let (hand, links) = mpsc::channel(8);
        let (shutdown, diary) = (CancellationToken::new(), Diary::default());
        let (token, events) = (shutdown.clone(), diary.events());
        let left = Arc::new(Mutex::new(unheard));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let connect = || {
                let (hand, left) = (hand.clone(), left.clone());
                async move {
                    if *left.lock().unwrap() > 0 {
                        *left.lock().unwrap() -= 1;
                        return Err(nobody());
                    }
                    let (ours, theirs) = pipe::pair();
                    hand.send(ours).await.map_err(|_| nobody())?;
                    Ok((theirs, None))
                }
            };
            agent.run_over(connect, &token, events).await
        });
        Self {
            links,
            shutdown,
            diary,
            running,
        }
    }

    async fn admit(&mut self) -> (Server, Claims) {
        let pipe = self.links.recv().await.unwrap();
        Server::admit(pipe, LinkLimits::default()).await
    }

    async fn turn_away(&mut self, code: RefusalCode, retry_after_ms: Option<u64>) {
        let pipe = self.links.recv().await.unwrap();
        let refused = Refused {
            code,
            message: "no".to_owned(),
            retry_after_ms,
        };
        Server::turn_away(pipe, refused).await;
    }

    async fn end(&mut self) -> Result<(), AgentError> {
        self.running.join_next().await.unwrap().unwrap()
    }

    /// The waits between attempts so far.
    fn waits(&self) -> Vec<Duration> {
        let events = self.diary.read();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Retrying { wait, .. } => Some(*wait),
                _ => None,
            })
            .collect()
    }
}

fn nobody() -> ConnectError {
    ConnectError::Connect {
        endpoint: "http://relay.example".parse().unwrap(),
        source: io::ErrorKind::ConnectionRefused.into(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_lost_its_link_is_the_same_session_with_the_same_generation() {
    let mut life = Life::begin(0, |_| ());
    let (server, first) = life.admit().await;
    assert_eq!(first.generation, None);
    drop(server);
    let (mut server, second) = life.admit().await;
    assert_eq!(
        (second.session, second.generation),
        (first.session, Some(42))
    );
    let stream = server.ask(&get("/"), b"", true).await;
    assert_eq!(server.response(stream).await.1, b"hi");
}

#[tokio::test(start_paused = true)]
async fn an_agent_never_gives_up_and_asks_at_least_every_ten_seconds() {
    let mut life = Life::begin(100, |_| ());
    life.admit().await;
    let waits = life.waits();
    assert_eq!(waits.len(), 100);
    assert!(
        waits.iter().all(|wait| *wait <= Duration::from_secs(10)),
        "{waits:?}"
    );
    assert!(waits[50] >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_admits_and_drops_is_not_called_in_a_tight_loop() {
    let mut life = Life::begin(0, |_| ());
    for _ in 0..10 {
        drop(life.admit().await);
    }
    let last = life.waits().pop().unwrap();
    assert!(last >= Duration::from_secs(5), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_agent_ends_and_does_not_come_back() {
    let mut life = Life::begin(0, |_| ());
    let (mut server, _) = life.admit().await;
    server
        .say(Disconnect::new(DisconnectCode::Replaced, "a newer session").encode())
        .await;
    assert!(matches!(life.end().await, Err(AgentError::Replaced)));

    let mut life = Life::begin(0, |_| ());
    life.turn_away(RefusalCode::Replaced, None).await;
    assert!(matches!(life.end().await, Err(AgentError::Replaced)));
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_ends_the_agent_and_another_is_waited_out() {
    let mut life = Life::begin(0, |_| ());
    life.turn_away(RefusalCode::Unavailable, Some(30_000)).await;
    life.turn_away(RefusalCode::NotAllowed, None).await;
    assert!(
        matches!(life.end().await, Err(AgentError::Refused(refused)) if refused.message == "no")
    );
    assert_eq!(life.waits(), [Duration::from_secs(30)]);
}

#[tokio::test(start_paused = true)]
async fn with_no_retry_the_first_failure_is_the_end_and_says_which_hop() {
    let mut life = Life::begin(1, |config| config.no_retry = true);
    let error = life.end().await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot connect to http://relay.example"),
        "{error}"
    );

    let mut life = Life::begin(0, |config| config.no_retry = true);
    life.turn_away(RefusalCode::Draining, None).await;
    assert!(matches!(
        life.end().await,
        Err(AgentError::Failed(LinkError::Register(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_is_left_within_the_spread_it_asks_for() {
    let mut life = Life::begin(0, |_| ());
    let (mut server, _) = life.admit().await;
    let mut disconnect = Disconnect::new(DisconnectCode::Draining, "");
    disconnect.spread_ms = 3000;
    server.say(disconnect.encode()).await;
    life.admit().await;
    assert!(life.waits()[0] <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_pinned_domain_keeps_the_agent_from_signing_for_another() {
    let mut life = Life::begin(0, |config| {
        config.expect_domain = Some("other.example".to_owned());
    });
    let mut pipe = life.links.recv().await.unwrap();
    let hello = messages::Hello {
        nonce: [0; 32],
        node: messages::NodeId([0; 16]),
        domain: "rogue.example".to_owned(),
        time: 0,
        versions: vec![messages::PROTOCOL_VERSION],
        limits: LinkLimits::default(),
    };
    futures_util::SinkExt::send(&mut pipe, hello.encode())
        .await
        .unwrap();
    assert!(matches!(life.end().await, Err(AgentError::Foreign(_))));
    assert!(
        futures_util::StreamExt::next(&mut pipe).await.is_none(),
        "nothing was signed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_an_agent_whatever_it_is_doing() {
    // Waiting between attempts.
    let mut life = Life::begin(usize::MAX, |_| ());
    sleep(Duration::from_secs(1)).await;
    life.shutdown.cancel();
    assert!(life.end().await.is_ok());
    // Waiting for a server that says nothing.
    let mut life = Life::begin(0, |_| ());
    let _silent = life.links.recv().await.unwrap();
    life.shutdown.cancel();
    assert!(life.end().await.is_ok());
    // Serving.
    let mut life = Life::begin(0, |_| ());
    let (mut server, _) = life.admit().await;
    while !matches!(life.diary.read().last(), Some(Event::Registered(_))) {
        tokio::task::yield_now().await;
    }
    life.shutdown.cancel();
    let (_, goodbye) = server.hear().await.unwrap();
    assert!(
        matches!(goodbye, messages::Message::Disconnect(last) if last.code == DisconnectCode::Leaving)
    );
    drop(server);
    assert!(life.end().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn words_of_a_server_cannot_paint_on_a_terminal() {
    let mut life = Life::begin(0, |_| ());
    let (mut server, _) = life.admit().await;
    server
        .say(Disconnect::new(DisconnectCode::Idle, "\u{1b}[2Jgone").encode())
        .await;
    life.admit().await;
    let lost = life.diary.read().into_iter().find_map(|event| match event {
        Event::Lost { why } => Some(why),
        _ => None,
    });
    assert_eq!(
        lost.unwrap(),
        "the server ended the connection: \u{fffd}[2Jgone (idle)"
    );
}
