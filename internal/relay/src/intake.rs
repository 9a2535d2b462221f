//! What a visitor says, event by event, each with its number.

use crate::config::Config;
use crate::event::Event;
use crate::failure::{EventId, Failure, Why};
use crate::pipeline::Chain;
use crate::rules::Pointer;

/// A visitor's messages on their way into the pipeline's middle. It holds one message at most.
pub(crate) struct Intake {
    decoder: Chain,
    correlate: Option<Pointer>,
    next: EventId,
    idle: bool,
}

/// An event that the visitor wants to be sent.
pub(crate) struct Wanted {
    pub(crate) id: EventId,
    pub(crate) event: Event,
}

impl Intake {
    pub(crate) fn new(config: &Config, visitor: u64) -> Self {
        Self {
            decoder: config.incoming.decoder(),
            correlate: config.correlate.clone(),
            next: EventId { visitor, number: 0 },
            idle: true,
        }
    }

    /// Whether everything that was taken has been given.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle
    }

    /// The event that was given last.
    pub(crate) fn latest(&self) -> EventId {
        EventId {
            number: self.next.number.saturating_sub(1),
            ..self.next
        }
    }

    /// Takes a message. Only when idle.
    pub(crate) fn take(&mut self, message: Event) {
        self.decoder.take(message);
        self.idle = false;
    }

    /// The next event, or how the next one failed; `None` when idle.
    pub(crate) fn next(&mut self) -> Option<Result<Wanted, Failure>> {
        let Some(given) = self.decoder.next() else {
            self.idle = true;
            return None;
        };
        let id = self.next;
        self.next.number += 1;
        Some(match given {
            Ok(event) => Ok(Wanted {
                id,
                event: self.correlated(event),
            }),
            Err(error) => Err(Failure {
                id,
                correlation: None,
                why: Why::Incoming(error),
            }),
        })
    }

    /// The visitor says no more: half a line or record that is held goes with them.
    pub(crate) fn finish(&mut self) {
        if let Err(error) = self.decoder.finish() {
            tracing::debug!(visitor = self.next.visitor, %error, "a visitor left in the middle");
        }
    }

    fn correlated(&self, mut event: Event) -> Event {
        if let (Some(pointer), Some(json)) = (&self.correlate, event.json()) {
            event.correlation = pointer.get(json).cloned();
        }
        event
    }
}
