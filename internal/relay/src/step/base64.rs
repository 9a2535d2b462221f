//! Base64 around what is meant (RFC 4648, section 4).

use data_encoding::BASE64;

use super::{Codec, Step, StepError, each};
use crate::event::{Event, Payload};

/// Base64 of the standard alphabet, with padding.
#[derive(Debug, Clone, Copy)]
pub struct Base64;

impl Codec for Base64 {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|mut event: Event| {
            let decoded = BASE64
                .decode(&event.take_bytes())
                .map_err(|error| StepError::Invalid(format!("not base64: {error}")))?;
            Ok(Some(event.with(Payload::Bytes(decoded.into()))))
        }))
    }

    fn encoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|mut event: Event| {
            let encoded = BASE64.encode(&event.take_bytes());
            Ok(Some(event.with(Payload::Bytes(encoded.into()))))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{give, ok};
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_and_encoded_again() {
        assert_eq!(
            give(&mut *Base64.decoder().unwrap(), "c25vdA=="),
            ok(&["snot"])
        );
        assert_eq!(
            give(&mut *Base64.encoder().unwrap(), "snot"),
            ok(&["c25vdA=="])
        );
    }

    #[test]
    fn what_is_not_base64_is_refused_and_the_next_event_passes() {
        let mut base64 = Base64.decoder().unwrap();
        assert!(matches!(
            &*give(&mut *base64, "c25vdA="),
            [Err(StepError::Invalid(_))]
        ));
        assert_eq!(give(&mut *base64, "YQ=="), ok(&["a"]));
    }
}
