//! The task that has the shared connection.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use futures_util::{FutureExt as _, SinkExt as _};
use http::HeaderMap;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::Ask;
use super::table::Table;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::dial::Dialer;
use crate::event::Event;
use crate::failure::Why;
use crate::intake::Wanted;
use crate::pipeline::Chain;
use crate::rules::Pointer;
use crate::socket::{self, End, In, Out, Socket, closing, patiently};
use crate::step::StepError;

/// How long an upstream that is given up may take for a close frame.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The shared connection, and who wants to ask over it.
pub(super) struct Task {
    config: Config,
    dialer: Dialer,
    /// Where requests and answers have their number.
    pointer: Pointer,
    closing: CancellationToken,
    asks: mpsc::Receiver<Ask>,
    /// A request that came while there was no connection.
    held: Option<Ask>,
    table: Table,
    backoff: Backoff,
}

/// Nobody can ask any more, or the relay is going down.
struct Done;

impl Task {
    pub(super) fn new(
        config: Config,
        pointer: Pointer,
        closing: CancellationToken,
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        Self {
            dialer: Dialer::new(&config),
            table: Table::new(config.answer_time()),
            config,
            pointer,
            closing,
            asks,
            held: None,
            backoff: Backoff::new(),
        }
    }

    /// Keeps the connection until nobody can ask any more.
    pub(super) async fn run(mut self) {
        while let Ok(link) = self.connect().await {
            let Ok(end) = self.carry(link).await else {
                break;
            };
            tracing::debug!(upstream = %self.config.upstream, ?end, "the shared connection was lost");
            self.table.lost(&end.why());
            self.backoff.lost();
            if self.pause().await.is_err() {
                break;
            }
        }
        self.table.lost("the relay is going down");
    }

    /// Dials until there is a connection. While there is none, requests are refused.
    async fn connect(&mut self) -> Result<Socket, Done> {
        loop {
            self.backoff.attempt();
            let dialled = {
                let fields = HeaderMap::new();
                let mut dialling = pin!(self.dialer.dial(&fields));
                loop {
                    tokio::select! {
                        biased;
                        dialled = &mut dialling => break dialled,
                        () = self.closing.cancelled() => return Err(Done),
                        ask = self.asks.recv(), if self.held.is_none() => self.held = Some(ask.ok_or(Done)?),
                    }
                }
            };
            match dialled {
                Ok((link, _)) => return Ok(link),
                Err(error) => {
                    tracing::debug!(upstream = %self.config.upstream, %error, "the upstream cannot be reached");
                }
            }
            self.refuse();
            self.pause().await?;
        }
    }

    /// Refuses what waits to be sent.
    fn refuse(&mut self) {
        let held = self.held.take();
        let waiting = std::iter::from_fn(|| self.asks.try_recv().ok());
        for ask in held.into_iter().chain(waiting) {
            ask.asker.fail(Why::NoConnection);
        }
    }

    /// Waits before the next attempt; not so long where somebody asks.
    async fn pause(&mut self) -> Result<(), Done> {
        let next = self.backoff.next();
        let soonest = self.backoff.soonest().min(next);
        tokio::select! {
            () = sleep_until(next) => return Ok(()),
            () = self.closing.cancelled() => return Err(Done),
            ask = self.asks.recv() => self.held = Some(ask.ok_or(Done)?),
        }
        sleep_until(soonest).await;
        Ok(())
    }

    /// Carries requests and answers until the connection is lost.
    async fn carry(&mut self, link: Socket) -> Result<End, Done> {
        let (out, mut heard) = link.split();
        let out = Mutex::new(out);
        let (held, asks) = (self.held.take(), &mut self.asks);
        let numbers = Numbers {
            config: &self.config,
            pointer: &self.pointer,
            table: &self.table,
        };
        let ended = {
            let mut up = pin!(up(&numbers, held, asks, &out));
            let mut down = pin!(down(&numbers, &mut heard, &out));
            tokio::select! {
                end = &mut down => Ok(end),
                // What it said before it was lost is still worth hearing.
                end = &mut up => match end {
                    Ok(_) => Ok(down.await),
                    done => done,
                },
                () = self.table.watch() => Err(Done),
                () = self.closing.cancelled() => Err(Done),
            }
        };
        let last = match &ended {
            Err(Done) => Some(Some(closing(1001, ""))),
            Ok(End::Closed(frame)) => Some(frame.clone()),
            Ok(End::Broken(frame)) => Some(Some(frame.clone())),
            Ok(End::Lost(_)) => None,
        };
        if let Some(last) = last {
            // Not waiting for an answer: the next connection is due.
            let mut out = out.into_inner();
            timeout(LAST_WORD, out.send(Message::Close(last)))
                .await
                .ok();
        }
        ended
    }
}

