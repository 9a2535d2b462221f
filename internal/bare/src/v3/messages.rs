//! The two messages of the handshake inside a WebSocket.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::headers::fields::{Fields, Members};
use crate::target::{Kind, Target};

/// What a client says first.
#[derive(Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum Written {
    Connect {
        remote: String,
        protocols: Vec<String>,
        headers: Members,
        forward_headers: Vec<String>,
    },
}

/// The same, checked.
#[derive(Debug, PartialEq)]
pub(super) struct Connect {
    pub(super) target: Target,
    pub(super) protocols: Vec<String>,
    pub(super) fields: Fields,
    pub(super) forward: Vec<HeaderName>,
}

impl Connect {
    /// `None` for anything that the specification does not allow: the connection is then closed without a word.
    pub(super) fn read(text: &str) -> Option<Self> {
        let Written::Connect {
            remote,
            protocols,
            headers,
            forward_headers,
        } = serde_json::from_str(text).ok()?;
        let names = forward_headers.iter().map(|name| name.parse());
        let is_token = |protocol: &String| protocol.parse::<HeaderName>().is_ok();
        if !protocols.iter().all(is_token) {
            return None;
        }
        Some(Self {
            target: Target::of_url(&remote, Kind::Socket)?,
            protocols,
            fields: Fields::read(headers).ok()?,
            forward: names.collect::<Result<_, _>>().ok()?,
        })
    }
}

/// What the server answers, once the remote is open.
#[derive(Serialize)]
#[serde(tag = "type", rename = "open", rename_all = "camelCase")]
pub(super) struct Open {
    /// The subprotocol that the remote chose, or nothing.
    pub(super) protocol: String,
    pub(super) set_cookies: Vec<String>,
}

impl Open {
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_connect_message_of_the_right_types_is_taken() {
        let good = r#"{"type":"connect","remote":"ws://a.example/x","protocols":["p"],"headers":{"Host":"a"},"forwardHeaders":["x"]}"#;
        let connect = Connect::read(good).unwrap();
        assert_eq!(
            (connect.target.port, &*connect.protocols),
            (80, &["p".to_owned()][..])
        );
        for (from, to) in [
            ("{", ""),
            ("connect", "open"),
            ("ws://", "http://"),
            ("ws://a.example/x", "nowhere"),
            (r#""type":"connect","#, ""),
            (r#""remote":"ws://a.example/x","#, ""),
            (r#""protocols":["p"],"#, ""),
            (r#""headers":{"Host":"a"},"#, ""),
            (r#","forwardHeaders":["x"]"#, ""),
            (r#"["p"]"#, r#""p""#),
            (r#"["p"]"#, r#"["p, q"]"#),
            (r#"{"Host":"a"}"#, r#"{"Host":1}"#),
            (r#"{"Host":"a"}"#, "null"),
            (r#"["x"]"#, "[1]"),
            (r#"["x"]"#, r#"["a b"]"#),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_eq!(Connect::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_answer_is_as_the_specification_writes_it() {
        let open = Open {
            protocol: "p".to_owned(),
            set_cookies: vec!["a=b".to_owned()],
        };
        let wanted = r#"{"type":"open","protocol":"p","setCookies":["a=b"]}"#;
        assert_eq!(open.json(), wanted);
    }
}
