//! All tunnels that run, and the way from one set of them to another: those that are the same are not touched.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::AgentError;
use futures_util::future::{self, Either};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plan::{Plan, Ready, Source};
use super::running::{Running, Shared};
use crate::console::Console;
use crate::settings::{Settings, Tunnel};

/// How long a tunnel that takes another's place may take to come up before the other goes.
const HANDOVER: Duration = Duration::from_secs(10);

/// The end of an agent.
type Ended = (u64, Result<(), AgentError>);

/// All tunnels that run.
pub(super) struct Fleet<C> {
    source: Arc<Source>,
    shutdown: CancellationToken,
    console: C,
    running: HashMap<String, Running>,
    agents: JoinSet<Ended>,
    /// Agents that wait for another to take their place.
    handovers: TaskTracker,
    /// Connections to local services, and WebSockets.
    tasks: TaskTracker,
    last_id: u64,
}

/// A set of tunnels that can be put in the place of the one that runs.
pub(super) struct Prepared {
    names: HashSet<String>,
    changed: Vec<Ready>,
}

/// What came of a change.
pub(super) struct Applied {
    new: usize,
    changed: usize,
    gone: usize,
    same: usize,
}

impl<C: Fn(&Settings, String) -> Console> Fleet<C> {
    pub(super) fn new(source: Arc<Source>, shutdown: CancellationToken, console: C) -> Self {
        Self {
            source,
            shutdown,
            console,
            running: HashMap::new(),
            agents: JoinSet::new(),
            handovers: TaskTracker::new(),
            tasks: TaskTracker::new(),
            last_id: 0,
        }
    }

    /// The files that a plan was read from, or will be.
    pub(super) fn files(&self, plan: &Plan) -> Vec<PathBuf> {
        plan.files(&self.source).map(Path::to_owned).collect()
    }

    /// Reads the file again and puts what it says in force. Gives the files that count from now on, too.
    ///
    /// # Errors
    /// The first thing that is wrong with it; nothing has changed then.
    pub(super) async fn read_anew(&mut self) -> anyhow::Result<(Applied, Vec<PathBuf>)> {
        let source = self.source.clone();
        let plan = spawn_blocking(move || source.read()).await??;
        let files = self.files(&plan);
        let prepared = self.prepare(plan).await?;
        Ok((self.apply(prepared), files))
    }

    /// Reads what the tunnels of a plan name, as far as they differ from those that run. Changes nothing.
    ///
    /// # Errors
    /// The first of them that cannot be begun.
    pub(super) async fn prepare(&self, plan: Plan) -> anyhow::Result<Prepared> {
        let names = plan
            .tunnels
            .iter()
            .map(|tunnel| tunnel.name.clone())
            .collect();
        let differ = |tunnel: &Tunnel| {
            let known = self.running.get(&tunnel.name);
            known.is_none_or(|known| known.is_over() || !known.tunnel.is_as(tunnel))
        };
        let changed: Vec<_> = plan.tunnels.into_iter().filter(differ).collect();
        let source = self.source.clone();
        let reading = move || {
            changed
                .into_iter()
                .map(|tunnel| source.ready(tunnel))
                .collect()
        };
        let changed: anyhow::Result<Vec<_>> = spawn_blocking(reading).await?;
        Ok(Prepared {
            names,
            changed: changed?,
        })
    }

    /// Puts a set of tunnels in the place of the one that runs.
    pub(super) fn apply(&mut self, prepared: Prepared) -> Applied {
        let Prepared { names, changed } = prepared;
        let gone: Vec<_> = self
            .running
            .keys()
            .filter(|name| !names.contains(*name))
            .cloned()
            .collect();
        let mut applied = Applied {
            new: 0,
            changed: 0,
            gone: gone.len(),
            same: names.len() - changed.len(),
        };
        for name in gone {
            if let Some(gone) = self.running.remove(&name) {
                gone.shared.stop.cancel();
            }
        }
        for ready in changed {
            let known = self.running.get_mut(&ready.tunnel.name);
            match known {
                Some(known) if known.can_become(&ready.tunnel) => {
                    applied.changed += 1;
                    if let Err(error) = known.go_on_with(ready, &self.tasks) {
                        known.note(&format!("{error}; it stays as it was"));
                    }
                }
                Some(_) => {
                    applied.changed += 1;
                    self.begin(ready);
                }
                None => {
                    applied.new += 1;
                    self.begin(ready);
                }
            }
        }
        applied
    }

    /// Begins a tunnel, and ends the one that has its name when the new one is up.
    fn begin(&mut self, ready: Ready) {
        let name = ready.tunnel.name.clone();
        let console = (self.console)(&ready.tunnel.settings, ready.tunnel.service.to_string());
        let old = self.running.remove(&name);
        // Agents that share a name, and those that do not, cannot both have it.
        let after = old
            .as_ref()
            .filter(|old| old.tunnel.settings.mode != ready.tunnel.settings.mode);
        let after = after.map(|old| {
            old.shared.stop.cancel();
            old.shared.over.clone()
        });
        self.last_id += 1;
        let (id, stop) = (self.last_id, self.shutdown.child_token());
        let console = console.of_tunnel(&name);
        match Running::begin(id, ready, console, stop, after, &self.tasks) {
            Ok((running, life)) => {
                self.agents.spawn(async move { (id, life.await) });
                if let Some(old) = old {
                    old.shared.retire();
                    self.handovers
                        .spawn(hand_over(old.shared, running.shared.clone()));
                }
                self.running.insert(name, running);
            }
            Err(error) => {
                // Its folder has gone since it was looked at, a moment ago.
                tracing::error!(tunnel = name, %error, "a tunnel cannot be begun");
                self.running.extend(old.map(|old| (name, old)));
            }
        }
    }

    /// Waits for an agent's end. Gives the whole fleet's, when that was the last; `None` when others go on. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<anyhow::Result<()>> {
        let Some(ended) = self.agents.join_next().await else {
            return Some(Ok(()));
        };
        let (id, result) = ended.expect("an agent is not aborted and does not panic");
        let known = self.running.values().find(|running| running.id == id);
        if let (Some(known), Err(error)) = (known, &result) {
            known.note(&format!("{error}; the other tunnels go on"));
        }
        self.agents.is_empty().then(|| result.map_err(Into::into))
    }
}

/// Ends an agent when another that takes its place is up, has failed, or has taken too long.
async fn hand_over(old: Arc<Shared>, new: Arc<Shared>) {
    let (up, over) = (
        std::pin::pin!(new.up.cancelled()),
        std::pin::pin!(new.over.cancelled()),
    );
    let decided = future::select(up, over);
    let came = timeout(HANDOVER, decided).await;
    if matches!(came, Ok(Either::Right(_))) {
        tracing::warn!("a tunnel ended before it was up");
    }
    old.stop.cancel();
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            new,
            changed,
            gone,
            same,
        } = self;
        write!(
            f,
            "read anew; tunnels: {new} new, {changed} changed, {gone} gone, {same} as they were"
        )
    }
}
