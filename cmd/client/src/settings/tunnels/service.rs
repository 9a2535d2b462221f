//! What a tunnel publishes: its type, its target, and the settings that only such a type has.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use agent::{HttpTargetConfig, TargetUrl};
use runtime::config::{ConfigError, Loaded, Scalar};
use runtime::files::Print;
use runtime::serde_as_a_word;

use crate::args::BareFlags;

use super::super::{Flags, Settings, Written};

/// What kind of thing is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) enum Kind {
    #[default]
    Http,
    Files,
    Bare,
    Relay,
}

impl Kind {
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("http", Self::Http),
        ("files", Self::Files),
        ("bare", Self::Bare),
        ("relay", Self::Relay),
    ];

    /// Settings that only one kind has.
    pub(super) const FIELDS: [(&'static str, Self); 6] = [
        ("target_protocol", Self::Http),
        ("host_header", Self::Http),
        ("send_proxy_protocol", Self::Http),
        ("files", Self::Files),
        ("bare", Self::Bare),
        ("relay", Self::Relay),
    ];
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(word, _)| *word == text);
        known
            .map(|(_, kind)| *kind)
            .ok_or_else(|| format!("{text:?} is no type of a tunnel"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(_, kind)| kind == self);
        f.write_str(known.map_or("", |(word, _)| word))
    }
}

impl Scalar for Kind {
    const WANTED: &'static str = "http, files, bare or relay";
}

serde_as_a_word!(Kind);

/// What a tunnel publishes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Service {
    Http(TargetUrl, HttpTargetConfig),
    Files(PathBuf, ::files::Config),
    /// With what the file of its access key was like.
    Bare(Flags, Option<(PathBuf, Option<Print>)>),
    /// The upstream as lines for people have it, without a query; and all of its settings.
    Relay(String, Box<relay::Settings>),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url, _) => url.fmt(f),
            Self::Files(folder, _) => folder.display().fmt(f),
            Self::Bare(..) => f.write_str("a Bare server"),
            Self::Relay(upstream, _) => f.write_str(upstream),
        }
    }
}

impl Service {
    /// What the settings of one tunnel say, which may name files and services that are not there.
    ///
    /// # Errors
    /// The first thing that is wrong, where it stands, and what to write instead.
    pub(super) fn read(settings: &Settings, kind: Kind) -> Result<Self, ConfigError> {
        let loaded = &settings.loaded;
        let target = loaded.settings.target.as_deref();
        let wanted = match (kind, target) {
            (Kind::Bare, None) => return bare(loaded),
            (Kind::Bare, Some(_)) => {
                let problem = "a Bare server fetches from where its clients say; leave it out";
                return Err(loaded.fault("target", problem));
            }
            (Kind::Http, Some(target)) => return http(settings, target),
            (Kind::Files, Some(target)) => {
                return Ok(Self::Files(target.into(), settings.files.clone()));
            }
            (Kind::Relay, Some(target)) => return relay(loaded, target),
            (Kind::Http, None) => {
                "a port such as 3000, host:port, http://host[:port], or unix:/path/of.sock"
            }
            (Kind::Files, None) => "the path of a folder",
            (Kind::Relay, None) => "ws://host:port/path",
        };
        Err(loaded.fault("target", format!("there is none; write {wanted}")))
    }
}

fn http(settings: &Settings, target: &str) -> Result<Service, ConfigError> {
    let url = target.parse::<TargetUrl>();
    let url = url.map_err(|error| settings.loaded.fault("target", error.to_string()))?;
    let config = HttpTargetConfig {
        protocol: settings.target_protocol,
        host: settings.host_header.clone(),
        proxy_protocol: settings.send_proxy_protocol,
        ..HttpTargetConfig::default()
    };
    Ok(Service::Http(url, config))
}

fn relay(loaded: &Loaded<Written>, target: &str) -> Result<Service, ConfigError> {
    let upstream = target.parse::<relay::Upstream>();
    let upstream = upstream.map_err(|error| loaded.fault("target", error.to_string()))?;
    let settings = &loaded.settings.relay;
    let checked = settings.check();
    checked.map_err(|error| loaded.fault(&format!("relay.{}", error.field), error.problem))?;
    let settings = Box::new(settings.clone());
    Ok(Service::Relay(upstream.to_string(), settings))
}

/// A Bare server is all that it publishes.
fn bare(loaded: &Loaded<Written>) -> Result<Service, ConfigError> {
    let flags = &loaded.settings.bare;
    let parsed = flags.parse::<BareFlags>();
    let parsed =
        parsed.map_err(|error| loaded.fault(&format!("bare.{}", error.field), error.problem))?;
    let key = parsed.access_key_file.map(|file| {
        let print = Print::of(&file);
        (file, print)
    });
    Ok(Service::Bare(flags.clone(), key))
}
