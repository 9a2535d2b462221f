//! The command line. Flags that are also settings are optional here: a default of clap's would hide the file and the
//! environment.

use std::path::PathBuf;
use std::sync::LazyLock;

use agent::TargetUrl;
use clap::{ArgAction, Args, Parser, Subcommand};
use runtime::config::Layers;

use crate::key::Key;

const ABOUT: &str = "Publishes a local service at a public hostname that is your key.

The agent dials out to an adit-server, proves its key, and from then on the server hands it what visitors of the \
hostname ask. There is no account: who holds the key file holds the name, from any machine.";

const AFTER: &str = "\
Examples:
  adit http 3000                                     what listens on port 3000 of this machine
  adit http 3000 --server https://tunnels.example    through that server
  adit http nas.home:80 --name photos                another service, at another hostname of the same key
  adit key show --domain tunnels.example             the hostname, before anything is published

Exit codes: 0 done, or ended by a signal; 1 failure; 2 wrong usage; 3 the server refused this agent for good, or is \
not the one that was expected; 4 another agent with the same key and name took over; 78 a setting is wrong, or the \
key or certificate file cannot be used.";

const HTTP_ABOUT: &str = "Publish a local HTTP service.

Prints the public URL as the first and only line on stdout. On stderr: what happens to the connection, and each \
request with its status and time (its query is never shown). A lost connection is made again, at the same hostname, \
for as long as it takes. Where the server has several nodes there is a connection to more than one, and it moves \
before a node goes down.";

const HTTP_AFTER: &str = "\
Settings come from the flags, above the environment (ADIT_SERVER, ADIT_KEY, ADIT_NAME, ADIT_EXPECT_DOMAIN, \
ADIT_MODE, ADIT_LINKS, ADIT_CA_FILE, ADIT_TARGET_PROTOCOL, ADIT_LOG_FORMAT; empty is not set), above the file of \
--config (server, key, name, expect_domain, mode, links, ca_file, target_protocol, log_format), above the defaults. A \
protected key file is opened with ADIT_KEY_PASSPHRASE, the content of the file ADIT_KEY_PASSPHRASE_FILE names, or what \
is typed at a terminal.

Examples:
  adit http 3000
  adit http http://127.0.0.1:8000 --server https://tunnels.example --expect-domain tunnels.example
  adit http 50051 --target-protocol h2c
  adit http 3000 -q > url.txt &

Signals: SIGTERM and SIGINT tell the server goodbye and let running requests end for up to 5 s; a second one ends \
at once.
Exit codes: 0 ended by a signal; 1 failure (with --no-retry: the attempt failed); 2 wrong usage; 3 the server \
refused this agent for good, or is not the one that was expected; 4 another agent with the same key and name took \
over; 78 a setting is wrong, or the key or certificate file cannot be used.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "adit", long_about = ABOUT, about = "Publish a local service at a hostname that is your key")]
#[command(after_help = AFTER, version = VERSION.as_str(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a local HTTP service
    #[command(long_about = HTTP_ABOUT, after_help = HTTP_AFTER)]
    Http(Http),
    /// Make a key, look at it, rotate it
    #[command(subcommand)]
    Key(Key),
}

/// `adit http`.
#[derive(Debug, Args)]
pub(crate) struct Http {
    /// The service.
    #[arg(help = "The service: a port of this machine, host:port, or http://host[:port]")]
    pub(crate) target: TargetUrl,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The server.
    #[arg(
        long,
        value_name = "URL",
        help = "The server to publish through [default: http://localhost:8080]"
    )]
    server: Option<String>,
    /// The only domain to publish under: nothing is signed for a server with another
    #[arg(long, value_name = "DOMAIN")]
    expect_domain: Option<String>,
    /// What holds when the same key and name are published twice: exclusive (the newer agent takes over), or shared (both
    /// serve, if both say so) [default: exclusive]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Connections to hold, to different nodes where the server has several: 1 to 8, or auto (as many as the server
    /// would like) [default: auto]
    #[arg(long, value_name = "NUMBER")]
    links: Option<String>,
    /// Certificates (PEM) of an authority to believe beside those of this machine
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// What the service speaks: http1, or h2c (HTTP/2 without TLS, as gRPC servers do) [default: http1]
    #[arg(long, value_name = "PROTOCOL")]
    target_protocol: Option<String>,
    /// End when an attempt to connect fails, instead of trying again
    #[arg(long)]
    pub(crate) no_retry: bool,
    /// Show no requests, only trouble
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Log Adit's own events too: its debug, its trace (-vv), everybody's (-vvv)
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// How lines on stderr are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Settings that every command has.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The key file, made at first use [default: ~/.config/adit/key.pem]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A further tunnel of the key: a-z, 0-9 and '-'
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// File of settings (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Settings {
    /// These flags above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        layers
            .file(self.config.clone())
            .flag(
                "key",
                "--key",
                self.key.as_deref().map(|path| path.display()),
            )
            .flag("name", "--name", self.name.as_ref())
    }
}

impl Http {
    /// All flags of the command above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        self.settings
            .layers(layers)
            .flag("server", "--server", self.server.as_ref())
            .flag(
                "expect_domain",
                "--expect-domain",
                self.expect_domain.as_ref(),
            )
            .flag("mode", "--mode", self.mode.as_ref())
            .flag("links", "--links", self.links.as_ref())
            .flag(
                "ca_file",
                "--ca-file",
                self.ca_file.as_deref().map(|path| path.display()),
            )
            .flag(
                "target_protocol",
                "--target-protocol",
                self.target_protocol.as_ref(),
            )
            .flag("log_format", "--log-format", self.log_format.as_ref())
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
