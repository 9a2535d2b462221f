//! An agent's life: one link after another, until it is told to stop or must not come back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use identity::{Mode, SecretKey};
use messages::{Disconnect, DisconnectCode};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel::handshake::{HANDSHAKE_TIMEOUT, Registration};
use tunnel::ws::{self, ConnectError, ConnectOptions, Connected, Endpoint};
use tunnel::{Keepalive, LinkEnd, Transport};

use crate::Target;
use crate::backoff::{Backoff, spread};
use crate::error::{AgentError, LinkError, printable};
use crate::event::{Event, Events};
use crate::link::{Link, Service};

/// What an agent is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server to dial. Its host is also what the agent signs for.
    pub server: Endpoint,
    /// How to connect to it.
    pub connect: ConnectOptions,
    /// Who the agent is, and so what its hostname is.
    pub key: Arc<SecretKey>,
    /// Which further tunnel of the key.
    pub name: Option<String>,
    /// The only domain to register under.
    pub expect_domain: Option<String>,
    /// Alone under its name, or together with other agents of the key.
    pub mode: Mode,
    /// Whether the first attempt that fails is the end.
    pub no_retry: bool,
    /// How long a link may be silent.
    pub keepalive: Keepalive,
    /// How long exchanges may still run when the agent is told to stop. Default 5 s.
    pub grace: Duration,
    /// Most exchanges at once; the server's own limit holds too. Default 1024.
    pub max_streams: u32,
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
            key,
            name: None,
            expect_domain: None,
            mode: Mode::default(),
            no_retry: false,
            keepalive: Keepalive::default(),
            grace: Duration::from_secs(5),
            max_streams: 1024,
            agent: concat!("adit-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Publishes one target through one server.
pub struct Agent {
    config: Config,
    target: Arc<dyn Target>,
    session: [u8; 16],
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
            config,
            target,
            session: identity::random_bytes(),
        }
    }

    /// Keeps a link up until `shutdown`, then lets running exchanges end within the grace and says goodbye.
    ///
    /// It never gives up by itself: a lost link is made again under the same name, with a pause that grows to ten
    /// seconds. Not cancel safe; dropping the future cuts the link and its exchanges without a word.
    ///
    /// # Errors
    /// The server does not want this agent back ([`AgentError::Replaced`], [`AgentError::Refused`]), or an attempt
    /// failed and [`Config::no_retry`] is set.
    pub async fn run(
        &self,
        shutdown: CancellationToken,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<(), AgentError> {
        let connect = || async {
            let Connected {
                transport, channel, ..
            } = ws::connect(&self.config.server, &self.config.connect).await?;
            Ok((transport, channel))
        };
        // Boxed: it holds a link and a connection in the making, and callers keep it in futures of their own.
        Box::pin(self.run_over(connect, &shutdown, Events::new(events))).await
    }

    /// [`Agent::run`] over any way to get a transport.
    async fn run_over<T, C, F>(
        &self,
        mut connect: C,
        shutdown: &CancellationToken,
        events: Events,
    ) -> Result<(), AgentError>
    where
        T: Transport + 'static,
        C: FnMut() -> F,
        F: Future<Output = Result<(T, Option<String>), ConnectError>>,
    {
        let service = Service {
            target: self.target.clone(),
            events: events.clone(),
            keepalive: self.config.keepalive,
            max_streams: self.config.max_streams,
            grace: self.config.grace,
        };
        let mut backoff = Backoff::new();
        let mut generation = None;
        loop {
            events.tell(Event::Connecting {
                server: self.config.server.to_string(),
            });
            let attempt = async {
                let (transport, channel) = connect().await?;
                let wish = self.wish(generation, channel);
                Ok(Link::register(transport, &self.config.key, &wish).await?)
            };
            let attempt = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                attempt = attempt => attempt,
            };
            let (why, wait) = match attempt {
                Ok(link) => {
                    generation = Some(link.granted.generation);
                    let wait = self.serve(link, &service, shutdown, &mut backoff).await?;
                    (None, wait)
                }
                Err(error) => {
                    let error = LinkError::unless_final(error)?;
                    if self.config.no_retry {
                        return Err(AgentError::Failed(error));
                    }
                    (
                        Some(error.to_string()),
                        backoff.next_at_least(error.retry_after()),
                    )
                }
            };
            if shutdown.is_cancelled() {
                return Ok(());
            }
            events.tell(Event::Retrying { why, wait });
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = sleep(wait) => {}
            }
        }
    }

    /// What to ask the server for.
    fn wish(&self, generation: Option<u64>, channel: Option<String>) -> Registration {
        Registration {
            audience: self.config.server.audience(),
            expect_domain: self.config.expect_domain.clone(),
            name: self.config.name.clone(),
            session: self.session,
            generation,
            mode: self.config.mode,
            agent: self.config.agent.clone(),
            channel,
            timeout: HANDSHAKE_TIMEOUT,
        }
    }

    /// Serves one link to its end, and says how long to wait before the next.
    async fn serve<T: Transport + 'static>(
        &self,
        link: Link<T>,
        service: &Service,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<Duration, AgentError> {
        let up = Instant::now();
        service.events.tell(Event::Registered(link.granted.clone()));
        let end = link.serve(service, shutdown).await;
        if shutdown.is_cancelled() {
            return Ok(Duration::ZERO);
        }
        backoff.link_lived(up.elapsed());
        let why = lost(&end, self.config.keepalive);
        service.events.tell(Event::Lost { why });
        match end {
            LinkEnd::Disconnected(disconnect) if disconnect.code.is_final() => {
                Err(AgentError::of_disconnect(&disconnect))
            }
            // The server asks us to go elsewhere: at once, but not all agents in the same moment.
            LinkEnd::Disconnected(Disconnect {
                code: DisconnectCode::Draining,
                spread_ms,
                ..
            }) => Ok(spread(Duration::from_millis(spread_ms)).max(AT_ONCE)),
            _ => Ok(backoff.next()),
        }
    }
}

/// "At once" for a server that is leaving: it still answers, and would be asked in a tight loop otherwise.
const AT_ONCE: Duration = Duration::from_millis(50);

/// A link's end as a sentence.
fn lost(end: &LinkEnd, keepalive: Keepalive) -> String {
    match end {
        LinkEnd::Closed => {
            "the server, or something on the way to it, closed the connection".to_owned()
        }
        LinkEnd::Dead => format!(
            "nothing was heard from the server for {} s",
            keepalive.dead_after.as_secs_f32()
        ),
        LinkEnd::Disconnected(disconnect) => {
            let reason = printable(&disconnect.reason);
            match (&disconnect.code, reason.as_str()) {
                (DisconnectCode::Draining, _) => {
                    "the server is going down and sends its agents elsewhere".to_owned()
                }
                (code, "") => format!("the server ended the connection ({})", code.as_str()),
                (code, reason) => format!(
                    "the server ended the connection: {reason} ({})",
                    code.as_str()
                ),
            }
        }
        LinkEnd::Fault(fault) => format!("the server broke the protocol: {fault}"),
        LinkEnd::Transport(error) => format!("the connection to the server broke: {error}"),
        LinkEnd::Local(_) => "the server took nothing any more".to_owned(),
    }
}

#[cfg(test)]
mod tests;
