//! One link: from the grant to its end.

use std::sync::Arc;
use std::time::Duration;

use messages::{Disconnect, DisconnectCode, Granted, Reset, ResetCode};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel::{Keepalive, LinkEnd, Outbox, Transport, TransportError, drive};

use crate::Target;
use crate::event::Events;
use crate::streams::{Notice, Streams, Table};

/// How long a link that has been superseded is kept for exchanges that still find it. Longer than the 2 s for which a
/// server remembers where a tunnel's links are: then nobody is on the way to it when it closes.
const LINGER: Duration = Duration::from_secs(3);

/// How long exchanges may find a link that has been superseded. Then it takes no new ones: its server has been told where
/// the others are, and its rules may be former ones.
const SUPERSEDED: Duration = Duration::from_secs(30);

/// A transport on which a tunnel was granted.
pub(crate) struct Link<T> {
    transport: T,
    pub(crate) granted: Granted,
}

/// What a link is run with.
pub(crate) struct Service {
    pub(crate) target: Arc<dyn Target>,
    pub(crate) events: Events,
    pub(crate) keepalive: Keepalive,
    pub(crate) max_streams: u32,
    /// How long exchanges may still run when the agent leaves.
    pub(crate) grace: Duration,
}

/// A hold on a link that is being served.
#[derive(Clone)]
pub(crate) struct Control {
    table: Arc<Table>,
    superseded: CancellationToken,
}

impl<T: Transport + 'static> Link<T> {
    pub(crate) fn new(transport: T, granted: Granted) -> Self {
        Self { transport, granted }
    }

    /// Serves exchanges until the link ends, until it has run dry after [`Control::supersede`], or until `stop` and a grace
    /// for those that run. The link is open from this call on; no task of it is left when the future has ended.
    pub(crate) fn serve(
        self,
        service: &Arc<Service>,
        stop: CancellationToken,
    ) -> (Control, impl Future<Output = LinkEnd> + Send + use<T>) {
        let outbox = Outbox::default();
        let limit = service.max_streams.min(self.granted.limits.max_streams);
        let streams = Streams::new(
            outbox.clone(),
            service.target.clone(),
            service.events.clone(),
            usize::try_from(limit).unwrap_or(usize::MAX),
            self.granted.limits.max_message,
        );
        let control = Control {
            table: streams.table(),
            superseded: CancellationToken::new(),
        };
        let serving = Serving {
            outbox,
            grace: service.grace,
            keepalive: service.keepalive,
            control: control.clone(),
            stop,
        };
        (control, serving.run(self.transport, streams))
    }
}

impl Control {
    /// Waits for the server's notice that it is going down. Cancel safe.
    pub(crate) async fn noticed(&self) -> Notice {
        self.table.noticed().await
    }

    /// Another link has taken this one's place: it ends when nothing has come to it for a while.
    pub(crate) fn supersede(&self) {
        self.superseded.cancel();
    }

    /// Exchanges that run.
    pub(crate) fn in_flight(&self) -> usize {
        self.table.in_flight()
    }
}

/// What the serving of one link holds beside its transport.
struct Serving {
    outbox: Outbox,
    grace: Duration,
    keepalive: Keepalive,
    control: Control,
    stop: CancellationToken,
}

impl Serving {
    async fn run<T: Transport + 'static>(self, transport: T, streams: Streams) -> LinkEnd {
        let table = &self.control.table;
        // A task of its own: whoever waits for the end of the link waits for other things too, the shutdown and the
        // signals of a process, and would ask after each of them whenever a frame comes: 1,500 instructions of a request.
        let mut driving = JoinSet::new();
        driving.spawn(drive(
            transport,
            self.outbox.clone(),
            streams,
            self.keepalive,
        ));
        let end = tokio::select! {
            biased;
            end = ended(&mut driving) => end,
            why = self.leave() => {
                self.outbox.close(Some(Disconnect::new(DisconnectCode::Leaving, why)));
                ended(&mut driving).await
            }
        };
        table.cut(&Reset::new(
            ResetCode::LinkLost,
            "the link to the server is gone",
        ));
        table.idle().await;
        as_announced(end, table.notice())
    }

    /// Waits until this side may close: it was superseded and has run dry, or it was stopped and the exchanges have ended,
    /// or the grace has.
    async fn leave(&self) -> &'static str {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.run_dry() => return "the agent has moved to another node",
        }
        let table = &self.control.table;
        table.leave();
        if timeout(self.grace, table.idle()).await.is_err() {
            tracing::warn!(
                "exchanges were still running at the end of the grace period; they are cut"
            );
        }
        "the agent is stopping"
    }

    async fn run_dry(&self) {
        self.control.superseded.cancelled().await;
        let table = &self.control.table;
        let quiet = async {
            loop {
                table.idle().await;
                let begun = table.begun();
                sleep(LINGER).await;
                if table.begun() == begun && table.in_flight() == 0 {
                    return;
                }
            }
        };
        if timeout(SUPERSEDED, quiet).await.is_err() {
            table.leave();
            table.idle().await;
        }
    }
}

/// The end of the one link that is driven here. Cancel safe.
async fn ended(driving: &mut JoinSet<LinkEnd>) -> LinkEnd {
    let ended = driving.join_next().await;
    ended
        .expect("it is asked until it has answered")
        .expect("a link is not aborted and does not panic")
}

/// A server that said that it is going down and then is gone has done what it said, however its connection ended.
fn as_announced(end: LinkEnd, notice: Option<Notice>) -> LinkEnd {
    match (end, notice) {
        (LinkEnd::Closed | LinkEnd::Transport(TransportError::Io(_)), Some(notice)) => {
            LinkEnd::Disconnected(Disconnect {
                spread_ms: u64::try_from(notice.pause_left().as_millis()).unwrap_or(u64::MAX),
                ..Disconnect::new(DisconnectCode::Draining, "")
            })
        }
        (end, _) => end,
    }
}

#[cfg(test)]
mod tests;
