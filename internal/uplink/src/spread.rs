//! How many links an agent is asked to hold: one to each node, up to what the operator wants.
//!
//! An agent learns that number when it registers; the protocol has no other word for it. So an agent that registered
//! while there were fewer nodes is asked to move when another has joined, by the notice that a node going down gives:
//! it registers there before it leaves here, learns how many links it should hold, and comes back here with one of
//! them. Nobody is asked in the middle of an exchange, because an agent makes no link to a node that it leaves until all
//! that runs there has ended.
//!
//! A few are asked first, and twice as many whenever those have gone. Where none of them goes, because none can reach
//! another node, nobody else is asked: an agent that was told to move tries for as long as its link lasts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bus::LinkId;
use messages::{Disconnect, DisconnectCode};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{admit::withdraw, link::Link, registry::Registry, uplink::Uplink};

/// How often it is looked whether there are more nodes, and who has gone to them.
const TICK: Duration = Duration::from_secs(5);

/// For how many ticks there must be more nodes before anybody is asked: until a load balancer has found them.
const SETTLED: u32 = 3;

/// The time over which those who are asked at once move.
const PAUSE: Duration = Duration::from_secs(4);

/// How many are asked at first.
const FIRST: usize = 4;

/// How many are asked at once at most: some 50 a second, of 10,000 that a node may take in five minutes.
const MOST: usize = 256;

/// How long those who were asked are waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who was asked for fewer links than the operator wants.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    few: Mutex<Few>,
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct Few {
    /// With how many each agent was asked for. Links that are gone leave the list late.
    links: Vec<(LinkId, u32)>,
    /// Whether a task looks after them.
    watched: bool,
}

impl Uplink {
    /// How many links an agent that registers now should hold.
    pub(crate) async fn links_to_hold(&self) -> u32 {
        let most = self.config.links_per_agent;
        if most <= 1 {
            return most;
        }
        let enough = usize::try_from(most).unwrap_or(usize::MAX);
        match self.directory.nodes(enough).await {
            Ok(nodes) => most.min(u32::try_from(nodes).unwrap_or(u32::MAX)),
            // Two links to one node do no harm. One link where there are two nodes may.
            Err(_) => most,
        }
    }

    /// Sees to it that the agent of this link learns of it when it should hold more than `links`.
    pub(crate) fn asked_for(self: &Arc<Self>, link: LinkId, links: u32) {
        if links >= self.config.links_per_agent || self.spread.over.is_cancelled() {
            return;
        }
        let mut few = self.spread.lock();
        few.links.push((link, links));
        if !std::mem::replace(&mut few.watched, true) {
            let watching = watch(Arc::downgrade(self), self.spread.over.clone());
            self.tasks.spawn(watching);
        }
    }
}

impl Spread {
    /// Asks nobody any more.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Whether nobody is left to look after; then nobody does.
    fn is_over(&self, registry: &Registry) -> bool {
        let mut few = self.lock();
        // Rarely: with 100,000 links it takes some milliseconds.
        if few.links.len() > 2 * registry.len() {
            few.links.retain(|(id, _)| registry.get(*id).is_some());
        }
        few.watched = !few.links.is_empty();
        !few.watched
    }

    fn give_up(&self) {
        *self.lock() = Few::default();
    }

    /// Whether somebody should hold more links than he was asked for.
    fn is_wanting(&self, links: u32) -> bool {
        self.lock().links.iter().any(|(_, asked)| *asked < links)
    }

