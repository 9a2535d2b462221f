//! JSON: what is not is refused, and rules can look into it.

use super::{Codec, Step, StepError, each};
use crate::event::{Event, Json, Payload};

/// JSON text (RFC 8259), nested at most 128 levels deep.
#[derive(Debug, Clone, Copy)]
pub struct JsonText;

impl Codec for JsonText {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|mut event: Event| {
            let json = Json::read(event.take_bytes())
                .map_err(|error| StepError::Invalid(format!("not JSON: {error}")))?;
            Ok(Some(event.with(Payload::Json(json))))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{give, ok};
    use super::*;

    #[test]
    fn what_is_not_json_is_refused_and_the_next_event_passes() {
        let mut json = JsonText.decoder().unwrap();
        let refused = give(&mut *json, "{\"a\":");
        let why = "not JSON: EOF while parsing a value at line 1 column 5";
        assert_eq!(refused, [Err(StepError::Invalid(why.to_owned()))]);
        assert_eq!(give(&mut *json, "[1, 2]"), ok(&["[1, 2]"]));
    }

    #[test]
    fn deep_nesting_is_refused_instead_of_filling_the_stack() {
        let mut json = JsonText.decoder().unwrap();
        assert!(give(&mut *json, "[".repeat(100_000))[0].is_err());
    }
}
