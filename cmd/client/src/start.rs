//! `adit start` and `adit config check`: several tunnels from one file, and the same file again when it changes.

mod exchangeable;
mod fleet;
mod plan;
mod running;
mod watch;

use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use runtime::{Signals, logging};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::fleet::Fleet;
use self::plan::Source;
use self::watch::Watch;
use crate::args::{Check, Start};
use crate::console::Console;
use crate::publish::{filter, runtime};
use crate::settings::{Settings, Variable};

/// Runs `adit start …` until a signal, or until no tunnel can go on.
pub(crate) fn run(
    start: &Start,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let source = Arc::new(Source::new(
        &start.config,
        variables.into_iter().collect(),
        |layers| start.layers(layers),
    )?);
    let plan = source.read()?;
    let format = plan.common.log_format;
    let (lines, _written) = logging::start(format, &filter(&start.output, format));
    let file = start.config.display().to_string();
    let console = Console::new(&start.output, &plan.common, file, lines.clone());
    runtime()?.block_on(async {
        // Before anything that takes time, so that no signal is missed.
        let signals = Signals::listen().context("cannot listen for signals")?;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        let shutdown = CancellationToken::new();
        let mut fleet = Fleet::new(source, shutdown.clone(), |settings, target| {
            Console::new(&start.output, settings, target, lines.clone())
        });
        let files = fleet.files(&plan);
        let first = fleet.prepare(plan).await?;
        // After that, which may have made a key.
        let watch = Watch::of(&files, hangup);
        fleet.apply(first);
        tokio::select! {
            result = keep(&mut fleet, watch, &console, &shutdown) => result,
            _forced = signals.until_forced(shutdown.clone()) => Ok(()),
        }
    })
}

/// Lets tunnels run, and follows their file until `shutdown`, until all have ended.
async fn keep<C: Fn(&Settings, String) -> Console>(
    fleet: &mut Fleet<C>,
    mut watch: Watch,
    console: &Console,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            ended = fleet.ended() => {
                if let Some(result) = ended {
                    return result;
                }
                continue;
            }
            () = watch.changed(), if !shutdown.is_cancelled() => {}
        }
        match fleet.read_anew().await {
            Ok((applied, files)) => {
                watch.follow(&files);
                console.status(&applied.to_string());
            }
            Err(error) => {
                let error = runtime::exit::last_words(&error);
                console.note(&format!("{error}; everything stays as it was"));
            }
        }
    }
}

/// Runs `adit config check`: says what the file comes to, or the one thing that is wrong with it.
pub(crate) fn check(
    check: &Check,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let source = Source::new(&check.config, variables.into_iter().collect(), |layers| {
        layers
    })?;
    let plan = source.read()?;
    let mut out = io::stdout();
    plan.tunnels
        .iter()
        .try_for_each(|tunnel| source.check(tunnel))?;
    for tunnel in &plan.tunnels {
        writeln!(out, "{}: {}", tunnel.name, tunnel.service).ok();
    }
    let many = plan.tunnels.len();
    let file = check.config.display();
    writeln!(out, "{file} is fine; tunnels: {many}").ok();
    Ok(())
}
