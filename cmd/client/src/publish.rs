//! From settings to what runs until a signal: an agent that publishes a target, or a listener on this machine; and back to
//! how it ended.

use std::net::SocketAddr;
use std::sync::Arc;

use agent::{Agent, Config, HttpTarget, HttpTargetConfig, Target};
use anyhow::Context as _;
use identity::SecretKey;
use runtime::Signals;
use runtime::config::Layers;
use runtime::logging::{self, LogFilter, LogFormat, Written};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::ws::client_config;

use crate::args::{Http, OutputFlags, PublishFlags};
use crate::console::Console;
use crate::end::Misuse;
use crate::key;
use crate::local::{Local, Published, listen};
use crate::settings::{self, Secrets, Settings, Variable};

/// Runs `adit http …` until a signal, or until the agent must not go on.
pub(crate) fn http(
    http: &Http,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let target = http.target.to_string();
    let start = Start::read(
        &http.publish,
        |layers| http.layers(layers),
        target,
        variables,
    )?;
    let settings = &start.settings;
    let service = HttpTargetConfig {
        protocol: settings.target_protocol,
        host: settings.host_header.clone(),
        proxy_protocol: settings.send_proxy_protocol,
        ..HttpTargetConfig::default()
    };
    start.publish(|tasks| HttpTarget::new(&http.target, &service, tasks))
}

/// Runs a service that `adit` itself answers with, `called` so in lines for people: through a tunnel, or where `listen`
/// says. Until a signal, or until the agent must not go on. `make` is called inside the runtime.
pub(crate) fn local<L: Local>(
    flags: &PublishFlags,
    layers: impl FnOnce(Layers) -> Layers,
    listen: Option<SocketAddr>,
    called: &str,
    variables: impl IntoIterator<Item = Variable>,
    make: impl FnOnce(&Settings, Arc<Console>, &TaskTracker) -> anyhow::Result<L>,
) -> anyhow::Result<()> {
    let start = Start::read(flags, layers, called.to_owned(), variables)?;
    let console = start.console.clone();
    match listen {
        Some(addr) => start.listen(addr, |settings, tasks| make(settings, console, tasks)),
        None => start.try_publish(|settings, tasks| {
            let service = make(settings, console, tasks)?;
            Ok(Published::new(Arc::new(service), tasks))
        }),
    }
}

/// Settings that have been read, and the lines that everything from here on writes to.
struct Start<'a> {
    flags: &'a PublishFlags,
    settings: Settings,
    secrets: Secrets,
    console: Arc<Console>,
    /// Dropped last.
    _written: Written,
}

impl<'a> Start<'a> {
    /// Reads the settings: the command's flags, put by `layers` above the environment. `target` is what lines call it.
    fn read(
        flags: &'a PublishFlags,
        layers: impl FnOnce(Layers) -> Layers,
        target: String,
        variables: impl IntoIterator<Item = Variable>,
    ) -> anyhow::Result<Self> {
        let variables: Vec<_> = variables.into_iter().collect();
        let secrets = Secrets::of(&variables)?;
        let settings = Settings::load(layers(settings::environment(variables)?))?;
        let filter = filter(&flags.output, settings.log_format);
        let (lines, written) = logging::start(settings.log_format, &filter);
        Ok(Self {
            flags,
            console: Arc::new(Console::new(&flags.output, &settings, target, lines)),
            settings,
            secrets,
            _written: written,
        })
    }

    fn publish<T: Target>(self, make: impl FnOnce(&TaskTracker) -> T) -> anyhow::Result<()> {
        self.try_publish(|_, tasks| Ok(make(tasks)))
    }

