//! The headers of a remote request, in the order and the case in which they were given, and those of its response.
//!
//! Sites look at both to tell browsers from programs, so the specification wants them kept.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::Value;

use super::{HEADERS, latin1};
use crate::error::BareError;

/// Most headers of a request or response, repeats counted.
pub(crate) const MAX_FIELDS: usize = 256;

/// The headers of a remote request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(Vec<Field>);

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: HeaderName,
    /// The name in its own case.
    written: String,
    values: Vec<HeaderValue>,
}

impl Fields {
    /// Reads the JSON object of `X-Bare-Headers`.
    ///
    /// # Errors
    /// Its JSON, a member that is no string or list of strings, or one that HTTP cannot carry.
    pub(crate) fn parse(json: &str) -> Result<Self, BareError> {
        let members: Members = serde_json::from_str(json).map_err(|error| {
            BareError::invalid(HEADERS, format!("Header contained invalid JSON. ({error})"))
        })?;
        Self::read(members)
    }

    pub(crate) fn read(members: Members) -> Result<Self, BareError> {
        let mut fields = Self::default();
        let mut count = 0;
        for (name, value) in members.0 {
            let values = match value {
                Value::String(value) => vec![value],
                Value::Array(values) => strings(values).ok_or_else(|| not_strings(&name))?,
                _ => return Err(not_strings(&name)),
            };
            count += values.len().max(1);
            if count > MAX_FIELDS {
                let why = format!("More than {MAX_FIELDS} headers.");
                return Err(BareError::invalid(HEADERS, why));
            }
            let values = values.iter().map(|value| header_value(value)).collect();
            let (Some(values), Ok(known)) = (values, name.parse()) else {
                return Err(BareError::illegal_header(&name));
            };
            fields.put(known, name, values);
        }
        Ok(fields)
    }

    /// Sets a header, instead of any of the same name.
    pub(crate) fn set(&mut self, name: HeaderName, written: &str, value: HeaderValue) {
        self.put(name, written.to_owned(), vec![value]);
    }

    /// Sets a header that is not there yet.
    pub(crate) fn default_to(&mut self, name: &HeaderName, written: &str, value: HeaderValue) {
        if self.get(name).is_none() {
            self.set(name.clone(), written, value);
        }
    }

    fn put(&mut self, name: HeaderName, written: String, values: Vec<HeaderValue>) {
        let field = Field {
            name,
            written,
            values,
        };
        match self.0.iter_mut().find(|known| known.name == field.name) {
            Some(known) => *known = field,
            None => self.0.push(field),
        }
    }

    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|field| field.name != *name);
    }

    /// The first value of that name.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let field = self.0.iter().find(|field| field.name == *name)?;
        field.values.first()
    }

    /// Copies what the client itself sent under these names, where it did.
    pub(crate) fn forward<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a HeaderName>,
        from: &HeaderMap,
    ) {
        for name in names {
            let values: Vec<_> = from.get_all(name).iter().cloned().collect();
            if !values.is_empty() {
                self.put(name.clone(), name.as_str().to_owned(), values);
            }
        }
    }

    /// How many bytes they take, roughly.
    pub(crate) fn size(&self) -> usize {
        let size = |field: &Field| -> usize {
            let values: usize = field.values.iter().map(|value| value.len() + 64).sum();
            field.written.len() + 64 + values
        };
        self.0.iter().map(size).sum()
    }

    /// For the HTTP library, with the names in their own case, one for each value.
    pub(crate) fn into_map(self) -> (HeaderMap, Vec<String>) {
        let mut map = HeaderMap::with_capacity(self.0.len());
        let mut names = Vec::with_capacity(self.0.len());
        for field in self.0 {
            for value in field.values {
                map.append(field.name.clone(), value);
                names.push(field.written.clone());
            }
        }
        (map, names)
    }
}

fn not_strings(name: &str) -> BareError {
    BareError::not_a_string(name)
}

fn strings(values: Vec<Value>) -> Option<Vec<String>> {
    let string = |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    values.into_iter().map(string).collect()
}

/// A string of JavaScript as a value: one byte a character, as Node writes it.
fn header_value(text: &str) -> Option<HeaderValue> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    HeaderValue::from_bytes(&bytes.ok()?).ok()
}

