//! The bus of one process: a real bus, not a bypass, with as many nodes as a test wants and exactly one in production.
//!
//! A send is a call of the receiver's inbox on the sender's stack, so there is no queue to bound and order is the
//! sender's own. The directory is one mutex behind methods (`ledger`), never held across an await nor while an inbox
//! is called; what requests read (`local` and `lookup`) are copies that the ledger's changes are published to (a table),
//! so a request never meets that mutex.
//!
//! Nothing survives the process, but for pins where a fleet is given a file for them ([`Fleet::with_snapshot`]).

mod member;
mod pins;
mod snapshot;
mod values;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use messages::{NodeId, TunnelId};

use self::member::Member;
use self::pins::Pins;
pub use self::snapshot::SnapshotError;
use self::values::Values;
use crate::documents::Documents;
use crate::law::{Announcer, Clock, Holder, Ledger};
use crate::table::{self, RouteTable};
use crate::{AnnounceError, Announced, Announcement, Delivery, Inbox, LinkId, Node, Unavailable};

/// The nodes of one process that can reach each other. Clones are the same fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
}

impl Fleet {
    /// A fleet without nodes.
    #[expect(
        clippy::new_without_default,
        reason = "two fleets are never interchangeable, so none should come from a default"
    )]
    pub fn new() -> Self {
        Self::with_pins(Pins::in_memory())
    }

    /// A fleet without nodes whose pins outlive it in a file; where that is missing it is made. A file belongs to one
    /// fleet at a time. Reads and writes it at once: for the start.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn with_snapshot(path: &Path) -> Result<Self, SnapshotError> {
        Pins::in_file(path).map(Self::with_pins)
    }

    fn with_pins(pins: Pins) -> Self {
        Self {
            shared: Arc::new(Shared {
                seats: ArcSwap::default(),
                routes: RouteTable::default(),
                ledger: Mutex::default(),
                values: Mutex::default(),
                pins: Arc::new(pins),
                clock: Clock::start(),
            }),
        }
    }

    /// Takes a seat in the fleet. It is given up by [`Bus::close`](crate::Bus::close), by [`Fleet::crash`], or when both
    /// halves of the returned node are dropped. Whoever sat there under the same id before is treated as crashed.
    pub fn join(&self, node: NodeId, inbox: Arc<dyn Inbox>) -> Node {
        self.crash(node);
        let seat = Arc::new(Seat {
            node,
            inbox: ArcSwapOption::from_pointee(inbox),
            draining: AtomicBool::new(false),
            local: RouteTable::default(),
        });
        self.shared.seat(&seat);
        let member = Arc::new(Member::new(Arc::clone(&self.shared), seat));
        Node {
            bus: Arc::<Member>::clone(&member),
            directory: member,
        }
    }

    /// Ends a node from outside, as a power cut would: it can do nothing more, and the others learn of it.
    pub fn crash(&self, node: NodeId) {
        let seat = self.shared.seats.load().get(&node).cloned();
        if let Some(seat) = seat {
            self.shared.unseat(&seat);
        }
    }
}

/// What all nodes of a fleet share. Where two locks are needed, the ledger's is taken before a table's.
struct Shared {
    /// Copied on write, under the ledger's lock: nodes come and go rarely, and are looked up with each envelope.
    seats: ArcSwap<HashMap<NodeId, Arc<Seat>>>,
    routes: RouteTable,
    ledger: Mutex<Ledger>,
    values: Mutex<Values>,
    pins: Arc<Pins>,
    clock: Clock,
}

/// One node's place: its inbox, and its own view of its own links.
struct Seat {
    node: NodeId,
    /// Empty once the node has left. The inbox usually owns the node, so this is also what breaks the circle.
    inbox: ArcSwapOption<Arc<dyn Inbox>>,
    /// Written under the ledger's lock.
    draining: AtomicBool,
    local: RouteTable,
}

impl Seat {
    /// Hands over a delivery unless the node has left.
    fn deliver(&self, delivery: Delivery) -> bool {
        let inbox = self.inbox.load();
        let Some(inbox) = inbox.as_deref() else {
            return false;
        };
        inbox.deliver(delivery);
        true
    }

    fn has_left(&self) -> bool {
        self.inbox.load().is_none()
    }
}

