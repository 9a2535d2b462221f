//! JSON in which no member is named twice.
//!
//! Two readers of `{"aud":"a","aud":"b"}` may see two different texts, and RFC 7515 section 4 lets a verifier refuse
//! it. The usual parser keeps the last one silently, so objects are read here, at every depth. The depth itself is
//! bounded by the parser (128), the size by the caller.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

use crate::jws::JwsError;

/// Reads one JSON object, which must be all there is in `bytes`; what is none is malformed for the reason given.
pub(crate) fn object(bytes: &[u8], reason: &'static str) -> Result<Map<String, Value>, JwsError> {
    match serde_json::from_slice::<Unrepeated>(bytes) {
        Ok(Unrepeated(Value::Object(members))) => Ok(members),
        // Any value is welcome to the visitor, so the only data error is its own.
        Err(error) if error.classify() == Category::Data => Err(JwsError::RepeatedMember),
        _ => Err(JwsError::Malformed(reason)),
    }
}

/// A value without repeated members at any depth.
struct Unrepeated(Value);

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unrepeated(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unrepeated(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("repeated member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_reads_as_the_usual_parser_reads_it() {
        let text =
            br#" {"a":[1,-2,2.5,null,true,"\u00e9"],"b":{"a":{},"c":18446744073709551615}} "#;
        let usual: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(object(text, "none").map(Value::Object), Ok(usual));
    }

    #[test]
    fn a_repeated_member_is_found_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#,
        ] {
            assert_eq!(
                object(text.as_bytes(), "none"),
                Err(JwsError::RepeatedMember),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_one_whole_object_is_refused() {
        let deep = format!("{{\"a\":{}", "[".repeat(8000));
        for text in [
            "",
            "1",
            "[]",
            "{} {}",
            "{",
            r#"{"a":}"#,
            "{\"a\":\"\u{1}\"}",
            &deep,
        ] {
            assert_eq!(
                object(text.as_bytes(), "none"),
                Err(JwsError::Malformed("none")),
                "{text:.20}"
            );
        }
        assert_eq!(
            object(b"{\"a\":\"\xff\"}", "none"),
            Err(JwsError::Malformed("none"))
        );
    }
}
