//! Keeps the node connected for as long as it lives: connects, proves the subscription, serves until anything breaks,
//! and begins again, for ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::dial::{Dialer, Owner};
use super::error::StoreError;
use super::own::Withdrawal;
use super::publisher::{publish, publish_command};
use super::session::{Ending, Session};
use super::shared::Shared;
use super::wire::{self, Message};

/// How long connecting may take in all, questions to sentinels included.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the first pause between two attempts is; each further one doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long a leaving node takes at most: what is queued is sent, routes are withdrawn.
const LEAVE: Duration = Duration::from_secs(2);

/// How many ticks an interval of probes has.
const TICKS: u32 = 4;

/// Runs until the node stops.
pub(super) async fn supervise(shared: Arc<Shared>, dialer: Dialer) {
    let mut failures = 0;
    loop {
        let began = Instant::now();
        connect_and_serve(&shared, &dialer, &mut failures).await;
        // A session that lasted was not a failure to connect.
        if began.elapsed() > shared.timing.reconnect {
            failures = 0;
        }
        let pause = pause(failures, shared.timing.reconnect, shared.node.0[0]);
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

async fn connect_and_serve(shared: &Arc<Shared>, dialer: &Dialer, failures: &mut u32) {
    let ending = Arc::new(Ending::default());
    // Whatever comes of it, no connection outlives this attempt.
    let _guard = EndGuard(Arc::clone(&ending));
    let connecting = timeout(CONNECT, Box::pin(connect(shared, dialer, &ending)));
    let connected = tokio::select! {
        connected = connecting => connected,
        () = shared.stopping.cancelled() => return,
    };
    let too_long = || Err(StoreError::Down("connecting takes too long".to_owned()));
    match connected.unwrap_or_else(|_elapsed| too_long()) {
        Ok(session) => {
            if *failures > 0 {
                tracing::info!(redis = dialer.addresses(), "the bus is connected again");
            }
            *failures = 0;
            serve(shared, &Arc::new(session)).await;
            let why = ending.why();
            if shared.stopping.is_cancelled() {
                return;
            }
            tracing::warn!(
                redis = dialer.addresses(),
                why,
                "the bus is cut off; connecting again"
            );
            shared.set_health(Err(StoreError::Down(why)));
        }
        Err(error) => {
            if *failures == 0 {
                tracing::warn!(redis = dialer.addresses(), %error, "the bus cannot be reached; trying again");
            }
            shared.set_health(Err(error));
        }
    }
    *failures = failures.saturating_add(1);
}

struct EndGuard(Arc<Ending>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end("done");
    }
}

/// Doubles up to `longest`, less up to a fifth by which nodes differ, so that a fleet does not knock in step.
fn pause(failures: u32, longest: Duration, salt: u8) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let pause = doubled.min(longest);
    pause - pause * u32::from(salt) / 1280
}

/// Connects, subscribes, and proves it by a message to itself, before anybody may rely on the session.
async fn connect(
    shared: &Arc<Shared>,
    dialer: &Dialer,
    ending: &Arc<Ending>,
) -> Result<Session, StoreError> {
    let id = shared.begin_session();
    let weak = Arc::downgrade(shared);
    let watched = Arc::clone(ending);
    let owner = Owner {
        tasks: shared.tasks.clone(),
        ending: Arc::clone(ending),
        on_push: Arc::new(move |push| {
            if let Some(shared) = weak.upgrade() {
                take_push(&shared, id, &watched, push);
            }
        }),
    };
    let (lines, slots) = dialer.dial(&owner).await?;
    let command = shared.timing.command;
    let session = Session::begin(id, lines, slots, command, Arc::clone(ending)).await?;
    let channel = shared.names.channel(shared.node);
    let mut subscribe = redis::cmd(match session.is_cluster() {
        true => "SSUBSCRIBE",
        false => "SUBSCRIBE",
    });
    subscribe.arg(&channel);
    session.run(&channel, subscribe).await?;

    let mut echoes = shared.echoes.subscribe();
    let mut echo = Vec::new();
    wire::put_echo(id, &mut echo);
    let mut say = redis::cmd(publish_command(&session));
    say.arg(&channel).arg(echo);
    session.run(&channel, say).await?;
    let hear = async { echoes.wait_for(|heard| *heard == id).await.is_ok() };
    if !timeout(command, hear).await.unwrap_or(false) {
        return Err(StoreError::Down(
            "it does not deliver what is published".to_owned(),
        ));
    }
    match shared.set_lease(&session).await {
        // Other nodes cannot route to this one then; renewing says so, and tries on.
        Err(StoreError::Full) => {}
        held => held?,
    }
    Ok(session)
}

