//! The public half of a node: what connections, exchanges and the bus share.

use std::{fmt, net::SocketAddr, sync::Arc};

use bus::{Bus, Content, Directory, Envelope};
use exchange::{Budget, Violation};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use messages::{NodeId, Reset, ResetCode};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    body::Body,
    config::Config,
    limits::Limits,
    listener,
    policy::Policies,
    request_ids::RequestIds,
    table::{Entry, Table},
};

/// Adit's own pages: what answers on hosts that are no tunnel.
pub trait Reserved: Send + Sync + 'static {
    /// Answers one request. `peer` is the other end of the TCP connection, or whom
    /// a trusted proxy there names.
    fn call(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> BoxFuture<'static, Response<Body>>;
}

/// The public half of a node. Shared by all of its workers.
pub struct Edge {
    pub(crate) config: Config,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) reserved: Arc<dyn Reserved>,
    pub(crate) table: Arc<Table>,
    pub(crate) ids: RequestIds,
    pub(crate) budget: Arc<Budget>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) limits: Limits,
    /// What agents ask to be enforced, compiled.
    pub(crate) policies: Policies,
    /// Every connection and upload.
    pub(crate) tasks: TaskTracker,
    /// Set at the end of a drain: what still lives is cut.
    pub(crate) closing: CancellationToken,
    /// Set while draining: responses say `Connection: close`.
    pub(crate) leaving: CancellationToken,
    /// Set when nobody new comes in any more: WebSockets, which would not end by
    /// themselves, are told to come back elsewhere.
    pub(crate) parting: CancellationToken,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("domain", &self.config.domain)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// An edge that finds tunnels in `directory`, reaches them over `bus`, and
    /// leaves its own host names to `reserved`.
    #[must_use]
    pub fn new(
        config: Config,
        bus: Arc<dyn Bus>,
        directory: Arc<dyn Directory>,
        reserved: Arc<dyn Reserved>,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(config.max_connections)),
            limits: Limits::new(&config),
            policies: Policies::new(&config, tasks.clone()),
            budget: Arc::new(Budget::new(config.window_budget)),
            config,
            bus,
            directory,
            reserved,
            table: Arc::default(),
            ids: RequestIds::default(),
            tasks,
            closing: CancellationToken::new(),
            leaving: CancellationToken::new(),
            parting: CancellationToken::new(),
        })
    }

    /// Accepts visitors on `listener` until `shutdown`. One call a worker; each
    /// connection's tasks run on the runtime of the call.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        listener::run(self.clone(), listener, shutdown).await;
    }

    /// Asks visitors to go elsewhere: responses close their connection.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Sends WebSockets away with 1001, and waits for the connections under way,
    /// after the listeners' shutdown, until `deadline`; how many were still open
    /// then.
    pub async fn drain(&self, deadline: Instant) -> usize {
        self.parting.cancel();
        self.tasks.close();
        let ended = timeout_at(deadline, self.tasks.wait()).await;
        let open = if ended.is_ok() { 0 } else { self.tasks.len() };
        self.closing.cancel();
        open
    }

    /// Exchanges under way.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.table.len()
    }

    /// Cuts the exchanges that were idle for longer than the operator allows, and
    /// those whose visitor has not taken anything for longer than
    /// the write stall time. A socket that does not drain is noticed by its own
    /// clock; this finds single HTTP/2 streams.
    pub(crate) fn cut_stalled(&self) {
        if let Some(limit) = self.config.exchange_idle {
            for entry in self.table.quiet(limit) {
                tracing::debug!(tunnel = %entry.line.tunnel, "cut an exchange: it was idle");
                entry
                    .port
                    .abort(Reset::new(ResetCode::TimedOut, "idle for too long"));
            }
        }
        for entry in self.table.stalled(self.config.write_stall) {
            tracing::debug!(tunnel = %entry.line.tunnel, "cut an exchange: the visitor does not read");
            entry
                .port
                .abort(Reset::new(ResetCode::Stalled, "the visitor does not read"));
        }
    }

    /// Takes what an uplink says about one of our exchanges. Never blocks.
    pub fn deliver(&self, envelope: Envelope) {
        let Some(entry) = self.table.get(envelope.exchange) else {
            tracing::trace!(exchange = ?envelope.exchange, "a reply to an exchange that is over");
            return;
        };
        if entry.line.tunnel != envelope.tunnel || entry.line.route.node != envelope.from {
            tracing::warn!(asked = %entry.line.tunnel, stamp = %envelope.tunnel, "dropped a reply from another tunnel");
            return;
        }
        match envelope.content {
            Content::Accepted => entry.line.accepted(),
            Content::Nack(nack) => entry.line.refused(nack),
            Content::ToVisitor(frame) => {
                entry.line.accepted();
                if let Err(violation) = entry.port.deliver(&frame) {
                    log_violation(&entry, &violation);
                }
            }
            Content::Open { .. } | Content::ToAgent { .. } => {
                tracing::warn!("dropped an envelope meant for an uplink");
            }
        }
    }

    /// Ends every exchange with `node`: it died, or messages between us were
    /// lost. Never blocks.
    pub fn lost(&self, node: NodeId) {
        for entry in self.table.with_node(node) {
            // It may have taken the request: only what was surely not delivered
            // is offered elsewhere.
            entry.line.accepted();
            entry.port.cut(Reset::new(
                ResetCode::LinkLost,
                "the node that holds the tunnel was lost",
            ));
        }
    }
}

fn log_violation(entry: &Entry, violation: &Violation) {
    tracing::warn!(tunnel = %entry.line.tunnel, %violation, "reset an exchange: its agent broke the protocol");
}
