//! A visit with an upstream connection of its own.

mod carry;
mod ledger;

use std::pin::pin;
use std::sync::Arc;

use http::HeaderMap;
use tokio::time::sleep_until;

use self::carry::{Farewell, carry};
use crate::backoff::Backoff;
use crate::failure::{Failure, Why};
use crate::intake::Intake;
use crate::relay::Inner;
use crate::socket::{In, Socket};
use crate::speaker::{Over, Speaker, hear};

/// A visitor, and what is remembered of them from one connection to the upstream to the next.
pub(crate) struct Own {
    relay: Arc<Inner>,
    fields: HeaderMap,
    from: In,
    to: Speaker,
    intake: Intake,
    backoff: Backoff,
}

impl Own {
    pub(crate) fn new(
        relay: Arc<Inner>,
        fields: HeaderMap,
        from: In,
        to: Speaker,
        intake: Intake,
    ) -> Self {
        Self {
            relay,
            fields,
            from,
            to,
            intake,
            backoff: Backoff::new(),
        }
    }

    /// Serves the visitor to the end. Dropping the future cuts both sides.
    pub(crate) async fn run(mut self, mut link: Option<Socket>) {
        let (over, farewell) = loop {
            let socket = match link.take() {
                Some(socket) => socket,
                None => match self.connect().await {
                    Ok(socket) => socket,
                    Err(over) => break (over, None),
                },
            };
            if let Err(ended) = self.carry(socket).await {
                break ended;
            }
        };
        self.intake.finish();
        let upstream = async {
            if let Some(farewell) = farewell {
                farewell.say().await;
            }
        };
        tokio::join!(self.to.end(&mut self.from, over), upstream);
    }

    /// Carries messages until the upstream is lost; an error when the visit is over.
    async fn carry(&mut self, link: Socket) -> Result<(), (Over, Option<Farewell>)> {
        let Self {
            relay,
            from,
            to,
            intake,
            ..
        } = self;
        let leaving = relay.closing.cancelled();
        carry(&relay.config, link, from, to, intake, leaving).await?;
        self.backoff.lost();
        self.pause().await.map_err(|over| (over, None))
    }

    /// Dials until there is a connection. While there is none, what the visitor says is refused, event by event.
    async fn connect(&mut self) -> Result<Socket, Over> {
        loop {
            self.backoff.attempt();
            let relay = self.relay.clone();
            let fields = self.fields.clone();
            match self.beside(relay.dialer.dial(&fields)).await? {
                Ok((socket, _)) => return Ok(socket),
                Err(error) => {
                    tracing::debug!(upstream = %relay.config.upstream, %error, "the upstream cannot be reached");
                }
            }
            self.refuse().await?;
            self.pause().await?;
        }
    }

    /// Does something beside listening to the visitor, who may say one message meanwhile, or leave.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Over> {
        let mut work = pin!(work);
        loop {
            let listening = self.intake.is_idle();
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.relay.closing.cancelled() => return Err(going()),
                heard = hear(&mut self.from), if listening => self.intake.take(heard?),
            }
        }
    }

    /// Nothing of what the visitor has said can be sent.
    async fn refuse(&mut self) -> Result<(), Over> {
        if !self.to.stays() {
            return Err(Over::Close(Some(Why::NoConnection.close())));
        }
        while let Some(given) = self.intake.next() {
            let failure = given.map_or_else(
                |failure| failure,
                |wanted| Failure {
                    id: wanted.id,
                    correlation: wanted.event.correlation,
                    why: Why::NoConnection,
                },
            );
            self.to.fail(failure).await?;
        }
        self.to.flush_told().await
    }

    /// Waits before the next attempt; not so long where the visitor says something.
    async fn pause(&mut self) -> Result<(), Over> {
        let next = self.backoff.next();
        let soonest = self.backoff.soonest().min(next);
        if self.intake.is_idle() {
            tokio::select! {
                () = sleep_until(next) => return Ok(()),
                () = self.relay.closing.cancelled() => return Err(going()),
                heard = hear(&mut self.from) => self.intake.take(heard?),
            }
        }
        self.beside(sleep_until(soonest)).await
    }
}

fn going() -> Over {
    Over::Close(Some(Why::Going.close()))
}
