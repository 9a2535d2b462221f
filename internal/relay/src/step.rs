//! One step of a pipeline: the trait, for steps of one's own, and those that come with the relay.
//!
//! A step gives its events one by one, as they are asked for. A message of half a million empty lines is then half a
//! million events, but never at the same time.

mod base64;
mod decompress;
mod json;
mod length_prefixed;
mod lines;
mod string;

use std::fmt;

use crate::event::Event;

pub use base64::Base64;
pub use decompress::Decompress;
pub use json::JsonText;
pub use length_prefixed::LengthPrefixed;
pub use lines::Lines;
pub use string::Text;

/// Turns events into other events, for one connection in one direction.
pub trait Step: Send {
    /// Takes an event. It is called only once [`Step::next`] has said that there is no more of the one before.
    fn take(&mut self, event: Event);

    /// The next event made of what was taken; `None` when more must be taken first. After an error it goes on with what
    /// is behind that.
    fn next(&mut self) -> Option<Result<Event, StepError>>;

    /// There will be nothing more.
    ///
    /// # Errors
    /// Something is held that waited for its other half.
    fn finish(&mut self) -> Result<(), StepError> {
        Ok(())
    }
}

/// A kind of step: how events are taken apart at the beginning of a pipeline, and put together again at its end.
pub trait Codec: fmt::Debug + Send + Sync + 'static {
    /// Takes apart, with what one connection needs to remember.
    fn decoder(&self) -> Option<Box<dyn Step>> {
        None
    }

    /// Puts together.
    fn encoder(&self) -> Option<Box<dyn Step>> {
        None
    }
}

/// Why a step made nothing of an event. The sentences reach visitors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// It is not what the step reads. Closes with 1007 (RFC 6455, 7.4.1).
    #[error("{0}")]
    Invalid(String),
    /// It is larger than the limit, or would be. Closes with 1009.
    #[error("{0}")]
    TooLarge(String),
    /// The step itself failed. Closes with 1011.
    #[error("{0}")]
    Failed(String),
}

/// A step that makes of each event one other, none, or an error.
pub fn each<F>(map: F) -> Box<dyn Step>
where
    F: FnMut(Event) -> Result<Option<Event>, StepError> + Send + 'static,
{
    Box::new(Each { map, made: None })
}

struct Each<F> {
    map: F,
    made: Option<Result<Event, StepError>>,
}

impl<F> Step for Each<F>
where
    F: FnMut(Event) -> Result<Option<Event>, StepError> + Send,
{
    fn take(&mut self, event: Event) {
        self.made = (self.map)(event).transpose();
    }

    fn next(&mut self) -> Option<Result<Event, StepError>> {
        self.made.take()
    }
}

#[cfg(test)]
mod testing {
    use super::{Step, StepError};
    use crate::event::Event;

    /// Everything that a step makes of a text message.
    pub(super) fn give(
        step: &mut dyn Step,
        data: impl AsRef<[u8]>,
    ) -> Vec<Result<String, StepError>> {
        step.take(Event::bytes(data.as_ref().to_vec(), false));
        std::iter::from_fn(|| step.next())
            .map(|event| event.map(text))
            .collect()
    }

    fn text(event: Event) -> String {
        String::from_utf8(event.payload.into_bytes().to_vec()).unwrap()
    }

    pub(super) fn ok(texts: &[&str]) -> Vec<Result<String, StepError>> {
        texts.iter().map(|text| Ok((*text).to_owned())).collect()
    }
}
