//! An agent's life: a pool of links, each kept up by a slot of its own, until it is told to stop or must not come back.

mod dial;
mod opening;
mod pool;
mod reach;
mod slot;
mod terms;
mod wish;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use identity::{Mode, SecretKey};
use messages::{Policy, Secret};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tunnel::ws::{ConnectOptions, Endpoint};
use tunnel::{Keepalive, Transport};

use self::dial::Dialler;
pub use self::dial::Dials;
use self::pool::Pool;
use self::reach::{Connect, Reacher};
use self::slot::Slot;
use self::terms::Terms;
use self::wish::Wishes;
use crate::backoff::Backoff;
use crate::error::AgentError;
use crate::event::{Event, Events};
use crate::link::Service;
use crate::self_check::{Answering, Ask, Watch, asking};
use crate::{Hostname, Links, Target, Transports};

/// What an agent is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server to dial. Its host is also what the agent signs for.
    pub server: Endpoint,
    /// How to connect to it.
    pub connect: ConnectOptions,
    /// What links are to run over. Default WebSockets.
    pub transports: Transports,
    /// Who the agent is, and so what its hostname is.
    pub key: Arc<SecretKey>,
    /// Which hostname to ask for.
    pub hostname: Hostname,
    /// The only domain to register under.
    pub expect_domain: Option<String>,
    /// The server's join token, if it wants one. It is shown by a proof and never sent.
    pub token: Option<Secret>,
    /// What the server is to enforce for this tunnel; it must pass [`Policy::check`]. None for nothing.
    pub policy: Option<Policy>,
    /// Alone under its name, or together with other agents of the key.
    pub mode: Mode,
    /// How many links to hold, to different nodes of the server where it has several.
    pub links: Links,
    /// Whether the first attempt that fails while there is no link is the end.
    pub no_retry: bool,
    /// Whether the agent asks its own public URL whether visitors get through, and makes its links anew when not.
    /// Default no.
    pub self_check: bool,
    /// How long a link may be silent.
    pub keepalive: Keepalive,
    /// How long exchanges may still run when the agent is told to stop. Default 5 s.
    pub grace: Duration,
    /// Most exchanges at once; the server's own limit holds too. Default 1024.
    pub max_streams: u32,
    /// What paces attempts at links, where other agents of this process make some too. None for an agent that is alone.
    pub dials: Option<Dials>,
    /// What the agent calls itself in the server's logs: at most 128 printable ASCII characters.
    pub agent: String,
}

impl Config {
    /// The defaults, for this server and key.
    #[must_use]
    pub fn new(server: Endpoint, key: Arc<SecretKey>) -> Self {
        Self {
            server,
            connect: ConnectOptions::default(),
            transports: Transports::default(),
            key,
            hostname: Hostname::default(),
            expect_domain: None,
            token: None,
            policy: None,
            mode: Mode::default(),
            links: Links::default(),
            no_retry: false,
            self_check: false,
            keepalive: Keepalive::default(),
            grace: Duration::from_secs(5),
            max_streams: 1024,
            dials: None,
            agent: concat!("adit-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Publishes one target through one server.
pub struct Agent {
    config: Arc<Config>,
    target: Arc<dyn Target>,
    session: [u8; 16],
    terms: Terms,
    /// How the agent asks its own URL.
    ask: Ask,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Agent {
    /// A new session of the key: it takes the name over from an older one when it registers.
    #[must_use]
    pub fn new(config: Config, target: Arc<dyn Target>) -> Self {
        Self {
            ask: asking(&config),
            terms: Terms::new(config.policy.clone(), config.token.clone()),
            config: Arc::new(config),
            target,
            session: identity::random_bytes(),
        }
    }

    /// Has the server enforce this policy from now on, and shows it this token: each link is replaced by another under these
    /// terms, and serves until its exchanges have ended. The session stays the same, so nobody else's place is taken.
    /// Terms that the agent has already change nothing. Never waits.
    pub fn renew(&self, policy: Option<Policy>, token: Option<Secret>) {
        self.terms.set(policy, token);
    }

    /// Keeps its links up until `shutdown`, then lets running exchanges end within the grace and says goodbye.
    ///
    /// It never gives up by itself: a lost link is made again under the same name, with a pause that grows to ten
    /// seconds. Not cancel safe; dropping the future cuts the links and their exchanges without a word.
    ///
    /// # Errors
    /// The server does not want this agent back ([`AgentError::Replaced`], [`AgentError::Refused`]), or an attempt
    /// failed while there was no link and [`Config::no_retry`] is set.
    pub async fn run(
        &self,
        shutdown: CancellationToken,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<(), AgentError> {
        let reacher = Arc::new(Reacher::new(self.wishes()));
        let connect = move || {
            let reacher = reacher.clone();
            async move { reacher.reach().await }.boxed()
        };
        self.run_over(Box::new(connect), &shutdown, Events::new(events))
            .await
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            config: self.config.clone(),
            session: self.session,
            terms: self.terms.clone(),
        }
    }

    /// [`Agent::run`] over any way to get a transport.
    async fn run_over<T: Transport + 'static>(
        &self,
        connect: Connect<T>,
        shutdown: &CancellationToken,
        events: Events,
    ) -> Result<(), AgentError> {
        let service = Arc::new(Service {
            target: Arc::new(Answering {
                key: self.config.key.clone(),
                target: self.target.clone(),
            }),
            events: events.clone(),
            keepalive: self.config.keepalive,
            max_streams: self.config.max_streams,
            grace: self.config.grace,
        });
        let pool = Pool::new(self.config.links, events);
        let dialler = Arc::new(Dialler {
            wishes: self.wishes(),
            terms: self.terms.clone(),
            connect,
            pool: pool.clone(),
        });
        // Ends with this function, whatever it is doing.
        let mut checks = JoinSet::new();
        if self.config.self_check {
            let renewed = pool.clone();
            let watch = Watch {
                up: pool.up(),
                ask: self.ask.clone(),
                events: service.events.clone(),
                renew: Arc::new(move || renewed.renew()),
            };
            checks.spawn(watch.run());
        }
        let stop = CancellationToken::new();
        let mut slots = JoinSet::new();
        // All that there may be: those that are not wanted wait.
        for index in 0..self.config.links.most() {
            let slot = Slot {
                index,
                dialler: dialler.clone(),
                service: service.clone(),
                stop: stop.clone(),
                backoff: Backoff::new(),
                drying: JoinSet::new(),
            };
            slots.spawn(slot.run());
        }
        let mut result = Ok(());
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !stop.is_cancelled() => {
                    pool.leave();
                    stop.cancel();
                }
                ended = slots.join_next() => match ended {
                    None => return result,
                    Some(ended) => {
                        let ended = ended.expect("a slot does not panic");
                        // The first to know why has told the others to stop.
                        result = result.and(ended);
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
