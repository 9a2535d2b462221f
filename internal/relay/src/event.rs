//! What travels through a pipeline.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

/// One message, line or record on its way between a visitor and the upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What it says.
    pub payload: Payload,
    /// Whether it came in a binary frame, and so leaves in one.
    pub binary: bool,
    /// What the one who asks knows it by. It is copied to the answer and to errors.
    pub correlation: Option<Value>,
}

impl Event {
    /// Bytes as they came.
    #[must_use]
    pub fn bytes(data: impl Into<Bytes>, binary: bool) -> Self {
        Self {
            payload: Payload::Bytes(data.into()),
            binary,
            correlation: None,
        }
    }

    /// The same event with another payload.
    #[must_use]
    pub fn with(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    /// Takes the payload out, as bytes, and leaves none.
    pub fn take_bytes(&mut self) -> Bytes {
        let nothing = Payload::Bytes(Bytes::new());
        std::mem::replace(&mut self.payload, nothing).into_bytes()
    }

    /// The JSON in it, where a step has read it as such.
    #[must_use]
    pub fn json(&self) -> Option<&Value> {
        match &self.payload {
            Payload::Json(json) => Some(json.value()),
            Payload::Bytes(_) => None,
        }
    }

    /// [`Event::json`], to change it.
    pub fn json_mut(&mut self) -> Option<&mut Value> {
        match &mut self.payload {
            Payload::Json(json) => Some(json.value_mut()),
            Payload::Bytes(_) => None,
        }
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// As it came, or as a step made it.
    Bytes(Bytes),
    /// Read as JSON.
    Json(Json),
}

impl Payload {
    /// As bytes: JSON becomes compact text.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Json(json) => json.into_bytes(),
        }
    }
}

/// A JSON value (RFC 8259) that remembers how it was written: what nothing changed leaves byte for byte as it came, so
/// that numbers beyond 64 bits, repeated keys and the order of keys survive the way.
#[derive(Clone, PartialEq)]
pub struct Json {
    value: Value,
    written: Option<Bytes>,
}

impl Json {
    /// Reads text.
    ///
    /// # Errors
    /// It is not JSON, or is nested deeper than 128 levels.
    pub fn read(text: Bytes) -> Result<Self, serde_json::Error> {
        let value = serde_json::from_slice(&text)?;
        // Line breaks between tokens would break a line in two.
        let written = (!text.iter().any(u8::is_ascii_control)).then_some(text);
        Ok(Self { value, written })
    }

    /// What it says.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What it says, to change it. It is written anew then, compactly.
    pub fn value_mut(&mut self) -> &mut Value {
        self.written = None;
        &mut self.value
    }

    fn into_bytes(self) -> Bytes {
        self.written
            .unwrap_or_else(|| self.value.to_string().into())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self {
            value,
            written: None,
        }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Json {
        Json::read(text.into()).unwrap()
    }

    #[test]
    fn json_that_nobody_changed_leaves_as_it_came() {
        let text = r#"{"b": 123456789012345678901234567890, "a": 1.0, "a": 2}"#;
        assert_eq!(Payload::Json(read(text)).into_bytes(), text);
    }

    #[test]
    fn json_that_was_changed_or_has_line_breaks_is_compact() {
        let mut json = read(r#"{ "a": 1 }"#);
        json.value_mut()["a"] = 2.into();
        assert_eq!(json.into_bytes(), r#"{"a":2}"#);
        assert_eq!(read("{\n  \"a\": 1\n}\n").into_bytes(), r#"{"a":1}"#);
    }
}
