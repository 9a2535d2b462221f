//! The settings of an agent: read from their layers, checked, and turned into what the agent takes.

mod words;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use agent::{Links, TargetProtocol};
use identity::{Mode, canonical_host, check_name};
use runtime::config::{ConfigError, Layers, Loaded};
use runtime::logging::LogFormat;
use serde::Deserialize;
use tunnel::ws::Endpoint;

use self::words::{LinksWord, ModeWord};

/// The variables that are settings here. Others that begin alike are the server's.
const VARIABLES: [&str; 9] = [
    "ADIT_SERVER",
    "ADIT_KEY",
    "ADIT_NAME",
    "ADIT_EXPECT_DOMAIN",
    "ADIT_MODE",
    "ADIT_LINKS",
    "ADIT_CA_FILE",
    "ADIT_TARGET_PROTOCOL",
    "ADIT_LOG_FORMAT",
];

/// Where agents go that are told nothing: a server on the same machine, as it comes.
const DEFAULT_SERVER: &str = "http://localhost:8080";

/// Environment variables, as the process has them.
pub(crate) type Variable = (OsString, OsString);

/// The settings, as written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    server: String,
    key: Option<PathBuf>,
    name: Option<String>,
    expect_domain: Option<String>,
    mode: ModeWord,
    links: LinksWord,
    ca_file: Option<PathBuf>,
    target_protocol: Option<String>,
    log_format: LogFormat,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            server: DEFAULT_SERVER.to_owned(),
            key: None,
            name: None,
            expect_domain: None,
            mode: ModeWord(Mode::default()),
            links: LinksWord(Links::default()),
            ca_file: None,
            target_protocol: None,
            log_format: LogFormat::default(),
        }
    }
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Endpoint,
    pub(crate) key: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) expect_domain: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) links: Links,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) target_protocol: TargetProtocol,
    pub(crate) log_format: LogFormat,
}

/// The layers that the environment makes up.
pub(crate) fn environment(
    variables: impl IntoIterator<Item = Variable>,
) -> Result<Layers, ConfigError> {
    let ours = variables
        .into_iter()
        .filter(|(name, _)| name.to_str().is_some_and(|name| VARIABLES.contains(&name)));
    Layers::new().environment("ADIT_", ours, &[])
}

impl Settings {
    /// Reads and checks what the layers come to.
    ///
    /// # Errors
    /// The first field that is wrong, where it came from, and what to write instead.
    pub(crate) fn load(layers: Layers) -> Result<Self, ConfigError> {
        let loaded: Loaded<Written> = layers.load()?;
        let written = &loaded.settings;
        let server = written.server.parse();
        let server = server.map_err(|error| {
            loaded.fault(
                "server",
                format!("{error}; write https://host or http://host:port"),
            )
        })?;
        if let Some(name) = &written.name {
            check_name(name).map_err(|error| loaded.fault("name", error.to_string()))?;
        }
        let expect_domain = written
            .expect_domain
            .as_deref()
            .map(canonical_host)
            .transpose();
        let expect_domain =
            expect_domain.map_err(|error| loaded.fault("expect_domain", error.to_string()))?;
        let target_protocol = written
            .target_protocol
            .as_deref()
            .map_or_else(|| Ok(TargetProtocol::default()), str::parse)
            .map_err(|error| loaded.fault("target_protocol", error.to_string()))?;
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
            name: written.name.clone(),
            expect_domain,
            mode: written.mode.0,
            links: written.links.0,
            ca_file: written.ca_file.clone(),
            target_protocol,
            log_format: written.log_format,
        })
    }
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
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let layers = environment(variables).map_err(|error| error.to_string())?;
        let layers = layers.flag("key", "--key", Some("/k"));
        Settings::load(layers).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_a_server_on_this_machine_and_empty_is_not_set() {
        for variables in [&[][..], &[("ADIT_SERVER", ""), ("ADIT_NAME", "")]] {
            let settings = from(variables).unwrap();
            assert_eq!(settings.server.to_string(), DEFAULT_SERVER);
            assert_eq!(settings.name, None);
        }
    }

    #[test]
    fn the_servers_variables_are_not_ours_and_ours_are_read() {
        let settings = from(&[
            ("ADIT_LISTEN", "127.0.0.1:1"),
            ("ADIT_CONFIG", "/etc/adit-server.toml"),
            ("ADIT_SERVER", "tunnels.example"),
            ("ADIT_EXPECT_DOMAIN", "Tunnels.Example."),
            ("ADIT_LINKS", "3"),
            ("ADIT_MODE", "shared"),
        ])
        .unwrap();
        assert_eq!(settings.server.to_string(), "https://tunnels.example");
        assert_eq!(settings.expect_domain.as_deref(), Some("tunnels.example"));
        assert_eq!(settings.links.to_string(), "3");
        assert_eq!(settings.mode, Mode::Shared);
    }

    #[test]
    fn a_bad_value_is_one_line_with_field_origin_and_fix() {
        for (variable, value, complaint) in [
            (
                "ADIT_SERVER",
                "ftp://x",
                "server (from ADIT_SERVER): the server's scheme is \"ftp\", but must be https or http; \
                 write https://host or http://host:port",
            ),
            (
                "ADIT_NAME",
                "Photos",
                "name (from ADIT_NAME): a tunnel name is made of a-z, 0-9 and '-'; 'P' is none of them",
            ),
            (
                "ADIT_TARGET_PROTOCOL",
                "h2",
                "target_protocol (from ADIT_TARGET_PROTOCOL): \"h2\" is no protocol for a target; write http1 or h2c",
            ),
            (
                "ADIT_LINKS",
                "9",
                "links (from ADIT_LINKS): \"9\" is no such number; write auto, or a whole number from 1 to 8",
            ),
            (
                "ADIT_MODE",
                "both",
                "mode (from ADIT_MODE): \"both\" is no mode; write exclusive or shared",
            ),
            (
                "ADIT_LOG_FORMAT",
                "xml",
                "log_format (from ADIT_LOG_FORMAT): \"xml\" is no log format; write text or json",
            ),
        ] {
            assert_eq!(from(&[(variable, value)]).unwrap_err(), complaint);
        }
        let complaint = from(&[("ADIT_EXPECT_DOMAIN", "https://x")]).unwrap_err();
        assert!(
            complaint.starts_with("expect_domain (from ADIT_EXPECT_DOMAIN): "),
            "{complaint}"
        );
    }
}