/// Serves a session until it ends or the node stops; afterwards nothing of it is left.
async fn serve(shared: &Arc<Shared>, session: &Arc<Session>) {
    let ending = session.ending();
    shared.open_session(session);
    // In a task of its own: polled among the clocks below, it cost a third more instructions for each message.
    let publishing = shared.tasks.spawn({
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        async move { publish(&shared, &session).await }
    });
    ending.takes_along(publishing.abort_handle());
    tokio::select! {
        () = ending.ended() => {}
        () = shared.stopping.cancelled() => ending.end("this node stops"),
        () = tick(shared, session) => {}
        () = ping(shared, session) => {}
        () = announce_all(shared, session) => {}
    }
    // It must not take what the next session is to send.
    let _ended = publishing.await;
    shared.close_session();
}

/// Announces everything again, then idles.
async fn announce_all(shared: &Shared, session: &Session) {
    let began = Instant::now();
    let count = shared.own.count();
    let announced = {
        let _upkeep = shared.upkeep.lock().await;
        shared.announce_pending(session).await
    };
    match announced {
        Ok(()) if count > 0 => tracing::info!(
            links = count,
            ms = began.elapsed().as_millis(),
            "own links are announced again"
        ),
        Ok(()) => {}
        // Renewing tries again.
        Err(error) => tracing::debug!(%error, "own links could not be announced again"),
    }
    std::future::pending::<()>().await;
}

async fn ping(shared: &Shared, session: &Session) {
    let mut ticks = interval(shared.timing.probe);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = session.ping().await {
            session.ending().end(&error.to_string());
        }
    }
}

/// Lets the pairs look at the clock, and notices when the process itself stood still.
async fn tick(shared: &Shared, session: &Session) {
    let mut ticks = interval(shared.timing.probe / TICKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(stalled) = shared.pulse.stalled(shared.timing.stall) {
            end_stalled(session.ending(), stalled);
            std::future::pending::<()>().await;
        }
        shared.pulse.beat();
        shared.pairs.tick(&shared.door);
    }
}

fn end_stalled(ending: &Ending, stalled: Duration) {
    ending.end(&format!(
        "this process stood still for {} ms: what was sent to it meanwhile is discarded",
        stalled.as_millis()
    ));
}

/// Takes what the connection pushes, on the stack of its reader: never waits.
fn take_push(shared: &Shared, id: u64, ending: &Ending, push: PushInfo) {
    match push.kind {
        PushKind::Message | PushKind::SMessage => {}
        // Only the server takes a subscription away: when the slot of the channel moves.
        PushKind::SUnsubscribe | PushKind::Unsubscribe if !shared.has_left() => {
            ending.end("the subscription was taken away");
            return;
        }
        _ => return,
    }
    let Some(Value::BulkString(message)) = push.data.into_iter().nth(1) else {
        return;
    };
    match Message::decode(Bytes::from(message)) {
        Ok(Message::Echo(heard)) => {
            shared.echoes.send_replace(heard);
        }
        Ok(Message::Notice(notice)) => shared.superseded(&notice),
        Ok(Message::Pair(header, envelopes)) => {
            let _held = shared.door.hold();
            // A resumed process may get here before its clock: nothing stale is run.
            if let Some(stalled) = shared.pulse.stalled(shared.timing.stall) {
                end_stalled(ending, stalled);
                return;
            }
            if shared.is_current(id) {
                shared.pairs.receive(&header, envelopes, &shared.door);
            }
        }
        Err(error) => tracing::warn!(%error, "a message on this node's channel cannot be read"),
    }
}

/// Leaves the fleet in order: what is queued is sent, peers are told, routes and lease are gone.
pub(super) async fn leave(shared: Arc<Shared>) {
    if !shared.begin_leaving() {
        shared.tasks_done().await;
        return;
    }
    let left = timeout(LEAVE, async {
        let Some(session) = shared.session.load_full() else {
            return;
        };
        shared.pairs.leave();
        while !shared.pairs.are_silent() && shared.session.load().is_some() {
            sleep(Duration::from_millis(2)).await;
        }
        let links = shared.own.all().into_iter().map(|held| Withdrawal {
            tunnel: held.tunnel,
            link: held.link,
            version: held.version,
        });
        let links: Vec<Withdrawal> = links.collect();
        shared.withdraw_for_good(&session, &links).await;
        let channel = shared.names.channel(shared.node);
        let mut silence = redis::cmd(match session.is_cluster() {
            true => "SUNSUBSCRIBE",
            false => "UNSUBSCRIBE",
        });
        silence.arg(&channel);
        let unsubscribed = session.run(&channel, silence).await;
        if let Err(error) = unsubscribed {
            tracing::debug!(%error, "the channel could not be left");
        }
    });
    if left.await.is_err() {
        tracing::warn!("leaving the bus takes too long; routes end with this node's lease");
    }
    shared.stop();
    shared.own.clear();
    shared.left();
}
