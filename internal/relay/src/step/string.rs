//! Text: what is not UTF-8 is refused.

use super::{Codec, Step, StepError, each};
use crate::event::{Event, Payload};

/// UTF-8 text. What is JSON by the end of the pipeline leaves as compact text.
#[derive(Debug, Clone, Copy)]
pub struct Text;

impl Codec for Text {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|event: Event| {
            if let Payload::Bytes(bytes) = &event.payload
                && let Err(error) = std::str::from_utf8(bytes)
            {
                return Err(StepError::Invalid(format!("not text: {error}")));
            }
            Ok(Some(event))
        }))
    }

    fn encoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|mut event: Event| {
            let text = event.take_bytes();
            Ok(Some(event.with(Payload::Bytes(text))))
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{give, ok};
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_refused_and_the_next_event_passes() {
        let mut text = Text.decoder().unwrap();
        let refused = give(&mut *text, b"a\xff");
        assert!(
            matches!(&*refused, [Err(StepError::Invalid(why))] if why.starts_with("not text: "))
        );
        assert_eq!(give(&mut *text, "snot"), ok(&["snot"]));
    }

    #[test]
    fn json_leaves_as_compact_text() {
        let mut text = Text.encoder().unwrap();
        let json = Payload::Json(json!({"error": "no", "event_id": "1:0:0"}).into());
        text.take(Event::bytes("", false).with(json));
        let made = text.next().unwrap().unwrap().payload;
        assert_eq!(
            made,
            Payload::Bytes(r#"{"error":"no","event_id":"1:0:0"}"#.into())
        );
    }
}
