//! One link: from a fresh transport to its end.

use std::sync::Arc;
use std::time::Duration;

use identity::SecretKey;
use messages::{Disconnect, DisconnectCode, Granted, Reset, ResetCode};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel::handshake::{RegisterError, Registration, register};
use tunnel::{Keepalive, LinkEnd, Outbox, Transport, drive};

use crate::Target;
use crate::event::{Event, Events};
use crate::streams::{Streams, Table};

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

impl<T: Transport + 'static> Link<T> {
    /// Registers on a fresh transport. Not cancel safe: the transport is dropped with the future.
    pub(crate) async fn register(
        mut transport: T,
        key: &SecretKey,
        wish: &Registration,
    ) -> Result<Self, RegisterError> {
        let granted = register(&mut transport, key, wish).await?;
        Ok(Self { transport, granted })
    }

    /// Serves exchanges until the link ends, or until `shutdown` and a grace for those that run. No task of it is left
    /// afterwards.
    pub(crate) async fn serve(self, service: &Service, shutdown: &CancellationToken) -> LinkEnd {
        let outbox = Outbox::default();
        let limit = service.max_streams.min(self.granted.limits.max_streams);
        let streams = Streams::new(
            outbox.clone(),
            service.target.clone(),
            service.events.clone(),
            usize::try_from(limit).unwrap_or(usize::MAX),
            self.granted.limits.max_message,
        );
        let table = streams.table();
        // A task of its own: whoever waits for the end of the link waits for other things too, the shutdown and the
        // signals of a process, and would ask after each of them whenever a frame comes: 1,500 instructions of a request.
        let mut driving = JoinSet::new();
        driving.spawn(drive(
            self.transport,
            outbox.clone(),
            streams,
            service.keepalive,
        ));
        let end = tokio::select! {
            biased;
            end = ended(&mut driving) => end,
            () = leave(&table, service, shutdown) => {
                outbox.close(Some(Disconnect::new(DisconnectCode::Leaving, "the agent is stopping")));
                ended(&mut driving).await
            }
        };
        table.cut(&Reset::new(
            ResetCode::LinkLost,
            "the link to the server is gone",
        ));
        table.idle().await;
        end
    }
}

/// The end of the one link that is driven here. Cancel safe.
async fn ended(driving: &mut JoinSet<LinkEnd>) -> LinkEnd {
    let ended = driving.join_next().await;
    ended
        .expect("it is asked until it has answered")
        .expect("a link is not aborted and does not panic")
}

/// Waits for the shutdown, then for the exchanges that run, within the grace.
async fn leave(table: &Table, service: &Service, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    let in_flight = table.leave();
    service.events.tell(Event::Leaving { in_flight });
    if timeout(service.grace, table.idle()).await.is_err() {
        tracing::warn!("exchanges were still running at the end of the grace period; they are cut");
    }
}

#[cfg(test)]
mod tests;