/// How requests and answers find to each other.
struct Numbers<'a> {
    config: &'a Config,
    pointer: &'a Pointer,
    table: &'a Table,
}

impl Numbers<'_> {
    /// Puts a request's number into it.
    fn mark(&self, event: &mut Event, number: u64) -> Result<(), StepError> {
        let json = event.json_mut();
        if json.is_some_and(|json| self.pointer.put(json, number.into())) {
            return Ok(());
        }
        Err(StepError::Invalid(format!(
            "a request must be a JSON object, with room for {}",
            self.pointer
        )))
    }

    /// Sends a request under a number of its own.
    async fn send(&self, ask: Ask, encoder: &mut Chain, out: &Mutex<Out>) -> Result<(), End> {
        let Ask { wanted, asker } = ask;
        let Wanted { mut event, .. } = wanted;
        let number = self.table.number();
        if let Err(error) = self.mark(&mut event, number) {
            asker.fail(Why::Incoming(error));
            return Ok(());
        }
        match encoded(self.config, event, encoder) {
            Err(error) => asker.fail(Why::Serialization(error)),
            Ok(messages) => {
                self.table.asked(number, asker);
                for message in messages {
                    let fed = out.lock().await.feed(message).await;
                    fed.map_err(|error| self.failed(number, &error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    fn failed(&self, number: u64, error: &str) -> End {
        if let Some(asker) = self.table.answered(number) {
            asker.fail(Why::Sending(error.to_owned()));
        }
        End::Lost(error.to_owned())
    }

    /// Gives an answer to who asked.
    fn deliver(&self, mut reply: Event, encoder: &mut Chain) {
        let number = reply
            .json()
            .and_then(|json| self.pointer.get(json)?.as_u64());
        let Some(asker) = number.and_then(|number| self.table.answered(number)) else {
            tracing::debug!(upstream = %self.config.upstream, ?number, "dropped what answers no request");
            return;
        };
        reply.correlation.clone_from(&asker.correlation);
        if let Some(json) = reply.json_mut() {
            match asker.correlation.clone() {
                Some(theirs) => drop(self.pointer.put(json, theirs)),
                None => drop(self.pointer.take(json)),
            }
        }
        match encoded(self.config, reply, encoder) {
            Ok(messages) => asker.answer(Ok(messages)),
            Err(error) => asker.fail(Why::Outgoing(error)),
        }
    }
}

/// The messages that an event leaves as.
fn encoded(config: &Config, event: Event, encoder: &mut Chain) -> Result<Vec<Message>, StepError> {
    encoder.take(event);
    let made = std::iter::from_fn(|| encoder.next());
    made.map(|made| socket::message(made?, &config.limits))
        .collect()
}

/// Visitors to upstream.
async fn up(
    numbers: &Numbers<'_>,
    held: Option<Ask>,
    asks: &mut mpsc::Receiver<Ask>,
    out: &Mutex<Out>,
) -> Result<End, Done> {
    let mut encoder = numbers.config.incoming.encoder();
    let mut next = held;
    loop {
        if let Some(ask) = next.take()
            && let Err(end) = numbers.send(ask, &mut encoder, out).await
        {
            return Ok(end);
        }
        next = match asks.recv().now_or_never() {
            Some(ask) => Some(ask.ok_or(Done)?),
            None => {
                if let Err(error) = out.lock().await.flush().await {
                    return Ok(End::Lost(error.to_string()));
                }
                Some(asks.recv().await.ok_or(Done)?)
            }
        };
    }
}

/// Upstream to visitors.
async fn down(numbers: &Numbers<'_>, heard: &mut In, out: &Mutex<Out>) -> End {
    let outgoing = &numbers.config.outgoing;
    let (mut decoder, mut encoder) = (outgoing.decoder(), outgoing.encoder());
    loop {
        match patiently(heard, numbers.config.silence, out).await {
            Ok(event) => decoder.take(event),
            Err(end) => return end,
        }
        while let Some(reply) = decoder.next() {
            match reply {
                Ok(reply) => numbers.deliver(reply, &mut encoder),
                // Whose answer it was cannot be told; they are told when their time is over.
                Err(error) => {
                    tracing::debug!(upstream = %numbers.config.upstream, %error, "dropped what is no answer");
                }
            }
        }
    }
}
