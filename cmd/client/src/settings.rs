//! The settings of an agent: read from their layers, checked, and turned into what the agent takes.

mod files;
mod flags;
mod hostname;
mod passwords;
mod policy;
mod secret;
mod tunnels;
mod words;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use agent::{HostHeader, Hostname, Links, ProxyProtocol, TargetProtocol, Transports};
use identity::{Mode, canonical_host};
use messages::{Policy, Secret};
use runtime::config::{ConfigError, Layers, Loaded};
use runtime::logging::LogFormat;
use serde::Deserialize;
use tunnel::ws::{Endpoint, client_config};

use self::files::WrittenFiles;
pub(crate) use self::flags::Flags;
pub(crate) use self::hostname::Spelling;
use self::policy::WrittenPolicy;
pub(crate) use self::secret::Secrets;
use self::tunnels::Kind;
pub(crate) use self::tunnels::{Service, Tunnel, refuse_variables};
use self::words::{LinksWord, ModeWord, Switch, TransportWord};

/// The variables that are settings here. Others that begin alike are the server's.
const VARIABLES: [&str; 17] = [
    "ADIT_SERVER",
    "ADIT_KEY",
    "ADIT_NAME",
    "ADIT_SUBDOMAIN",
    "ADIT_CUSTOM_DOMAIN",
    "ADIT_AUTO_NAME",
    "ADIT_EXPECT_DOMAIN",
    "ADIT_TOKEN_FILE",
    "ADIT_MODE",
    "ADIT_LINKS",
    "ADIT_TRANSPORT",
    "ADIT_CA_FILE",
    "ADIT_SELF_CHECK",
    "ADIT_TARGET_PROTOCOL",
    "ADIT_HOST_HEADER",
    "ADIT_SEND_PROXY_PROTOCOL",
    "ADIT_LOG_FORMAT",
];

/// A variable whose field has another name.
const BASIC_AUTH_FILE: (&str, &str) = ("ADIT_BASIC_AUTH_FILE", "policy.basic_auth_file");

/// Where agents go that are told nothing: a server on the same machine, as it comes.
const DEFAULT_SERVER: &str = "http://localhost:8080";

/// Environment variables, as the process has them.
pub(crate) type Variable = (OsString, OsString);

/// The settings, as written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Of a tunnel of several.
    r#type: Option<Kind>,
    target: Option<String>,
    server: String,
    key: Option<PathBuf>,
    name: Option<String>,
    subdomain: Option<String>,
    custom_domain: Option<String>,
    auto_name: Switch,
    expect_domain: Option<String>,
    token_file: Option<PathBuf>,
    mode: ModeWord,
    links: LinksWord,
    transport: TransportWord,
    ca_file: Option<PathBuf>,
    self_check: Switch,
    target_protocol: Option<String>,
    host_header: Option<String>,
    send_proxy_protocol: Option<String>,
    log_format: LogFormat,
    files: WrittenFiles,
    /// Of a tunnel of several.
    bare: Flags,
    policy: WrittenPolicy,
    relay: relay::Settings,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            r#type: None,
            target: None,
            server: DEFAULT_SERVER.to_owned(),
            key: None,
            name: None,
            subdomain: None,
            custom_domain: None,
            auto_name: Switch::default(),
            expect_domain: None,
            token_file: None,
            mode: ModeWord(Mode::default()),
            links: LinksWord(Links::default()),
            transport: TransportWord(Transports::default()),
            ca_file: None,
            self_check: Switch::default(),
            target_protocol: None,
            host_header: None,
            send_proxy_protocol: None,
            log_format: LogFormat::default(),
            files: WrittenFiles::default(),
            bare: Flags::default(),
            policy: WrittenPolicy::default(),
            relay: relay::Settings::default(),
        }
    }
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Endpoint,
    pub(crate) key: PathBuf,
    /// Of a further tunnel, where the hostname is one.
    pub(crate) name: Option<String>,
    pub(crate) hostname: Hostname,
    pub(crate) expect_domain: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) links: Links,
    pub(crate) transports: Transports,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) self_check: bool,
    pub(crate) target_protocol: TargetProtocol,
    pub(crate) host_header: HostHeader,
    pub(crate) send_proxy_protocol: Option<ProxyProtocol>,
    pub(crate) files: ::files::Config,
    pub(crate) log_format: LogFormat,
    /// What is checked when it is wanted, because it takes reading files.
    loaded: Loaded<Written>,
}

