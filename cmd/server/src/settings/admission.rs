//! Who may come in, under which names, and what policies may ask for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use runtime::config::{Count, CountLimit, List, Period, Scalar, deserialize_scalar};
use runtime::serde_as_a_word;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uplink::{AdmissionMode, Ceiling, Token};

serde_as_a_word!(Mode, FilePath, JoinToken, NameServer, PolicyField);

/// `[admission]`: agents on their way to a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admission {
    pub(crate) mode: Mode,
    /// Keys that are listed, denied, and granted names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys_file: Option<FilePath>,
    /// Join tokens, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<FilePath>,
    /// Join tokens beside those of the file.
    #[serde(skip_serializing_if = "no_tokens")]
    pub(crate) tokens: List<JoinToken>,
    /// Hosts outside the domain may be proved by the DNS.
    pub(crate) custom_domains: Switch,
    /// Who is asked for that; the system's, when there are none.
    pub(crate) name_servers: List<NameServer>,
    pub(crate) handshake_timeout: Period,
    pub(crate) max_pending: Count,
    pub(crate) max_pending_per_address: Count,
    pub(crate) max_links: CountLimit,
    pub(crate) max_links_per_address: Count,
    pub(crate) max_links_per_key: CountLimit,
    pub(crate) registrations_per_minute: CountLimit,
}

/// `[policy]`: the ceiling over what agents ask the edge to enforce.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PolicyCeiling {
    pub(crate) forbid: List<PolicyField>,
    pub(crate) max_credentials: Count,
}

impl Default for Admission {
    fn default() -> Self {
        let limit = |number| CountLimit(std::num::NonZeroU32::new(number));
        Self {
            mode: Mode::default(),
            keys_file: None,
            token_file: None,
            tokens: List::default(),
            custom_domains: Switch(false),
            name_servers: List::default(),
            handshake_timeout: Period::secs(10),
            max_pending: Count::of(1024),
            max_pending_per_address: Count::of(16),
            max_links: CountLimit(None),
            max_links_per_address: Count::of(256),
            max_links_per_key: limit(256),
            registrations_per_minute: limit(120),
        }
    }
}

impl Default for PolicyCeiling {
    fn default() -> Self {
        Self {
            forbid: List::default(),
            max_credentials: Count::of(8),
        }
    }
}

impl PolicyCeiling {
    /// The ceiling as the uplink enforces it.
    pub(crate) fn ceiling(&self) -> Ceiling {
        let mut ceiling = Ceiling::default();
        for field in &self.forbid.0 {
            ceiling
                .forbid(field.0)
                .expect("only fields of policies are read");
        }
        ceiling.limit_credentials(self.max_credentials.as_usize());
        ceiling
    }
}

fn no_tokens(tokens: &List<JoinToken>) -> bool {
    tokens.0.is_empty()
}

/// Who is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Mode(pub(crate) AdmissionMode);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self(AdmissionMode::Open)),
            "listed" => Ok(Self(AdmissionMode::Listed)),
            _ => Err(format!("{text:?} is no mode of admission")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            AdmissionMode::Open => "open",
            AdmissionMode::Listed => "listed",
        })
    }
}

impl Scalar for Mode {
    const WANTED: &'static str = "open or listed";
}

/// A file that a setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(PathBuf);

impl FilePath {
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("nothing is no file".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Scalar for FilePath {
    const WANTED: &'static str = "the path of a file";
}

/// A join token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct JoinToken(pub(crate) Token);

impl FromStr for JoinToken {
    type Err = uplink::NotAToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Token::new(text).map(Self)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Scalar for JoinToken {
    const WANTED: &'static str = "what `adit-server token new` prints";
}

/// A name server; its port is 53 unless it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameServer(pub(crate) SocketAddr);

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = || text.parse().map(|address: IpAddr| (address, 53).into());
        text.parse()
            .or_else(|_| alone())
            .map(Self)
            .map_err(|_| format!("{text:?} is no address of a name server"))
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for NameServer {
    const WANTED: &'static str = "an IP address such as 9.9.9.9, or with a port, 127.0.0.1:5353";
}

/// A field of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyField(&'static str);

impl FromStr for PolicyField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields = Ceiling::fields().iter();
        let known = fields.find(|field| **field == text);
        known
            .map(|field| Self(field))
            .ok_or_else(|| format!("no policy has a field {text:?}"))
    }
}

impl fmt::Display for PolicyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Scalar for PolicyField {
    const WANTED: &'static str = "basic_auth, allow_ips, deny_ips, request_headers, response_headers, cors, strip_prefix, \
        add_prefix, https_only, compress, no_robots or webhook";
}

/// Yes or no: `true` and `false`, as a word too, since the environment has no other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is neither"))
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Switch {
    const WANTED: &'static str = "true or false";
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(self.0)
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct YesOrNo;

        impl Visitor<'_> for YesOrNo {
            type Value = Switch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Switch::WANTED)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Switch, E> {
                Ok(Switch(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Switch, E> {
                deserialize_scalar(de::value::StrDeserializer::new(text))
            }
        }

        from.deserialize_any(YesOrNo)
    }
}
