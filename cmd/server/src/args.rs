//! The command line. Every flag is optional here: a default of clap's would hide the file and the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::{ArgAction, Args, Parser, Subcommand};
use runtime::config::{ConfigError, Layers};
use runtime::logging::LogFilter;

const ABOUT: &str = "The public side of Adit: publishes services that sit behind a firewall.

Agents dial in, prove a key, and get the hostname that is that key, under --domain. Visitors call the hostname; \
the server hands each request to the agent that holds it, over the connection the agent opened.";

const AFTER: &str = "\
Settings come from the flags above, above the environment (ADIT_LISTEN, ADIT_EXCHANGES__MAX_BODY: two underscores \
between section and field), above the file of --config, above the defaults. `adit-server config check` prints what \
comes of it; every field is in docs/configuration.md.

Try it on one machine:
  adit-server
  adit http 3000 --server http://localhost:8080

On the internet, with a wildcard DNS record for the domain and TLS ended by a proxy in front:
  adit-server --domain tunnels.example --public-url https://tunnels.example

Signals: SIGTERM and SIGINT drain (what is in flight may end, for `grace`); a second one ends at once. SIGHUP reads the \
rules of admission anew.
Exit codes: 0 ended as asked, 1 failure, 2 wrong usage, 78 wrong configuration.";

/// What was typed.
#[derive(Clone, Debug, Parser)]
#[command(name = "adit-server", long_about = ABOUT, about = "The public side of Adit", after_help = AFTER)]
#[command(version = VERSION.as_str(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    settings: Flags,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Handle join tokens, which agents have to know where the server has some
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What to do with tokens.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a new one: 32 random bytes in base64url, for a line of --token-file
    New,
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings that would be in force, as TOML, secrets hidden; fail when one is wrong
    Check,
}

#[derive(Clone, Debug, Args)]
struct Flags {
    /// Address and port for visitors and agents; port 0 lets the system choose [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", global = true)]
    listen: Option<String>,
    /// Domain under which tunnels get their hostnames; point *.NAME here [default: localhost]
    #[arg(long, value_name = "NAME", global = true)]
    domain: Option<String>,
    /// How visitors reach the domain, when a proxy stands in front [default: http, the domain, the listener's port]
    #[arg(long, value_name = "URL", global = true)]
    public_url: Option<String>,
    /// What joins the nodes of a fleet; memory is a fleet of one [default: memory]
    #[arg(long, value_name = "URL", global = true)]
    bus: Option<String>,
    /// Address and port where agents may come over encrypted TCP too (docs/channel.md) [default: none]
    #[arg(long, value_name = "ADDR", global = true)]
    channel_listen: Option<String>,
    /// Host and port where agents find that [default: the domain, or the address of --channel-listen, and its port]
    #[arg(long, value_name = "HOST:PORT", global = true)]
    channel_advertise: Option<String>,
    /// The key that agents pin there (PEM), made when it is missing; the same on all nodes of a fleet [default: a new one]
    #[arg(long, value_name = "FILE", global = true)]
    channel_key_file: Option<String>,
    /// File of keys that are admitted, denied, and granted names (docs/admission.md)
    #[arg(long, value_name = "FILE", global = true)]
    keys_file: Option<String>,
    /// File of join tokens, one a line: agents must know one of them
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<String>,
    /// File of settings (TOML)
    #[arg(long, value_name = "FILE", env = "ADIT_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Threads that serve, each with its own listener [default: 1]
    #[arg(long, value_name = "N", global = true)]
    workers: Option<String>,
    /// Largest request or response body: 512000, 500KiB, 16MiB, or unlimited [default: 500KiB]
    #[arg(long, value_name = "SIZE", global = true)]
    max_body: Option<String>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// Which log lines are written: error, warn, info, debug, trace, or levels by target [default: info]
    #[arg(long, value_name = "FILTER", global = true)]
    log_filter: Option<String>,
    /// More log lines: Adit's debug, its trace (-vv), everybody's (-vvv)
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "log_filter")]
    verbose: u8,
}

/// Variables that begin like ours and are not settings of the server: its own `--config`, and the agent's.
const NOT_SETTINGS: [&str; 23] = [
    "ADIT_CONFIG",
    "ADIT_SERVER",
    "ADIT_KEY",
    "ADIT_KEY_PASSPHRASE",
    "ADIT_KEY_PASSPHRASE_FILE",
    "ADIT_LINKS",
    "ADIT_MODE",
    "ADIT_NAME",
    "ADIT_SUBDOMAIN",
    "ADIT_CUSTOM_DOMAIN",
    "ADIT_AUTO_NAME",
    "ADIT_TOKEN",
    "ADIT_TOKEN_FILE",
    "ADIT_BASIC_AUTH",
    "ADIT_BASIC_AUTH_FILE",
    "ADIT_SELF_CHECK",
    "ADIT_HOST_HEADER",
    "ADIT_SEND_PROXY_PROTOCOL",
    "ADIT_EXPECT_DOMAIN",
    "ADIT_CA_FILE",
    "ADIT_TARGET_PROTOCOL",
    "ADIT_TRANSPORT",
    "ADIT_LOG_FORMAT",
];

impl Cli {
    /// The file of settings.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.settings.config.as_deref()
    }

    /// The layers of settings that the command line and `environment` make up.
    pub(crate) fn layers(
        self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, ConfigError> {
        let flags = self.settings;
        let verbosity = (flags.verbose > 0).then(|| LogFilter::verbosity(flags.verbose));
        let layers =
            Layers::new()
                .file(flags.config)
                .environment("ADIT_", environment, &NOT_SETTINGS)?;
        Ok(layers
            .flag("listen", "--listen", flags.listen)
            .flag("domain", "--domain", flags.domain)
            .flag("public_url", "--public-url", flags.public_url)
            .flag("bus", "--bus", flags.bus)
            .flag("channel_listen", "--channel-listen", flags.channel_listen)
            .flag(
                "channel_advertise",
                "--channel-advertise",
                flags.channel_advertise,
            )
            .flag(
                "channel_key_file",
                "--channel-key-file",
                flags.channel_key_file,
            )
            .flag("admission.keys_file", "--keys-file", flags.keys_file)
            .flag("admission.token_file", "--token-file", flags.token_file)
            .flag("workers", "--workers", flags.workers)
            .flag("exchanges.max_body", "--max-body", flags.max_body)
            .flag("log.format", "--log-format", flags.log_format)
            .flag("log.filter", "--log-filter", flags.log_filter)
            .flag("log.filter", "--verbose", verbosity))
    }
}

static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (protocol adit.v{})",
        env!("CARGO_PKG_VERSION"),
        messages::PROTOCOL_VERSION
    )
});

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