/// The layers that the environment makes up. A variable that is blank is not set, and blanks around a value are none of it.
pub(crate) fn environment(
    variables: impl IntoIterator<Item = Variable>,
) -> Result<Layers, ConfigError> {
    let mut layers = Layers::new();
    let mut ours = Vec::new();
    let mut hostnames = Vec::new();
    for (name, value) in variables {
        let Some(known) = name.to_str().filter(|name| is_ours(name)) else {
            continue;
        };
        let Some(text) = value.to_str().map(str::trim) else {
            // Refused by its name.
            ours.push((name, value));
            continue;
        };
        if text.is_empty() {
            continue;
        }
        if known == BASIC_AUTH_FILE.0 {
            layers = layers.flag(BASIC_AUTH_FILE.1, known, Some(text));
            continue;
        }
        if let Some(spelling) = Spelling::of_variable(known, text) {
            hostnames.push((spelling, known.to_owned(), text.to_owned()));
        }
        ours.push((name.clone(), text.into()));
    }
    // One decision is above the file's. Of two none is, and the complaint names them.
    if let [(spelling, variable, value)] = &*hostnames {
        layers = spelling.decide(layers, variable, value);
    }
    layers.environment("ADIT_", ours, &[])
}

fn is_ours(variable: &str) -> bool {
    VARIABLES.contains(&variable) || variable == BASIC_AUTH_FILE.0
}

impl Settings {
    /// Reads and checks what the layers come to.
    ///
    /// # Errors
    /// The first field that is wrong, where it came from, and what to write instead.
    pub(crate) fn load(layers: Layers) -> Result<Self, ConfigError> {
        let settings = Self::read(layers)?;
        tunnels::refuse_its_fields(&settings.loaded)?;
        Ok(settings)
    }

    fn read(layers: Layers) -> Result<Self, ConfigError> {
        let loaded: Loaded<Written> = layers.load()?;
        let written = &loaded.settings;
        let server = written.server.parse();
        let server = server.map_err(|error| {
            loaded.fault(
                "server",
                format!("{error}; write https://host or http://host:port"),
            )
        })?;
        let hostname = hostname::read(&loaded)?;
        let expect_domain = written
            .expect_domain
            .as_deref()
            .map(canonical_host)
            .transpose();
        let expect_domain =
            expect_domain.map_err(|error| loaded.fault("expect_domain", error.to_string()))?;
        let key = written.key.clone().or_else(default_key);
        let key = key.ok_or_else(|| {
            loaded.fault(
                "key",
                "there is no home directory to keep it in; write the path of a file",
            )
        })?;
        Ok(Self {
            server,
            key,
            name: match &hostname {
                Hostname::Named(name) => Some(name.clone()),
                _ => None,
            },
            hostname,
            expect_domain,
            mode: written.mode.0,
            links: written.links.0,
            transports: written.transport.0,
            ca_file: written.ca_file.clone(),
            self_check: written.self_check.0,
            target_protocol: word(&loaded, "target_protocol", written.target_protocol.as_ref())?
                .unwrap_or_default(),
            host_header: word(&loaded, "host_header", written.host_header.as_ref())?
                .unwrap_or_default(),
            send_proxy_protocol: word(
                &loaded,
                "send_proxy_protocol",
                written.send_proxy_protocol.as_ref(),
            )?,
            files: files::read(&loaded)?,
            log_format: written.log_format,
            loaded,
        })
    }

    /// The server's join token, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(crate) fn token(&self, secrets: &Secrets) -> Result<Option<Secret>, ConfigError> {
        secrets.token(&self.loaded)
    }

    /// What the server is to enforce, if anything; passwords are hashed for it, which takes a moment each.
    ///
    /// # Errors
    /// The first rule that is broken, and by which flag or field.
    pub(crate) fn policy(&self, secrets: &Secrets) -> Result<Option<Policy>, ConfigError> {
        policy::read(&self.loaded, secrets)
    }

    /// What the table `relay` says of a relay, and whom to trust where its upstream has TLS.
    ///
    /// # Errors
    /// The first field that is wrong; certificates that cannot be read.
    pub(crate) fn relay(&self) -> anyhow::Result<relay::Config> {
        let checked = self.loaded.settings.relay.check();
        let mut config = checked.map_err(|error| {
            let field = format!("relay.{}", error.field);
            self.loaded.fault(&field, error.problem)
        })?;
        if config.upstream.is_tls() {
            config.tls = Some(client_config(self.ca_file.as_deref())?);
        }
        Ok(config)
    }
}

/// A setting that says itself what is wrong with it.
fn word<T: FromStr<Err: fmt::Display>>(
    loaded: &Loaded<Written>,
    field: &str,
    text: Option<&String>,
) -> Result<Option<T>, ConfigError> {
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|error: T::Err| loaded.fault(field, error.to_string()))
}

/// `adit/key.pem` where the XDG base directory specification puts configuration: relative paths there are invalid.
fn default_key() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config.join("adit/key.pem"))
}

#[cfg(test)]
mod tests;
