//! `adit http`: from settings to a running agent, and back to how it ended.

use std::sync::Arc;

use agent::{Agent, Config, HttpTarget, HttpTargetConfig};
use anyhow::Context as _;
use identity::SecretKey;
use runtime::Signals;
use runtime::logging::{self, LogFilter, LogFormat};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::ws::client_config;

use crate::args::Http;
use crate::console::Console;
use crate::key;
use crate::settings::{self, Secrets, Settings, Variable};

/// Runs `adit http …` until a signal, or until the agent must not go on.
pub(crate) fn run(
    http: &Http,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let variables: Vec<_> = variables.into_iter().collect();
    let secrets = Secrets::of(&variables)?;
    let settings = Settings::load(http.layers(settings::environment(variables)?))?;
    let (token, policy) = (settings.token(&secrets)?, settings.policy(&secrets)?);
    // The passwords in it have been hashed.
    drop(secrets);
    let (lines, _written) = logging::start(settings.log_format, &filter(http, settings.log_format));
    let console = Console::new(http, &settings, lines);
    let (key, made) = key::open_or_make(&settings.key)?;
    if made {
        console.note(&format!(
            "made a new key, {}: whoever has this file has the hostname, so keep a copy in a safe place",
            settings.key.display()
        ));
    }
    let service = HttpTargetConfig {
        protocol: settings.target_protocol,
        host: settings.host_header.clone(),
        proxy_protocol: settings.send_proxy_protocol,
        ..HttpTargetConfig::default()
    };
    let mut config = config(&settings, key, http.connection.no_retry)?;
    config.token = token;
    config.policy = policy;
    // One thread: what an agent does is wait for others.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(publish(http, &service, config, console))
}

/// In text, what people want to know is said in words by the console, and the log is for trouble. In JSON everything
/// is an event of the log.
fn filter(http: &Http, format: LogFormat) -> LogFilter {
    if http.output.quiet || (format == LogFormat::Text && http.output.verbose == 0) {
        LogFilter::quiet()
    } else {
        LogFilter::verbosity(http.output.verbose)
    }
}

fn config(settings: &Settings, key: SecretKey, no_retry: bool) -> anyhow::Result<Config> {
    let mut config = Config::new(settings.server.clone(), Arc::new(key));
    config.hostname = settings.hostname.clone();
    config.self_check = settings.self_check;
    config.expect_domain.clone_from(&settings.expect_domain);
    config.mode = settings.mode;
    config.links = settings.links;
    config.no_retry = no_retry;
    config.agent = concat!("adit/", env!("CARGO_PKG_VERSION")).to_owned();
    // The public URL may have TLS where the way to the server has none.
    if config.server.is_tls() || config.self_check {
        config.connect.tls = Some(client_config(settings.ca_file.as_deref())?);
    }
    Ok(config)
}

async fn publish(
    http: &Http,
    service: &HttpTargetConfig,
    config: Config,
    console: Console,
) -> anyhow::Result<()> {
    // Before anything that takes time, so that no signal is missed.
    let signals = Signals::listen().context("cannot listen for signals")?;
    let connections = TaskTracker::new();
    let target = HttpTarget::new(&http.target, service, &connections);
    let agent = Agent::new(config, Arc::new(target));
    let shutdown = CancellationToken::new();
    tokio::select! {
        ended = agent.run(shutdown.clone(), move |event| console.tell(event)) => Ok(ended?),
        _forced = signals.until_forced(shutdown) => Ok(()),
    }
}