    /// Publishes the target that `make` makes.
    fn try_publish<T: Target>(
        self,
        make: impl FnOnce(&Settings, &TaskTracker) -> anyhow::Result<T>,
    ) -> anyhow::Result<()> {
        let config = self.agent_config()?;
        // The passwords in it have been hashed.
        drop(self.secrets);
        runtime()?.block_on(async {
            // Before anything that takes time, so that no signal is missed.
            let signals = Signals::listen().context("cannot listen for signals")?;
            let connections = TaskTracker::new();
            let agent = Agent::new(config, Arc::new(make(&self.settings, &connections)?));
            let shutdown = CancellationToken::new();
            let console = self.console.clone();
            tokio::select! {
                ended = agent.run(shutdown.clone(), move |event| console.tell(event)) => Ok(ended?),
                _forced = signals.until_forced(shutdown) => Ok(()),
            }
        })
    }

    /// Serves what `make` makes on a listener of this machine.
    fn listen<L: Local>(
        self,
        addr: SocketAddr,
        make: impl FnOnce(&Settings, &TaskTracker) -> anyhow::Result<L>,
    ) -> anyhow::Result<()> {
        if self.settings.policy(&self.secrets)?.is_some() {
            let why = "rules for visitors are enforced by the server of a tunnel: with --listen there is none";
            return Err(Misuse(why.to_owned()).into());
        }
        drop(self.secrets);
        runtime()?.block_on(async {
            let signals = Signals::listen().context("cannot listen for signals")?;
            let service = Arc::new(make(&self.settings, &TaskTracker::new())?);
            let listener = listen::bind(addr).await;
            let listener = listener.with_context(|| format!("cannot listen at {addr}"))?;
            let (scheme, addr) = (service.scheme(), listener.local_addr()?);
            self.console.listening(&format!("{scheme}://{addr}"));
            let shutdown = CancellationToken::new();
            tokio::select! {
                () = listen::serve(service, listener, shutdown.clone()) => {}
                _forced = signals.until_forced(shutdown) => {}
            }
            Ok(())
        })
    }

    fn agent_config(&self) -> anyhow::Result<Config> {
        let settings = &self.settings;
        let (token, policy) = (
            settings.token(&self.secrets)?,
            settings.policy(&self.secrets)?,
        );
        let (key, made) = key::open_or_make(&settings.key)?;
        if made {
            self.console.note(&format!(
                "made a new key, {}: whoever has this file has the hostname, so keep a copy in a safe place",
                settings.key.display()
            ));
        }
        let mut config = config(settings, Arc::new(key), self.flags.connection.no_retry)?;
        config.token = token;
        config.policy = policy;
        Ok(config)
    }
}

/// One thread: what an agent does is wait for others. Each exchange under way is a connection to the service besides,
/// which the 1024 open files that most shells allow at first are too few for.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    // Where that is refused, there is room for fewer, and each that finds none is told so.
    runtime::resources::raise_open_files().ok();
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")
}

/// In text, what people want to know is said in words by the console, and the log is for trouble. In JSON everything
/// is an event of the log.
pub(crate) fn filter(output: &OutputFlags, format: LogFormat) -> LogFilter {
    if output.quiet || (format == LogFormat::Text && output.verbose == 0) {
        LogFilter::quiet()
    } else {
        LogFilter::verbosity(output.verbose)
    }
}

/// What an agent is by these settings, but for its secrets and rules.
pub(crate) fn config(
    settings: &Settings,
    key: Arc<SecretKey>,
    no_retry: bool,
) -> anyhow::Result<Config> {
    let mut config = Config::new(settings.server.clone(), key);
    config.hostname = settings.hostname.clone();
    config.self_check = settings.self_check;
    config.expect_domain.clone_from(&settings.expect_domain);
    config.mode = settings.mode;
    config.links = settings.links;
    config.transports = settings.transports;
    config.no_retry = no_retry;
    config.agent = concat!("adit/", env!("CARGO_PKG_VERSION")).to_owned();
    // The public URL may have TLS where the way to the server has none.
    if config.server.is_tls() || config.self_check {
        config.connect.tls = Some(client_config(settings.ca_file.as_deref())?);
    }
    Ok(config)
}
