//! The life of the server: bind, join, work, drain.

use std::env;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use edge::Edge;
use futures_util::future::OptionFuture;
use runtime::config::Loaded;
use runtime::{Signals, WorkerEnd, Workers, logging, resources};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use uplink::{Rules, Uplink};

use crate::channel::{self, Bound};
use crate::listeners::{self, LISTEN, Listeners};
use crate::node::Node;
use crate::reload::{Reload, Source};
use crate::rules;
use crate::settings::{PublicUrl, Settings};

/// Where agents find the token they give. Who sets it for a server wants it to ask for one.
const AGENTS_TOKEN: [&str; 2] = ["ADIT_TOKEN", "ADIT_TOKEN_FILE"];

/// Serves until a signal, then drains.
///
/// # Errors
/// When it cannot begin, when a worker breaks, and when a second signal cuts the drain.
pub(crate) fn run(
    loaded: &Loaded<Settings>,
    source: Source,
    config: Option<PathBuf>,
) -> anyhow::Result<()> {
    // Before a port is taken: wrong lines are one complaint on the terminal.
    let rules = rules::read(loaded)?;
    let settings = &loaded.settings;
    let (_lines, _written) = logging::start(settings.log.format, &settings.log.filter);
    if let Err(error) = resources::raise_open_files() {
        tracing::warn!(%error, "cannot raise the limit of open files: there may be room for fewer connections");
    }
    warn_of_an_agents_token(&rules);
    let workers = worker_count(settings);
    let listeners = listeners::bind(LISTEN, settings.listen.0, workers)?;
    let channel = channel::bind(loaded, workers)?;
    let main = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    main.block_on(async {
        // Before anything that a signal should end in order.
        let signals = Signals::listen().context("cannot handle signals")?;
        let reload = Reload::listen(source, config, settings).context("cannot handle signals")?;
        let shutdown = CancellationToken::new();
        tokio::select! {
            end = serve(loaded, rules, reload, (listeners, channel), &shutdown) => end,
            second = signals.until_forced(shutdown.clone()) => bail!("ended at once by a second signal ({second})"),
        }
    })
}

/// A variable that looks like a lock and is none must not pass in silence.
fn warn_of_an_agents_token(rules: &Rules) {
    let variable = AGENTS_TOKEN
        .into_iter()
        .find(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    if let Some(variable) = variable
        && rules.tokens.is_empty()
    {
        tracing::warn!(
            variable,
            "this variable is the agent's, and no token is asked for; servers take ADIT_ADMISSION__TOKENS or --token-file"
        );
    }
}

/// Only Linux deals the connections of a shared port out to all of its listeners.
fn worker_count(settings: &Settings) -> usize {
    let wanted = settings.workers.as_usize();
    if wanted > 1 && !cfg!(target_os = "linux") {
        tracing::warn!(
            wanted,
            "this system does not share a port among workers: running one"
        );
        return 1;
    }
    wanted
}

async fn serve(
    loaded: &Loaded<Settings>,
    rules: Rules,
    reload: Reload,
    (listeners, channel): (Listeners, Option<Bound>),
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    let Listeners { address, sockets } = listeners;
    let derived = || PublicUrl::plain(&settings.domain, address.port());
    let public = settings.public_url.clone().unwrap_or_else(derived);
    let (channel, channel_sockets) = match channel {
        Some(Bound { channel, sockets }) => (Some(channel), sockets),
        None => (None, Vec::new()),
    };
    let node = Node::join(loaded, rules, &public, channel).await?;

    let stop_accepting = CancellationToken::new();
    let finished = CancellationToken::new();
    let halves = (node.edge.clone(), node.uplink.clone());
    let ends = (stop_accepting.clone(), finished.clone());
    let mut channel_sockets = channel_sockets.into_iter();
    let seeds = sockets
        .into_iter()
        .map(|socket| (socket, channel_sockets.next()));
    let mut workers = Workers::start(seeds.collect(), move |sockets| {
        work(halves.clone(), sockets, ends.clone())
    })
    .context("cannot start a worker")?;
    tracing::info!(public = %public, workers = settings.workers.get(), "listening on http://{address}");

    let life = async {
        let broken = tokio::select! {
            () = shutdown.cancelled() => None,
            end = workers.next() => Some(broken(end)),
        };
        if let Some(error) = &broken {
            tracing::error!("{error}: shutting down");
        }
        let (grace, delay) = (settings.grace.0, settings.drain_delay.0);
        runtime::drain(grace, |deadline| {
            node.leave(delay, &stop_accepting, deadline)
        })
        .await;
        // A drain that was cut may not have come to this.
        stop_accepting.cancel();
        finished.cancel();
        while workers.next().await.is_some() {}
        broken.map_or(Ok(()), Err)
    };
    tokio::select! {
        end = life => end,
        () = node.keep_lease() => Ok(()),
        () = reload.keep(&node.uplink, settings) => Ok(()),
    }
}

/// One worker: accepts until told to stop, and keeps its runtime up until what it accepted has ended.
async fn work(
    (edge, uplink): (Arc<Edge>, Arc<Uplink>),
    (socket, channel): (TcpListener, Option<TcpListener>),
    (stop_accepting, finished): (CancellationToken, CancellationToken),
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(socket)?;
    let channel = channel
        .map(tokio::net::TcpListener::from_std)
        .transpose()?
        .map(|listener| uplink.serve_channel(listener, stop_accepting.clone()));
    tokio::join!(
        edge.serve(listener, stop_accepting),
        OptionFuture::from(channel)
    );
    finished.cancelled().await;
    Ok(())
}

/// No worker ends before it is told to.
fn broken(end: Option<(usize, WorkerEnd<io::Result<()>>)>) -> anyhow::Error {
    match end {
        Some((index, WorkerEnd::Returned(Err(error)))) => anyhow!("worker {index} failed: {error}"),
        Some((index, WorkerEnd::Broken(why))) => anyhow!("worker {index} {why}"),
        Some((index, WorkerEnd::Returned(Ok(())))) => anyhow!("worker {index} ended by itself"),
        None => anyhow!("all workers ended by themselves"),
    }
}
