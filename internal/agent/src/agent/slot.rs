//! One of an agent's links, and the next when it is gone: dials, serves, moves when the server is going down.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use messages::{Disconnect, DisconnectCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel::{Keepalive, LinkEnd, Transport};

use super::dial::{Dialler, Found, Shunned};
use super::pool::Place;
use super::terms::Stated;
use crate::backoff::{Backoff, spread};
use crate::error::{AgentError, LinkError, printable};
use crate::event::Event;
use crate::link::{Control, Service};

/// "At once" for a server that is leaving: it still answers, and would be asked in a tight loop otherwise.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Keeps one link up.
pub(super) struct Slot<T> {
    /// 0 for the one that is always wanted, and speaks for all while there is no link.
    pub(super) index: usize,
    pub(super) dialler: Arc<Dialler<T>>,
    pub(super) service: Arc<Service>,
    pub(super) stop: CancellationToken,
    pub(super) backoff: Backoff,
    /// Links that another has taken the place of, until they have run dry.
    pub(super) drying: JoinSet<LinkEnd>,
}

/// A link that serves.
struct Up {
    place: Place,
    terms: Arc<Stated>,
    control: Control,
    serving: Pin<Box<dyn Future<Output = LinkEnd> + Send>>,
    since: Instant,
}

/// What came of a link.
enum Outcome<T> {
    Ended(LinkEnd),
    Moved(Box<Found<T>>),
}

impl<T: Transport + 'static> Slot<T> {
    /// Keeps a link up until `stop`, whenever the pool wants as many.
    ///
    /// # Errors
    /// What ends the whole agent; then `stop` has been cancelled.
    pub(super) async fn run(mut self) -> Result<(), AgentError> {
        let result = self.keep_up().await;
        if result.is_err() {
            self.stop.cancel();
        }
        while self.drying.join_next().await.is_some() {}
        result
    }

    async fn keep_up(&mut self) -> Result<(), AgentError> {
        while let Some(found) = self.find().await? {
            let mut up = self.begin(found, None);
            let end = loop {
                match self.outcome(&mut up).await {
                    Ok(Outcome::Ended(end)) => break end,
                    Ok(Outcome::Moved(found)) => up = self.begin(*found, Some(up)),
                    Err(error) => {
                        // It still serves, and ends as the others do.
                        self.dry(up);
                        return Err(error);
                    }
                }
            };
            if self.stop.is_cancelled() {
                break;
            }
            let wait = self.ended(&up, &end)?;
            drop(up);
            self.pause(wait).await;
        }
        Ok(())
    }

    /// A link, however long it takes; `None` when the agent is stopped.
    async fn find(&mut self) -> Result<Option<Found<T>>, AgentError> {
        let mut shunned = Shunned::default();
        let dialler = self.dialler.clone();
        loop {
            let attempt = async {
                dialler.pool.wants(self.index).await;
                if self.speaks() {
                    self.service.events.tell(Event::Connecting {
                        server: dialler.wishes.config.server.to_string(),
                    });
                }
                dialler.find(&mut shunned).await
            };
            let attempt = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                // In a box: it holds a connection in the making.
                attempt = Box::pin(attempt) => attempt,
            };
            match attempt {
                Ok(found) => return Ok(Some(found)),
                Err(error) => {
                    let wait = self.failed(error)?;
                    self.pause(wait).await;
                }
            }
        }
    }

    /// Begins to serve a link, instead of another that from now on runs dry.
    fn begin(&mut self, found: Found<T>, instead_of: Option<Up>) -> Up {
        let Found {
            link,
            place,
            terms,
            via,
        } = found;
        self.dialler.pool.carried(via);
        let granted = link.granted.clone();
        let (control, serving) = link.serve(&self.service, self.stop.clone());
        let old = instead_of.as_ref().map(|old| &old.place);
        let pool = &self.dialler.pool;
        pool.enter(&place, (control.clone(), &granted), old);
        if let Some(old) = instead_of {
            old.control.supersede();
            self.dry(old);
        }
        Up {
            place,
            terms,
            control,
            serving: Box::pin(serving),
            since: Instant::now(),
        }
    }

    /// Lets a link come to its end by itself.
    fn dry(&mut self, old: Up) {
        self.drying.spawn(async move {
            let end = old.serving.await;
            drop(old.place);
            end
        });
    }

    /// Waits until the link has ended, or until another can take its place.
    ///
    /// # Errors
    /// The server wants no link of this agent any more. This one is still up.
    async fn outcome(&mut self, up: &mut Up) -> Result<Outcome<T>, AgentError> {
        let dialler = self.dialler.clone();
        let elsewhere = async {
            tokio::select! {
                // A link in the making would be one more to end.
                () = self.stop.cancelled() => pending().await,
                found = elsewhere(&dialler, (&up.place, &up.terms), &up.control) => found,
            }
        };
        let mut elsewhere = Box::pin(elsewhere);
        loop {
            tokio::select! {
                biased;
                end = &mut up.serving => return Ok(Outcome::Ended(end)),
                Some(end) = self.drying.join_next() => {
                    final_word(&end.expect("a link is not aborted and does not panic"))?;
                }
                found = &mut elsewhere => return Ok(Outcome::Moved(Box::new(found?))),
            }
        }
    }

    /// Tells of a link's end, and says how long to wait before the next.
    fn ended(&mut self, up: &Up, end: &LinkEnd) -> Result<Duration, AgentError> {
        self.backoff.link_lived(up.since.elapsed());
        let why = lost(end, self.service.keepalive);
        let last = self.dialler.pool.lost(&up.place, why);
        final_word(end)?;
        let wait = match end {
            // The server asks us to go elsewhere: at once, but not all agents in the same moment.
            LinkEnd::Disconnected(Disconnect {
                code: DisconnectCode::Draining,
                spread_ms,
                ..
            }) => spread(Duration::from_millis(*spread_ms)).max(AT_ONCE),
            // It was gone long before it was given up.
            LinkEnd::Dead => Duration::ZERO,
            _ => self.backoff.next(),
        };
        if last || self.speaks() {
            let retrying = Event::Retrying { why: None, wait };
            self.service.events.tell(retrying);
        }
        Ok(wait)
    }

    /// Tells of an attempt that failed, and says how long to wait before the next.
    fn failed(&mut self, error: LinkError) -> Result<Duration, AgentError> {
        let error = error.unless_final()?;
        let pool = &self.dialler.pool;
        if self.dialler.wishes.config.no_retry && pool.is_down() {
            return Err(AgentError::Failed(error));
        }
        let wait = self.backoff.next_at_least(error.retry_after());
        tracing::debug!(slot = self.index, %error, ?wait, "an attempt at a link failed");
        if self.speaks() {
            // A fleet that is being restarted is no trouble; a first attempt that fails needs a reason.
            let expected = error.is_draining() && pool.has_been_up();
            let why = (!expected).then(|| error.to_string());
            self.service.events.tell(Event::Retrying { why, wait });
        }
        Ok(wait)
    }

    /// Whether what this slot does is of interest: there is no link, and one slot is enough to say so.
    fn speaks(&self) -> bool {
        self.index == 0 && self.dialler.pool.is_down()
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(wait) => {}
        }
    }
}