/// An object of JSON with its members in order. One that comes twice is there twice.
#[derive(Debug, Clone)]
pub(crate) struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The headers of a remote's response as `X-Bare-Headers`: in the remote's own case and order, repeats joined by commas
/// but for Set-Cookie, which is a list. ASCII only: what is not is escaped.
pub(crate) fn to_json(fields: &[(String, Vec<u8>)]) -> String {
    let mut grouped: Vec<(&str, Vec<String>)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let value = latin1(value);
        let known = grouped
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        match known {
            Some((_, values)) => values.push(value),
            None => grouped.push((name, vec![value])),
        }
    }
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let written = (|| {
        let mut map = serializer.serialize_map(Some(grouped.len()))?;
        for (name, values) in &grouped {
            if name.eq_ignore_ascii_case("set-cookie") {
                map.serialize_entry(name, values)?;
            } else {
                map.serialize_entry(name, &values.join(", "))?;
            }
        }
        map.end()
    })();
    written.expect("strings are JSON");
    ascii(&String::from_utf8(json).expect("JSON is UTF-8"))
}

/// Characters beyond ASCII stand only inside strings, where JSON can escape them.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\x7f' {
            escaped.push(c);
        } else {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<(HeaderMap, Vec<String>), (String, String)> {
        Fields::parse(json)
            .map(Fields::into_map)
            .map_err(|error| (error.code.as_str().to_owned(), error.id))
    }

    #[test]
    fn names_keep_their_case_and_lists_become_repeats() {
        let (map, names) = parse(r#"{"X-ODD-cAsE":"1","b":["2","3"],"caf":"caf\u00e9"}"#).unwrap();
        assert_eq!(names, ["X-ODD-cAsE", "b", "b", "caf"]);
        assert_eq!(map["x-odd-case"], "1");
        assert_eq!(map["caf"].as_bytes(), b"caf\xe9");
        assert_eq!(map.get_all("b").iter().count(), 2);
    }

    #[test]
    fn what_cannot_be_headers_is_told_by_code_and_id() {
        let header = "request.headers.x-bare-headers";
        let many: Vec<String> = (0..300).map(|n| format!("\"a{n}\":\"\"")).collect();
        for (json, code, id) in [
            ("", "INVALID_BARE_HEADER", header),
            ("{", "INVALID_BARE_HEADER", header),
            ("null", "INVALID_BARE_HEADER", header),
            ("[]", "INVALID_BARE_HEADER", header),
            (
                &format!("{{{}}}", many.join(",")),
                "INVALID_BARE_HEADER",
                header,
            ),
            (r#"{"Num":1}"#, "INVALID_BARE_HEADER", "bare.headers.Num"),
            (
                r#"{"Arr":["a",1]}"#,
                "INVALID_BARE_HEADER",
                "bare.headers.Arr",
            ),
            (r#"{"Na me":"x"}"#, "INVALID_HEADER", "bare.headers.Na me"),
            (r#"{"":"x"}"#, "INVALID_HEADER", "bare.headers."),
            (r#"{"A":"x\r\ny: z"}"#, "INVALID_HEADER", "bare.headers.A"),
            (r#"{"A":"\u20ac"}"#, "INVALID_HEADER", "bare.headers.A"),
        ] {
            let told = parse(json).unwrap_err();
            assert_eq!(told, (code.to_owned(), id.to_owned()), "{json}");
        }
    }

    #[test]
    fn a_name_is_there_once_whatever_its_case() {
        let (map, names) = parse(r#"{"Accept":"1","accept":"2"}"#).unwrap();
        assert_eq!(
            (names, &map["accept"]),
            (vec!["accept".to_owned()], &"2".parse().unwrap())
        );
    }

    #[test]
    fn a_response_is_told_in_its_own_case_with_cookies_as_a_list() {
        let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let json = to_json(&[
            field("X-Weird-CASE", b"a"),
            field("Set-Cookie", b"one"),
            field("vary", b"x"),
            field("Vary", b"y"),
            field("X-Latin", b"caf\xe9"),
        ]);
        let wanted =
            r#"{"X-Weird-CASE":"a","Set-Cookie":["one"],"vary":"x, y","X-Latin":"caf\u00e9"}"#;
        assert_eq!(json, wanted);
    }
}
