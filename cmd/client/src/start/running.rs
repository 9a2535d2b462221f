//! One tunnel that runs: its agent, and what of it can be changed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent::{Agent, AgentError, Event, HttpTarget, Target};
use relay::Relay;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exchangeable::Exchangeable;
use super::plan::{Ready, bare_flags};
use crate::bare;
use crate::console::Console;
use crate::local::Published;
use crate::settings::{Service, Tunnel};

/// A tunnel that runs.
pub(super) struct Running {
    pub(super) id: u64,
    pub(super) tunnel: Tunnel,
    agent: Arc<Agent>,
    target: Arc<Exchangeable>,
    console: Arc<Console>,
    pub(super) shared: Arc<Shared>,
}

/// What a tunnel's tasks know of each other.
pub(super) struct Shared {
    /// Asks it to end.
    pub(super) stop: CancellationToken,
    /// It is up, or has been.
    pub(super) up: CancellationToken,
    /// Its agent has ended.
    pub(super) over: CancellationToken,
    /// Another has taken its place: what becomes of it is no news, but its requests are.
    retired: AtomicBool,
}

impl Running {
    /// A tunnel, and the life of its agent, which begins when `after` is over.
    ///
    /// # Errors
    /// What it publishes cannot be served any more.
    pub(super) fn begin(
        id: u64,
        ready: Ready,
        console: Console,
        stop: CancellationToken,
        after: Option<CancellationToken>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<(
        Self,
        impl Future<Output = Result<(), AgentError>> + Send + use<>,
    )> {
        let Ready {
            tunnel,
            config,
            made,
        } = ready;
        let console = Arc::new(console);
        if let Some(key) = made {
            console.note(&format!(
                "made a new key, {}: whoever has this file has the hostname, so keep a copy in a safe place",
                key.display()
            ));
        }
        let target = Arc::new(Exchangeable::new(target(&tunnel, &console, tasks)?));
        let agent = Arc::new(Agent::new(config, target.clone()));
        let shared = Arc::new(Shared {
            stop,
            up: CancellationToken::new(),
            over: CancellationToken::new(),
            retired: AtomicBool::new(false),
        });
        let running = Self {
            id,
            tunnel,
            agent: agent.clone(),
            target,
            console: console.clone(),
            shared: shared.clone(),
        };
        let life = async move {
            if let Some(after) = after {
                after.cancelled().await;
            }
            let _over = shared.over.clone().drop_guard();
            let (stop, told) = (shared.stop.clone(), shared.clone());
            agent
                .run(stop, move |event| told.tell(&console, event))
                .await
        };
        Ok((running, life))
    }

    /// Goes on under the settings of `ready`, which differ in nothing that would take another agent. No link is lost by it.
    ///
    /// # Errors
    /// What it is to publish cannot be served any more; nothing has changed then.
    pub(super) fn go_on_with(&mut self, ready: Ready, tasks: &TaskTracker) -> anyhow::Result<()> {
        let Ready { tunnel, config, .. } = ready;
        if tunnel.service != self.tunnel.service {
            self.target.exchange(target(&tunnel, &self.console, tasks)?);
            self.console.retarget(tunnel.service.to_string());
        }
        self.agent.renew(config.policy, config.token);
        self.tunnel = tunnel;
        Ok(())
    }

    /// Whether these settings can be had without another agent.
    pub(super) fn can_become(&self, tunnel: &Tunnel) -> bool {
        !self.is_over() && self.tunnel.place() == tunnel.place()
    }

    pub(super) fn is_over(&self) -> bool {
        self.shared.over.is_cancelled()
    }

    pub(super) fn note(&self, text: &str) {
        self.console.note(text);
    }
}

impl Shared {
    /// From now on only its requests are shown.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn tell(&self, console: &Console, event: Event) {
        if let Event::Registered(_) = event {
            self.up.cancel();
        }
        if !self.retired.load(Ordering::Relaxed) || matches!(event, Event::Exchange(_)) {
            console.tell(event);
        }
    }
}

fn target(
    tunnel: &Tunnel,
    console: &Arc<Console>,
    tasks: &TaskTracker,
) -> anyhow::Result<Arc<dyn Target>> {
    Ok(match &tunnel.service {
        Service::Http(url, config) => Arc::new(HttpTarget::new(url, config, tasks)),
        Service::Files(root, config) => {
            let folder = files::Folder::new(root, config.clone())?;
            Arc::new(Published::new(Arc::new(folder), tasks))
        }
        Service::Relay(..) => {
            let relay = Relay::new(tunnel.settings.relay()?, tasks);
            Arc::new(Published::new(Arc::new(relay), tasks))
        }
        Service::Bare(flags, _) => {
            let flags = bare_flags(flags)?;
            let key = bare::access_key(&flags)?;
            let bare = bare::serve(&flags, key, &tunnel.settings, console, tasks)?;
            Arc::new(Published::new(Arc::new(bare), tasks))
        }
    })
}
