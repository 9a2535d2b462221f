//! One connection to the upstream, from its handshake to its end: both directions beside each other, neither of which
//! waits for the other.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use futures_util::{FutureExt as _, SinkExt as _};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::going;
use super::ledger::{Ledger, Waiting};
use crate::config::Config;
use crate::event::Event;
use crate::failure::{Failure, Why};
use crate::intake::{Intake, Wanted};
use crate::pipeline::Chain;
use crate::socket::{self, End, In, Out, Socket, closing, patiently};
use crate::speaker::{Over, Speaker, hear};
use crate::step::StepError;

/// How long an upstream that is given up may take for a close frame.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How a connection ended, where the visit did not.
enum Lost {
    /// The upstream ended it.
    Ended(End),
    /// It took an event no more.
    Sending(Failure),
    /// It owes an answer; later ones would be taken for that.
    Overdue(Waiting),
}

/// A connection whose visit is over, and what the upstream is told.
pub(super) struct Farewell {
    out: Out,
    heard: In,
    frame: Option<CloseFrame>,
}

impl Farewell {
    /// Ends the connection in order.
    pub(super) async fn say(mut self) {
        socket::close(&mut self.out, &mut self.heard, self.frame).await;
    }
}

/// Carries messages until the upstream is lost. An error when the visit is over; the upstream is then to be told.
pub(super) async fn carry(
    config: &Config,
    link: Socket,
    from: &mut In,
    to: &Speaker,
    intake: &mut Intake,
    leaving: impl Future<Output = ()>,
) -> Result<(), (Over, Option<Farewell>)> {
    let (out, mut heard) = link.split();
    let out = Mutex::new(out);
    let ledger = Ledger::new(config.answer, config.correlate.clone(), intake.latest());
    let ended = {
        let mut up = pin!(up(config, from, to, intake, &ledger, &out));
        let mut down = pin!(down(config, &mut heard, to, &ledger, &out));
        tokio::select! {
            ended = &mut down => ended,
            ended = &mut up => match ended {
                // What it said before it was lost is still worth hearing.
                Ok(lost) => down.await.map(|_| lost),
                over => over,
            },
            () = leaving => Err(going()),
        }
    };
    let mut out = out.into_inner();
    match ended {
        Ok(lost) => {
            if let Some(last) = last_word(&lost) {
                // Not waiting for an answer: a visitor wants to know, and the next connection is due.
                timeout(LAST_WORD, out.send(last)).await.ok();
            }
            after(to, ledger, lost).await.map_err(|over| (over, None))
        }
        Err(over) => {
            let frame = match &over {
                Over::Left(frame) => frame.clone(),
                Over::Close(_) => Some(closing(1001, "")),
                // Without a word here, without a word there.
                Over::Lost => return Err((over, None)),
            };
            Err((over, Some(Farewell { out, heard, frame })))
        }
    }
}

/// What the upstream is told when its connection is given up.
fn last_word(lost: &Lost) -> Option<Message> {
    match lost {
        // The library's answer to the close frame is sent by the way.
        Lost::Ended(End::Closed(frame)) => Some(Message::Close(frame.clone())),
        Lost::Ended(End::Broken(frame)) => Some(Message::Close(Some(frame.clone()))),
        Lost::Overdue(_) => Some(Message::Close(Some(closing(1001, "")))),
        Lost::Ended(End::Lost(_)) | Lost::Sending(_) => None,
    }
}

/// Tells the visitor which events have no answer; or that the visit is over.
async fn after(to: &Speaker, ledger: Ledger, lost: Lost) -> Result<(), Over> {
    if let Some(failure) = ledger.untold() {
        to.fail(failure).await?;
    }
    let why = match lost {
        // The upstream's own words, where errors end the visit anyway.
        Lost::Ended(End::Closed(frame)) if !to.stays() => return Err(Over::Close(frame)),
        Lost::Ended(end) => end.why(),
        Lost::Sending(failure) => {
            to.fail(failure).await?;
            "the connection was lost".to_owned()
        }
        Lost::Overdue(waiting) => {
            let why = "an earlier answer did not come".to_owned();
            let time = ledger.time();
            to.fail(waiting.failure(Why::NoAnswer(time))).await?;
            why
        }
    };
    if !to.stays() {
        return Err(Over::Close(Some(Why::Receiving(why).close())));
    }
    for waiting in ledger.lost() {
        let failure = waiting.failure(Why::Receiving(why.clone()));
        to.fail(failure).await?;
    }
    to.flush_told().await
}

