//! What became of an event that had no answer, and how its sender is told: the sentences that the reference has, as a
//! message, or the code that says the same, as a close frame.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::socket::closing;
use crate::step::StepError;
use crate::upstream::Upstream;

/// Which event: source, stream, number. There is one source; a visitor's WebSocket is a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    /// Counted by the relay, from 0.
    pub(crate) visitor: u64,
    /// Counted by the visitor's WebSocket, from 0.
    pub(crate) number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1:{}:{}", self.visitor, self.number)
    }
}

/// An event that failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) id: EventId,
    pub(crate) correlation: Option<Value>,
    pub(crate) why: Why,
}

/// Why an event failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Why {
    /// What the visitor said is not what the pipeline reads.
    Incoming(StepError),
    /// It cannot be put together for the upstream.
    Serialization(StepError),
    /// What the upstream said is not what the pipeline reads, or cannot be put together for the visitor.
    Outgoing(StepError),
    /// There is no upstream.
    NoConnection,
    /// The upstream was lost while the event was sent.
    Sending(String),
    /// The upstream was lost before it answered.
    Receiving(String),
    /// It took too long.
    NoAnswer(Duration),
    /// The relay is going.
    Going,
}

/// What is told, in this order.
#[derive(Serialize)]
struct Told {
    error: String,
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<Value>,
}

impl Failure {
    /// As a text message.
    pub(crate) fn message(self, upstream: &Upstream) -> Message {
        let told = Told {
            error: self.why.sentence(upstream),
            event_id: self.id.to_string(),
            correlation: self.correlation,
        };
        // Strings and a value that was JSON before are JSON.
        Message::text(serde_json::to_string(&told).unwrap_or_default())
    }
}

impl Why {
    fn sentence(&self, upstream: &Upstream) -> String {
        match self {
            Self::Incoming(error) => error.to_string(),
            Self::Serialization(error) => {
                format!("Error during serialization (codec/postprocessors): {error}")
            }
            Self::Outgoing(error) => {
                format!("Error deserializing Response message (codec/preprocessors): {error}")
            }
            Self::NoConnection => format!("No connection available for {upstream}."),
            Self::Sending(error) => {
                format!("Error sending event to server {upstream}: {error}.")
            }
            Self::Receiving(error) => {
                format!("Error while receiving reply from server {upstream}: {error}")
            }
            Self::NoAnswer(time) => {
                format!(
                    "No answer from server {upstream} within {} s.",
                    time.as_secs()
                )
            }
            Self::Going => "The relay is going down.".to_owned(),
        }
    }

    /// RFC 6455, 7.4.1. Not the registry's 1014 for gateways: the library takes that for a breach of the protocol when
    /// it reads it, at the other end of a tunnel and in many a visitor. Nothing here names the upstream.
    pub(crate) fn close(&self) -> CloseFrame {
        match self {
            Self::Incoming(StepError::Invalid(why)) => closing(1007, why.clone()),
            Self::Incoming(StepError::TooLarge(why)) => closing(1009, why.clone()),
            Self::Incoming(StepError::Failed(why)) => closing(1011, why.clone()),
            Self::Serialization(error) | Self::Outgoing(error) => closing(1011, error.to_string()),
            Self::NoConnection => closing(1011, "the upstream cannot be reached"),
            Self::Sending(_) | Self::Receiving(_) => closing(1011, "the upstream was lost"),
            Self::NoAnswer(_) => closing(1011, "the upstream did not answer in time"),
            Self::Going => closing(1001, "the relay is going down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_have_the_sentences_and_the_keys_of_the_reference() {
        let upstream = "ws://localhost:8139".parse().unwrap();
        let odd = || StepError::Invalid("odd".to_owned());
        let lost = || "gone".to_owned();
        for (why, sentence) in [
            (
                Why::NoConnection,
                "No connection available for ws://localhost:8139.",
            ),
            (
                Why::Sending(lost()),
                "Error sending event to server ws://localhost:8139: gone.",
            ),
            (
                Why::Receiving(lost()),
                "Error while receiving reply from server ws://localhost:8139: gone",
            ),
            (
                Why::Serialization(odd()),
                "Error during serialization (codec/postprocessors): odd",
            ),
            (
                Why::Outgoing(odd()),
                "Error deserializing Response message (codec/preprocessors): odd",
            ),
            (Why::Incoming(odd()), "odd"),
        ] {
            let id = EventId {
                visitor: 2,
                number: 7,
            };
            let told = Failure {
                id,
                correlation: None,
                why,
            }
            .message(&upstream);
            let expected = format!(r#"{{"error":"{sentence}","event_id":"1:2:7"}}"#);
            assert_eq!(told, Message::text(expected));
        }
    }

    #[test]
    fn correlation_is_copied_to_errors_whatever_it_is() {
        let upstream = "ws://localhost:8139".parse().unwrap();
        for value in [
            json!("text"),
            json!([1, "two"]),
            json!({"a": null}),
            json!(null),
        ] {
            let id = EventId {
                visitor: 0,
                number: 0,
            };
            let failure = Failure {
                id,
                correlation: Some(value.clone()),
                why: Why::NoConnection,
            };
            let told = failure.message(&upstream).into_text().unwrap();
            let told: Value = serde_json::from_str(&told).unwrap();
            assert_eq!(told["correlation"], value);
        }
    }

    #[test]
    fn each_error_has_its_close_code_and_no_reason_names_the_upstream() {
        let step = |error: fn(String) -> StepError| error("odd".to_owned());
        for (why, code) in [
            (Why::Incoming(step(StepError::Invalid)), 1007),
            (Why::Incoming(step(StepError::TooLarge)), 1009),
            (Why::Incoming(step(StepError::Failed)), 1011),
            (Why::Outgoing(step(StepError::Invalid)), 1011),
            (Why::NoConnection, 1011),
            (Why::Sending("localhost refused".to_owned()), 1011),
            (Why::Receiving("localhost reset".to_owned()), 1011),
            (Why::NoAnswer(Duration::from_secs(1)), 1011),
            (Why::Going, 1001),
        ] {
            let frame = why.close();
            assert_eq!(u16::from(frame.code), code, "{why:?}");
            assert!(!frame.reason.contains("localhost"), "{why:?}");
        }
    }
}
