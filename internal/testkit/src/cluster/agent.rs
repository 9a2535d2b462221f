//! Agents of a cluster, in this process and on the test's own runtime.

use std::{net::SocketAddr, sync::Arc};

use agent::{AgentError, Config, Event, HttpTarget, HttpTargetConfig, Target, TargetUrl};
use identity::SecretKey;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{origin::Origin, visitor::PATIENCE};

/// An agent that knows its server and not yet what it publishes.
#[derive(Debug)]
pub struct AgentToBe {
    /// Its settings, for a test to change.
    pub config: Config,
}

impl AgentToBe {
    pub(super) fn dialling(server: SocketAddr) -> Self {
        let url = format!("http://{server}").parse();
        let url = url.expect("an address is a server");
        Self {
            config: Config::new(url, Arc::new(SecretKey::generate())),
        }
    }

    /// The same agent by another way, such as a [`FaultProxy`](crate::fault::FaultProxy) in front of its node.
    #[must_use]
    pub fn through(mut self, server: SocketAddr) -> Self {
        self.config.server = Self::dialling(server).config.server;
        self
    }

    /// The same agent with that key: another process of the same owner, when it is used twice.
    #[must_use]
    pub fn with_key(mut self, key: &Arc<SecretKey>) -> Self {
        self.config.key = key.clone();
        self
    }

    /// Publishes a local service; returns once the tunnel is up.
    pub async fn publishing(self, origin: &Origin) -> ClusterAgent {
        let url: TargetUrl = origin.port().parse().expect("a port is a target");
        let connections = TaskTracker::new();
        let target = HttpTarget::new(&url, &HttpTargetConfig::default(), &connections);
        self.serving(target).await
    }

    /// Publishes any target; returns once the tunnel is up.
    pub async fn serving(self, target: impl Target) -> ClusterAgent {
        let agent = agent::Agent::new(self.config, Arc::new(target));
        let shutdown = CancellationToken::new();
        let (tell, mut events) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        let stop = shutdown.clone();
        tasks.spawn(async move {
            // Reports of exchanges may be more than fit; no test reads those.
            let telling = move |event| match event {
                Event::Exchange(_) => {}
                event => drop(tell.try_send(event)),
            };
            agent.run(stop, telling).await
        });
        let registered = async {
            loop {
                match events.recv().await.expect("the agent runs") {
                    Event::Registered(granted) => return granted.hostname,
                    Event::Retrying { why: Some(why), .. } => panic!("cannot register: {why}"),
                    _ => {}
                }
            }
        };
        let hostname = timeout(PATIENCE, registered).await;
        ClusterAgent {
            hostname: hostname.expect("it registers in time"),
            shutdown,
            events,
            tasks,
        }
    }
}

/// A registered agent. Dropped, its links are cut without a word.
#[derive(Debug)]
pub struct ClusterAgent {
    /// Its public hostname.
    pub hostname: String,
    shutdown: CancellationToken,
    events: mpsc::Receiver<Event>,
    tasks: JoinSet<Result<(), AgentError>>,
}

impl ClusterAgent {
    /// Stops it in order; how many exchanges it still had when it was told.
    pub async fn stop(mut self) -> usize {
        self.shutdown.cancel();
        let leaving = |event: &Event| match event {
            Event::Leaving { in_flight } => Some(*in_flight),
            _ => None,
        };
        let in_flight = self.event("that it leaves", leaving).await;
        self.ended().await.expect("the agent was wanted");
        in_flight
    }

    /// Waits for the next event that `wanted` picks something out of. At most 64 are kept for a test that reads none.
    pub async fn event<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await;
                let event = event.unwrap_or_else(|| panic!("the agent ended without {what}"));
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        let found = timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("the agent did not say {what}"))
    }

    /// Waits until it has registered once more than the last time this was asked, or than it began with.
    pub async fn registers_again(&mut self) {
        let registered = |event: &Event| matches!(event, Event::Registered(_)).then_some(());
        self.event("that it is registered", registered).await;
    }

    /// Waits for its end; why it ended by itself.
    ///
    /// # Errors
    /// The server did not want it any more.
    pub async fn ended(&mut self) -> Result<(), AgentError> {
        let ended = timeout(PATIENCE, self.tasks.join_next()).await;
        ended
            .expect("the agent ends")
            .expect("it has a task")
            .expect("which does not panic")
    }
}