/// Visitor to upstream, until either ends.
async fn up(
    config: &Config,
    from: &mut In,
    to: &Speaker,
    intake: &mut Intake,
    ledger: &Ledger,
    out: &Mutex<Out>,
) -> Result<Lost, Over> {
    let mut encoder = config.incoming.encoder();
    loop {
        to.flush_told().await?;
        // What comes in one go leaves in one.
        if intake.is_idle() {
            let message = match hear(from).now_or_never() {
                Some(message) => message,
                None => {
                    if let Err(error) = out.lock().await.flush().await {
                        return Ok(Lost::Ended(End::Lost(error.to_string())));
                    }
                    hear(from).await
                }
            };
            intake.take(message?);
        }
        // Nothing is taken out of the intake before it can be sent or told: this future may be dropped at any await.
        ledger.room().await;
        match intake.next() {
            Some(Err(failure)) => ledger.failed(failure),
            Some(Ok(wanted)) => {
                if let Err(failure) = send(config, &mut encoder, wanted, ledger, out).await {
                    return Ok(Lost::Sending(failure));
                }
            }
            None => {}
        }
        while let Some(failure) = ledger.untold() {
            to.fail(failure).await?;
            ledger.told();
        }
    }
}

/// Sends one event. What cannot be put together is told later; an error is the end of the connection.
async fn send(
    config: &Config,
    encoder: &mut Chain,
    wanted: Wanted,
    ledger: &Ledger,
    out: &Mutex<Out>,
) -> Result<(), Failure> {
    let Wanted { id, event } = wanted;
    // Before it is sent: should the connection end meanwhile, it is one that has no answer.
    ledger.sent(id, event.correlation.clone());
    encoder.take(event);
    while let Some(made) = encoder.next() {
        match made.and_then(|event| socket::message(event, &config.limits)) {
            Ok(message) => {
                if let Err(error) = out.lock().await.feed(message).await {
                    return Err(ledger.unsent(&Why::Sending(error.to_string())));
                }
            }
            Err(error) => {
                let failure = ledger.unsent(&Why::Serialization(error));
                ledger.failed(failure);
            }
        }
    }
    Ok(())
}

/// Upstream to visitor, until either ends.
async fn down(
    config: &Config,
    heard: &mut In,
    to: &Speaker,
    ledger: &Ledger,
    out: &Mutex<Out>,
) -> Result<Lost, Over> {
    let (mut decoder, mut encoder) = (config.outgoing.decoder(), config.outgoing.encoder());
    loop {
        let message = match socket::hear(heard).now_or_never() {
            Some(message) => message,
            None => {
                to.flush().await?;
                // Overdue is only what did not come while we listened.
                tokio::select! {
                    biased;
                    message = patiently(heard, config.silence, out) => message,
                    late = ledger.overdue() => return Ok(Lost::Overdue(late)),
                }
            }
        };
        match message {
            Ok(event) => decoder.take(event),
            Err(end) => {
                if let Err(error) = decoder.finish() {
                    to.fail(ledger.about(Why::Outgoing(error))).await?;
                }
                to.flush().await?;
                return Ok(Lost::Ended(end));
            }
        }
        while let Some(reply) = decoder.next() {
            let said = match reply {
                Ok(reply) => say(config, &mut encoder, reply, to, ledger).await?,
                Err(error) => Err(error),
            };
            if let Err(error) = said {
                to.fail(ledger.about(Why::Outgoing(error))).await?;
            }
        }
    }
}

/// Says one reply to the visitor.
async fn say(
    config: &Config,
    encoder: &mut Chain,
    mut reply: Event,
    to: &Speaker,
    ledger: &Ledger,
) -> Result<Result<(), StepError>, Over> {
    ledger.answered(&mut reply);
    encoder.take(reply);
    let mut said = Ok(());
    while let Some(made) = encoder.next() {
        match made.and_then(|event| socket::message(event, &config.limits)) {
            Ok(message) => to.feed(message).await?,
            Err(error) => said = Err(error),
        }
    }
    Ok(said)
}
