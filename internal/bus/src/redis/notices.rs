//! Telling links that they lost their tunnel: on this node through the inbox, on others by a notice.
//!
//! A link is told once, however often its node hears of it: whoever takes it out of the own links tells it.

use messages::{NodeId, TunnelId};

use super::own::Loser;
use super::publisher::publish_command;
use super::shared::Shared;
use super::wire::Notice;
use crate::{Delivery, LinkId};

impl Shared {
    /// Delivers to this node's own losers.
    pub(super) fn tell_own(&self, losers: &[Loser]) {
        for loser in losers {
            let Loser { tunnel, link, by } = *loser;
            self.deliver_superseded(tunnel, link, by);
        }
    }

    pub(super) fn supersede_own(&self, tunnel: TunnelId, by: u64, losers: &[(NodeId, LinkId)]) {
        for (_, link) in losers.iter().filter(|(node, _)| *node == self.node) {
            self.superseded(&Notice {
                tunnel,
                link: *link,
                by,
            });
        }
    }

    /// One of this node's links lost its tunnel; it is told once, however often this is heard.
    pub(super) fn superseded(&self, notice: &Notice) {
        let Notice { tunnel, link, by } = *notice;
        if self.own.supersede(tunnel, link, by) {
            self.deliver_superseded(tunnel, link, by);
        }
    }

    /// Sends a notice to each node that lost a link. Nobody waits for it: a lost one is found by comparing.
    pub(super) fn tell_others(&self, tunnel: TunnelId, by: u64, losers: &[(NodeId, LinkId)]) {
        let others = losers.iter().filter(|(node, _)| *node != self.node);
        let Some(session) = self.session.load_full() else {
            return;
        };
        let publish = publish_command(&session);
        let commands = others.map(|(node, link)| {
            let channel = self.names.channel(*node);
            let mut message = Vec::new();
            let notice = Notice {
                tunnel,
                link: *link,
                by,
            };
            notice.encode(&mut message);
            let mut command = redis::cmd(publish);
            command.arg(&channel).arg(message);
            (channel, command)
        });
        let commands: Vec<_> = commands.collect();
        if commands.is_empty() || self.faults.loses_notices() {
            return;
        }
        self.tasks.spawn(async move {
            for told in session.run_all(commands).await {
                if let Err(error) = told {
                    tracing::debug!(%error, "a superseded link could not be told; its node will find out");
                }
            }
        });
    }

    fn deliver_superseded(&self, tunnel: TunnelId, link: LinkId, by: u64) {
        tracing::debug!(%tunnel, link = link.0, by, "a link of this node was superseded");
        self.door.deliver(Delivery::Superseded { tunnel, link, by });
    }
}