/// Waits for a reason to leave this place, then for a link somewhere else.
async fn elsewhere<T: Transport + 'static>(
    dialler: &Dialler<T>,
    (place, terms): (&Place, &Arc<Stated>),
    control: &Control,
) -> Result<Found<T>, AgentError> {
    let notice = tokio::select! {
        notice = control.noticed() => notice,
        better = dialler.better(place) => return better,
        () = dialler.pool.renewal(place) => return dialler.replacement().await,
        restated = dialler.restated(place, terms) => return restated,
    };
    dialler.pool.going_down(place);
    sleep(dialler.pool.pause_before_moving(notice)).await;
    dialler.replacement().await
}

/// Whether the server wants no link of this agent any more.
fn final_word(end: &LinkEnd) -> Result<(), AgentError> {
    match end {
        LinkEnd::Disconnected(disconnect) if disconnect.code.is_final() => {
            Err(AgentError::of_disconnect(disconnect))
        }
        _ => Ok(()),
    }
}

/// A link's end as a sentence.
fn lost(end: &LinkEnd, keepalive: Keepalive) -> String {
    match end {
        LinkEnd::Closed => {
            "the server, or something on the way to it, closed the connection".to_owned()
        }
        LinkEnd::Dead => format!(
            "nothing was heard from the server for {} s",
            keepalive.dead_after.as_secs_f32()
        ),
        LinkEnd::Disconnected(disconnect) => {
            let reason = printable(&disconnect.reason);
            match (&disconnect.code, reason.as_str()) {
                (DisconnectCode::Draining, _) => {
                    "the server is going down and sends its agents elsewhere".to_owned()
                }
                (code, "") => format!("the server ended the connection ({})", code.as_str()),
                (code, reason) => format!(
                    "the server ended the connection: {reason} ({})",
                    code.as_str()
                ),
            }
        }
        LinkEnd::Fault(fault) => format!("the server broke the protocol: {fault}"),
        LinkEnd::Transport(error) => format!("the connection to the server broke: {error}"),
        LinkEnd::Local(_) => "the server took nothing any more".to_owned(),
    }
}
