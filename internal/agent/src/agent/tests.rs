//! The agent's life over in-memory links, in paused time.

mod moving;
mod pool;
mod self_check;
mod terms;
mod wishes;

use std::io;
use std::sync::Mutex;

use http::Response;
use identity::{Claims, SecretKey};
use messages::{Disconnect, DisconnectCode, LinkLimits, Message, RefusalCode, Refused};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tunnel::pipe::{self, Pipe};
use tunnel::ws::ConnectError;

use super::reach::Reached;
use super::*;
use crate::error::LinkError;
use crate::testing::{Diary, Doing, Server, Site, get};
use crate::{PoolChange, PoolSize, TargetBody};

/// An agent that is running, and the server's ends of the links it makes.
struct Life {
    links: mpsc::Receiver<Pipe>,
    shutdown: CancellationToken,
    diary: Diary,
    agent: Arc<Agent>,
    running: JoinSet<Result<(), AgentError>>,
}

impl Life {
    /// An agent whose server listens, except to the first `unheard` attempts.
    fn begin(unheard: usize, change: impl FnOnce(&mut Config)) -> Self {
        let hi = Doing(async |_, _| Ok(Response::new(TargetBody::full("hi"))));
        Self::serving(hi, unheard, change)
    }

    fn serving(target: impl Target, unheard: usize, change: impl FnOnce(&mut Config)) -> Self {
        Self::equipped(target, unheard, change, |_| ())
    }

    fn equipped(
        target: impl Target,
        unheard: usize,
        change: impl FnOnce(&mut Config),
        equip: impl FnOnce(&mut Agent),
    ) -> Self {
        let mut config = Config::new(
            "http://relay.example".parse().unwrap(),
            Arc::new(SecretKey::generate()),
        );
        change(&mut config);
        let mut agent = Agent::new(config, Arc::new(target));
        equip(&mut agent);
        let (hand, links) = mpsc::channel(8);
        let (shutdown, diary) = (CancellationToken::new(), Diary::default());
        let (token, events) = (shutdown.clone(), diary.events());
        let left = Arc::new(Mutex::new(unheard));
        let connect = move || {
            let (hand, left) = (hand.clone(), left.clone());
            async move {
                if *left.lock().unwrap() > 0 {
                    *left.lock().unwrap() -= 1;
                    return Err(nobody().into());
                }
                let (ours, theirs) = pipe::pair();
                hand.send(ours)
                    .await
                    .map_err(|_| LinkError::from(nobody()))?;
                Ok(Reached {
                    transport: theirs,
                    channel: None,
                    via: crate::Via::WebSocket,
                    heard: None,
                })
            }
            .boxed()
        };
        let mut running = JoinSet::new();
        let agent = Arc::new(agent);
        let runs = agent.clone();
        running.spawn(async move { runs.run_over(Box::new(connect), &token, events).await });
        Self {
            links,
            shutdown,
            diary,
            agent,
            running,
        }
    }

    /// Admits the next attempt, at the only node there is.
    async fn admit(&mut self) -> (Server, Claims) {
        self.admit_at(&Site::of(7, 1)).await
    }

    /// Admits the next attempt at this node.
    async fn admit_at(&mut self, site: &Site) -> (Server, Claims) {
        let admitted = self.meet_at(site).await;
        admitted.expect("the agent stays after Hello")
    }

    /// Greets the next attempt at this node; `None` when the agent leaves after Hello.
    async fn meet_at(&mut self, site: &Site) -> Option<(Server, Claims)> {
        let pipe = self.links.recv().await.unwrap();
        Server::admit(pipe, site).await
    }

    async fn turn_away(&mut self, code: RefusalCode, retry_after_ms: Option<u64>) {
        self.turn_away_at(&Site::of(7, 1), code, retry_after_ms)
            .await;
    }

    async fn turn_away_at(&mut self, site: &Site, code: RefusalCode, retry_after_ms: Option<u64>) {
        let pipe = self.links.recv().await.unwrap();
        let refused = Refused {
            code,
            message: "no".to_owned(),
            retry_after_ms,
        };
        Server::turn_away(pipe, site, refused).await;
    }

    async fn end(&mut self) -> Result<(), AgentError> {
        self.running.join_next().await.unwrap().unwrap()
    }

    /// Waits until something has happened that `wanted` picks out.
    async fn until(&self, wanted: impl Fn(&Event) -> bool) {
        while !self.diary.read().iter().any(&wanted) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the pool has changed like this.
    async fn until_pool(&self, change: &PoolChange, [links, nodes, wanted]: [usize; 3]) {
        let expected = PoolSize {
            links,
            nodes,
            wanted,
        };
        self.until(|event| match event {
            Event::Pool { change: it, size } => it == change && *size == expected,
            _ => false,
        })
        .await;
    }

    /// What happened so far, by name.
    fn story(&self) -> Vec<&'static str> {
        let events = self.diary.read();
        let name = |event: &Event| match event {
            Event::Via(_) => "",
            Event::Connecting { .. } => "connecting",
            Event::Registered(_) => "registered",
            Event::Lost { .. } => "lost",
            Event::Pool { change, .. } => match change {
                PoolChange::Up => "link up",
                PoolChange::Lost { .. } => "link lost",
                PoolChange::Moved => "moved",
                PoolChange::Renewed => "renewed",
            },
            Event::Retrying { why: None, .. } => "again",
            Event::Retrying { why: Some(_), .. } => "failed",
            Event::Leaving { .. } => "leaving",
            Event::Notice(_) => "notice",
            Event::SelfCheck(_) => "self-check",
            Event::Exchange(_) => "exchange",
        };
        let names = events.iter().map(name);
        names.filter(|name| !name.is_empty()).collect()
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

/// So patient that a server in a test need not answer pings.
fn patient(config: &mut Config) {
    config.keepalive = Keepalive {
        ping_after: Duration::from_secs(3600),
        dead_after: Duration::from_secs(7200),
    };
}

/// What a server that is going down says, for agents to move within `spread_ms`.
fn draining(spread_ms: u64) -> messages::Frame {
    let notice = Disconnect::new(DisconnectCode::Draining, "");
    Disconnect {
        spread_ms,
        ..notice
    }
    .encode()
}

/// That the link still serves.
async fn answers(server: &mut Server) {
    let stream = server.ask(&get("/"), b"", true).await;
    assert_eq!(server.response(stream).await.1, b"hi");
}

/// The agent's goodbye on a link, which is the next thing it says there.
async fn goodbye(server: &mut Server) -> Disconnect {
    match server.hear().await {
        Some((_, Message::Disconnect(last))) => last,
        other => panic!("expected a goodbye, not {other:?}"),
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
    assert!(matches!(goodbye, Message::Disconnect(last) if last.code == DisconnectCode::Leaving));
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
