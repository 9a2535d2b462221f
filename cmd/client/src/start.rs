//! `adit start` and `adit config check`: several tunnels from one file, and the same file again when it changes.

mod exchangeable;
mod fleet;
mod plan;
mod running;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use runtime::Signals;
use runtime::files::{Files, LOOK};
use runtime::logging;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::fleet::Fleet;
use self::plan::Source;
use crate::args::{Check, Start};
use crate::console::Console;
use crate::publish::{filter, runtime};
use crate::settings::Variable;

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
        let mut fleet = Fleet::new(source.clone(), shutdown.clone(), |settings, target| {
            Console::new(&start.output, settings, target, lines.clone())
        });
        let files: Vec<_> = plan.files(&source).map(ToOwned::to_owned).collect();
        let first = fleet.prepare(plan).await?;
        // After that, which may have made a key.
        let files = Files::of(files.iter().map(|file| &**file));
        fleet.apply(first);
        let mut watch = Watch { files, hangup };
        let serving = async {
            loop {
                tokio::select! {
                    ended = fleet.ended() => match ended {
                        Some(result) => return result,
                        None => continue,
                    },
                    () = watch.changed(), if !shutdown.is_cancelled() => {}
                }
                let read = {
                    let source = source.clone();
                    spawn_blocking(move || source.read()).await
                };
                let prepared = match read {
                    Ok(Ok(plan)) => {
                        let files = plan
                            .files(&source)
                            .map(ToOwned::to_owned)
                            .collect::<Vec<_>>();
                        fleet.prepare(plan).await.map(|prepared| (prepared, files))
                    }
                    Ok(Err(error)) => Err(error.into()),
                    // It does not panic.
                    Err(_) => continue,
                };
                match prepared {
                    Ok((prepared, files)) => {
                        watch.follow(&files);
                        console.status(&fleet.apply(prepared).to_string());
                    }
                    Err(error) => console.note(&format!(
                        "{}; everything stays as it was",
                        runtime::exit::last_words(&error)
                    )),
                }
            }
        };
        tokio::select! {
            result = serving => result,
            _forced = signals.until_forced(shutdown.clone()) => Ok(()),
        }
    })
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

/// When to read the file again.
struct Watch {
    files: Files,
    hangup: tokio::signal::unix::Signal,
}

impl Watch {
    /// Waits for SIGHUP, or for a file that has changed and keeps still. Cancel safe.
    async fn changed(&mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once: whoever was here a moment ago looked then.
        looks.reset();
        loop {
            tokio::select! {
                _ = self.hangup.recv() => return,
                _ = looks.tick() => {}
            }
            // Some hundred stats of files that are in memory: below a millisecond.
            if self.files.have_changed() {
                return;
            }
        }
    }

    fn follow(&mut self, files: &[std::path::PathBuf]) {
        let known = std::mem::take(&mut self.files);
        self.files = known.follow(files.iter().map(|file| &**file));
    }
}

/// How long a tunnel that takes another's place may take to come up before the other goes.
const HANDOVER: Duration = Duration::from_secs(10);