impl Shared {
    fn seat(&self, seat: &Arc<Seat>) {
        let _ledger = self.ledger();
        self.seats.rcu(|seats| {
            let mut seats = HashMap::clone(seats);
            seats.insert(seat.node, Arc::clone(seat));
            seats
        });
    }

    /// Removes a node with all it announced, then tells the others. Does nothing the second time.
    fn unseat(&self, seat: &Arc<Seat>) {
        {
            let mut ledger = self.ledger();
            if !self.is_seated(seat) {
                return;
            }
            self.seats.rcu(|seats| {
                let mut seats = HashMap::clone(seats);
                seats.remove(&seat.node);
                seats
            });
            for tunnel in ledger.remove_node(seat.node, self.clock.now()) {
                self.publish(&ledger, tunnel);
            }
            seat.inbox.store(None);
            seat.local.clear();
        }
        tracing::debug!(node = %seat.node, "node left the memory bus");
        for other in self.seats.load().values() {
            other.deliver(Delivery::Lost(seat.node));
        }
    }

    fn announce(
        &self,
        seat: &Arc<Seat>,
        announcement: &Announcement,
    ) -> Result<Announced, AnnounceError> {
        let claim = {
            let mut ledger = self.ledger();
            if !self.is_seated(seat) {
                return Err(AnnounceError::Unavailable);
            }
            announcement.check()?;
            let announcer = Announcer {
                node: seat.node,
                draining: seat.draining.load(Ordering::Relaxed),
            };
            let claim = ledger.announce(announcer, announcement, self.clock.now())?;
            self.publish(&ledger, announcement.tunnel);
            claim
        };
        for loser in claim.superseded {
            self.tell_superseded(announcement.tunnel, loser, claim.generation);
        }
        Ok(Announced {
            generation: claim.generation,
        })
    }

    fn tell_superseded(&self, tunnel: TunnelId, loser: Holder, by: u64) {
        tracing::debug!(%tunnel, node = %loser.node, link = loser.link.0, by, "link superseded");
        if let Some(seat) = self.seats.load().get(&loser.node) {
            seat.deliver(Delivery::Superseded {
                tunnel,
                link: loser.link,
                by,
            });
        }
    }

    fn withdraw(
        &self,
        seat: &Arc<Seat>,
        tunnel: TunnelId,
        link: LinkId,
        version: u64,
    ) -> Result<(), Unavailable> {
        let mut ledger = self.ledger();
        self.seated(seat)?;
        let holder = Holder {
            node: seat.node,
            link,
        };
        ledger.withdraw(tunnel, holder, version, self.clock.now());
        self.publish(&ledger, tunnel);
        Ok(())
    }

    fn mark_draining(&self, seat: &Arc<Seat>) -> Result<(), Unavailable> {
        let mut ledger = self.ledger();
        self.seated(seat)?;
        seat.draining.store(true, Ordering::Relaxed);
        for tunnel in ledger.drain_node(seat.node) {
            self.publish(&ledger, tunnel);
        }
        Ok(())
    }

    /// Copies a tunnel's routes to where they are read. Taking the ledger proves that its lock is held: copies of two
    /// changes can never be written in the wrong order.
    fn publish(&self, ledger: &Ledger, tunnel: TunnelId) {
        let routes = ledger.routes(tunnel);
        let documents = ledger.documents(tunnel);
        for seat in self.seats.load().values() {
            let own = table::held_by(seat.node, &routes);
            // Only its routes are asked for there.
            seat.local.set(tunnel, own, Documents::default());
        }
        self.routes.set(tunnel, routes, documents);
    }

    fn seated(&self, seat: &Arc<Seat>) -> Result<(), Unavailable> {
        if self.is_seated(seat) {
            Ok(())
        } else {
            Err(Unavailable)
        }
    }

    /// Compared by identity: the id may by now be another node's.
    fn is_seated(&self, seat: &Arc<Seat>) -> bool {
        let seats = self.seats.load();
        seats
            .get(&seat.node)
            .is_some_and(|now| Arc::ptr_eq(now, seat))
    }

    // A poisoned lock is taken all the same: nothing panics while holding one, and a name service that stops for ever
    // would be worse than whatever did.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.seats.load().keys()).finish()
    }
}

#[cfg(test)]
mod tests;