    /// Takes some idle links off the list whose agents should hold more.
    fn take(&self, links: u32, count: usize, registry: &Registry) -> Vec<Arc<Link>> {
        let mut taken = Vec::new();
        self.lock().links.retain(|(id, asked)| {
            let Some(link) = registry.get(*id) else {
                return false;
            };
            let due = *asked < links && taken.len() < count && link.streams() == 0;
            if due {
                taken.push(link);
            }
            !due
        });
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Few> {
        // Nothing panics under this lock; a poisoned one still holds a good list.
        self.few.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until there is nobody to look after, nobody goes, or the node leaves.
async fn watch(uplink: Weak<Uplink>, over: CancellationToken) {
    let watching = async {
        let mut rounds = Rounds::new();
        loop {
            sleep(TICK).await;
            let Some(uplink) = uplink.upgrade() else {
                return;
            };
            if !rounds.turn(&uplink).await {
                return;
            }
        }
    };
    over.run_until_cancelled(watching).await;
}

/// Who was asked, and how it goes.
struct Rounds {
    settled: u32,
    width: usize,
    asked: Vec<Asked>,
    since: Instant,
    /// Whether any of this round has gone.
    one_has_gone: bool,
}

struct Asked {
    link: LinkId,
    /// Its agent has a link elsewhere, or had when it was last looked.
    seen_elsewhere: bool,
}

impl Rounds {
    fn new() -> Self {
        Self {
            settled: 0,
            width: FIRST,
            asked: Vec::new(),
            since: Instant::now(),
            one_has_gone: false,
        }
    }

    /// One tick. Gives whether there will be another.
    async fn turn(&mut self, uplink: &Uplink) -> bool {
        if !self.asked.is_empty() {
            self.see_off(uplink).await;
            if self.asked.is_empty() {
                self.width = MOST.min(2 * self.width);
            } else if self.since.elapsed() < PATIENCE {
                return true;
            } else if !self.one_has_gone {
                tracing::info!(
                    "agents that were asked to spread over the nodes do not reach another: asking nobody else"
                );
                uplink.spread.give_up();
                return false;
            }
            self.asked.clear();
        }
        if uplink.spread.is_over(&uplink.registry) {
            return false;
        }
        let links = uplink.links_to_hold().await;
        if !uplink.spread.is_wanting(links) {
            self.settled = 0;
            return true;
        }
        self.settled += 1;
        if self.settled >= SETTLED {
            self.ask(uplink, links);
        }
        true
    }

    /// Asks the next.
    fn ask(&mut self, uplink: &Uplink, links: u32) {
        let moving = Disconnect {
            spread_ms: u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX),
            ..Disconnect::new(DisconnectCode::Draining, "another node has joined")
        };
        let next = uplink.spread.take(links, self.width, &uplink.registry);
        for link in next {
            link.notify(&moving);
            self.asked.push(Asked {
                link: link.id,
                seen_elsewhere: false,
            });
        }
        if !self.asked.is_empty() {
            tracing::debug!(links = self.asked.len(), "asked agents to spread");
        }
        (self.since, self.one_has_gone) = (Instant::now(), false);
    }

    /// Lets go of those who have gone. One who has a link elsewhere goes by himself when nothing comes to the one here;
    /// while something does, nothing new may.
    async fn see_off(&mut self, uplink: &Uplink) {
        let mut staying = Vec::new();
        for asked in self.asked.drain(..) {
            let Some(link) = uplink.registry.get(asked.link) else {
                self.one_has_gone = true;
                continue;
            };
            let is_elsewhere = is_elsewhere(uplink, &link).await;
            // Twice, a tick apart: the first time its agent may not have heard yet that it has that other link.
            if is_elsewhere && asked.seen_elsewhere {
                self.one_has_gone = true;
                withdraw(uplink, &link).await;
                let words = Disconnect::new(DisconnectCode::Draining, "the agent has moved");
                link.leave(words);
                continue;
            }
            staying.push(Asked {
                seen_elsewhere: is_elsewhere,
                ..asked
            });
        }
        self.asked = staying;
    }
}

/// Whether the session of this link has another to another node.
async fn is_elsewhere(uplink: &Uplink, link: &Link) -> bool {
    let routes = uplink.directory.lookup(link.tunnel).await;
    routes.is_ok_and(|routes| {
        routes.iter().any(|route| {
            route.node != uplink.bus.node() && Some(&route.generation) == link.generation.get()
        })
    })
}
