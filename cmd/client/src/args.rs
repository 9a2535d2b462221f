//! The command line. Flags that are also settings are optional here: a default of clap's would hide the file and the
//! environment.

mod bare;
mod connection;
mod files;
mod help;
mod hostname;
mod policy;
mod service;
mod start;
mod ws;

use std::path::PathBuf;
use std::sync::LazyLock;

use agent::TargetUrl;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use runtime::config::Layers;

pub(crate) use self::bare::{BareCommand, BareFlags};
use self::connection::ConnectionFlags;
pub(crate) use self::files::Files;
use self::help::{
    ABOUT, AFTER, BARE_ABOUT, BARE_AFTER, FILES_ABOUT, FILES_AFTER, HTTP_ABOUT, HTTP_AFTER,
    START_ABOUT, START_AFTER, WS_ABOUT, WS_AFTER,
};
use self::hostname::HostnameFlags;
use self::policy::{CallerFlags, TrafficFlags};
use self::service::ServiceFlags;
pub(crate) use self::start::{Check, Config, Start};
pub(crate) use self::ws::Ws;
use crate::key::Key;
use crate::settings::Spelling;

/// What flags that are for a tunnel alone are called, and groups of them: a listener of this machine has no use for them.
const OF_A_TUNNEL: [&str; 15] = [
    "server",
    "expect_domain",
    "token_file",
    "mode",
    "links",
    "transport",
    "self_check",
    "no_retry",
    "name",
    "subdomain",
    "root",
    "domain",
    "auto_name",
    "CallerFlags",
    "TrafficFlags",
];

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
    Http(Box<Http>),
    /// Publish a folder
    #[command(long_about = FILES_ABOUT, after_help = FILES_AFTER)]
    Files(Box<Files>),
    /// Relay WebSockets to an upstream, published or on this machine
    #[command(long_about = WS_ABOUT, after_help = WS_AFTER)]
    Ws(Box<Ws>),
    /// Fetch remote URLs for pages: a Bare server, published or on this machine
    #[command(long_about = BARE_ABOUT, after_help = BARE_AFTER)]
    Bare(Box<BareCommand>),
    /// Publish several tunnels from one file
    #[command(long_about = START_ABOUT, after_help = START_AFTER)]
    Start(Start),
    /// Look at a file of tunnels
    #[command(subcommand)]
    Config(Config),
    /// Make a key, look at it, rotate it
    #[command(subcommand)]
    Key(Key),
}

/// `adit http`.
#[derive(Debug, Args)]
pub(crate) struct Http {
    /// The service.
    #[arg(
        help = "The service: a port of this machine, host:port, http://host[:port], or unix:/path/of.sock"
    )]
    pub(crate) target: TargetUrl,
    #[command(flatten)]
    pub(crate) publish: PublishFlags,
    #[command(flatten)]
    service: ServiceFlags,
}

/// What every command has that publishes something: who with, where, under which rules, and what is shown of it.
#[derive(Debug, Args)]
pub(crate) struct PublishFlags {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    hostname: HostnameFlags,
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    #[command(flatten)]
    callers: CallerFlags,
    #[command(flatten)]
    traffic: TrafficFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// What is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputFlags {
    /// Show no requests, only trouble
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show the limits that the server holds the agent to, and log Adit's own events too: its debug, its trace (-vv),
    /// everybody's (-vvv)
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// How lines on stderr are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Settings that every command has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key and file of settings")]
pub(crate) struct Settings {
    /// The key file, made at first use [default: ~/.config/adit/key.pem]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A further tunnel of the key: a-z, 0-9 and '-'
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// File of settings (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Settings {
    /// These flags above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        let layers = layers
            .file(self.config.clone())
            .flag("key", "--key", path(self.key.as_ref()));
        match &self.name {
            Some(name) => Spelling::Name.decide(layers, "--name", name),
            None => layers,
        }
    }
}

impl Http {
    /// All flags of the command above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        self.service.layers(self.publish.layers(layers))
    }
}

impl PublishFlags {
    /// These flags above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        let layers = self.settings.layers(layers);
        let layers = self.hostname.layers(layers);
        let layers = self.connection.layers(layers);
        let layers = self.callers.layers(layers);
        let layers = self.traffic.layers(layers);
        let format = self.output.log_format.as_ref();
        layers.flag("log_format", "--log-format", format)
    }
}

/// A flag without a value, as a setting.
fn given(flag: bool) -> Option<bool> {
    flag.then_some(true)
}

fn path(path: Option<&PathBuf>) -> Option<impl ToString> {
    path.map(|path| path.display())
}

/// A flag that may be repeated, as one setting.
fn joined(values: &[String], separator: &str) -> Option<String> {
    (!values.is_empty()).then(|| values.join(separator))
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

    /// The long flags of a command that none of these pages names.
    fn unnamed(command: &str, pages: &[&str]) -> Vec<String> {
        let cli = Cli::command();
        let command = cli.find_subcommand(command);
        let flags = command.expect("there is such a command").get_arguments();
        let flags = flags.filter_map(|flag| flag.get_long());
        let named = |flag: &str| {
            let forms = [" ", "`"].map(|end| format!("`--{flag}{end}"));
            let mut forms = forms.iter();
            forms.any(|form| pages.iter().any(|page| page.contains(form)))
        };
        let flags = flags.filter(|flag| *flag != "help" && !named(flag));
        flags.map(str::to_owned).collect()
    }

    const AGENT: &str = include_str!("../../../docs/agent.md");

    /// A flag that nobody can look up is half a flag.
    #[test]
    fn the_page_about_the_agent_names_every_flag_of_publishing() {
        for command in ["http", "files", "start"] {
            assert_eq!(unnamed(command, &[AGENT]), [""; 0], "{command}");
        }
    }

    #[test]
    fn the_page_about_relays_names_every_flag_that_only_they_have() {
        let page = include_str!("../../../docs/relay.md");
        assert_eq!(unnamed("ws", &[AGENT, page]), [""; 0]);
    }

    #[test]
    fn the_page_about_the_bare_server_names_every_flag_of_its_own() {
        let page = include_str!("../../../docs/bare.md");
        assert_eq!(unnamed("bare", &[AGENT, page]), [""; 0]);
    }
}
