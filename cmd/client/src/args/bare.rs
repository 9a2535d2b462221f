//! `adit bare`: where its server lives, where it may fetch from, and how much one visitor may ask for.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use bare::{Config, Family, HostPattern, Maintainer};
use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::{OF_A_TUNNEL, PublishFlags};

/// `adit bare`.
#[derive(Debug, Args)]
pub(crate) struct BareCommand {
    /// Where to listen on this machine instead.
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "Serve on this address and port of this machine (127.0.0.1:8080; port 0: a free one), without a tunnel",
        conflicts_with_all = OF_A_TUNNEL
    )]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) bare: BareFlags,
    #[command(flatten)]
    pub(crate) publish: PublishFlags,
}

/// What a Bare server is. A file of tunnels has them as its table `bare`, each by the name of its flag.
#[derive(Debug, Args)]
pub(crate) struct BareFlags {
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    remotes: RemoteFlags,
    /// The key of those who may use it.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Bare server",
        help = "Let in only clients whose URL goes on with the key in this file: https://host/KEY/"
    )]
    pub(crate) access_key_file: Option<PathBuf>,
}

/// The server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bare server")]
struct ServerFlags {
    /// The path it lives under, from / to /
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = directory)]
    directory: String,
    /// Take headers of requests that are longer than the specification allows: npm's bare-client never splits them
    #[arg(long)]
    long_headers: bool,
    /// Requests and WebSockets a minute of one visitor; 0: any number
    #[arg(long, value_name = "NUMBER", default_value_t = 3000)]
    visitor_requests: u32,
    /// WebSockets of one visitor at a time; 0: any number
    #[arg(long, value_name = "NUMBER", default_value_t = 128)]
    visitor_sockets: u32,
    /// Who runs it, for its manifest
    #[arg(long, value_name = "ADDRESS")]
    maintainer_email: Option<String>,
    /// A page about it, for its manifest
    #[arg(long, value_name = "URL")]
    maintainer_website: Option<String>,
}

/// Where it fetches from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where it may fetch from (default: any host at a public address)")]
struct RemoteFlags {
    /// Only this host, or with *. in front all under it; may be repeated
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<HostPattern>,
    /// Never this host; may be repeated
    #[arg(long, value_name = "HOST")]
    deny_host: Vec<HostPattern>,
    /// Only this port; may be repeated
    #[arg(long, value_name = "PORT")]
    allow_port: Vec<u16>,
    /// Never this port; may be repeated
    #[arg(long, value_name = "PORT")]
    deny_port: Vec<u16>,
    /// Also this network, although it is not public (10.0.0.0/8); may be repeated
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    allow_network: Vec<IpNet>,
    /// Never this network; may be repeated
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    deny_network: Vec<IpNet>,
    /// Any address at all, this machine's and its network's too: whoever reaches the server reaches those
    #[arg(long)]
    no_block_local: bool,
    /// Only addresses of this family
    #[arg(long, value_name = "FAMILY")]
    family: Option<IpFamily>,
    /// The address of this machine that remotes see
    #[arg(long, value_name = "ADDRESS")]
    local_address: Option<IpAddr>,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum IpFamily {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
}

impl BareFlags {
    /// Sets what the flags decide.
    pub(crate) fn apply(&self, config: &mut Config) {
        let Self {
            server, remotes, ..
        } = self;
        config.directory.clone_from(&server.directory);
        config.long_headers = server.long_headers;
        config.visitor.per_minute = NonZeroU32::new(server.visitor_requests);
        config.visitor.sockets = NonZeroU32::new(server.visitor_sockets);
        if server.maintainer_email.is_some() || server.maintainer_website.is_some() {
            config.maintainer = Some(Maintainer {
                email: server.maintainer_email.clone(),
                website: server.maintainer_website.clone(),
            });
        }
        let rules = &mut config.rules;
        rules.allow_hosts.clone_from(&remotes.allow_host);
        rules.deny_hosts.clone_from(&remotes.deny_host);
        rules.allow_ports.clone_from(&remotes.allow_port);
        rules.deny_ports.clone_from(&remotes.deny_port);
        rules.allow_networks.clone_from(&remotes.allow_network);
        rules.deny_networks.clone_from(&remotes.deny_network);
        rules.allow_private = remotes.no_block_local;
        config.family = match remotes.family {
            None => Family::Any,
            Some(IpFamily::V4) => Family::V4,
            Some(IpFamily::V6) => Family::V6,
        };
        config.local_address = remotes.local_address;
    }
}

fn directory(text: &str) -> Result<String, String> {
    let segments = text.split('/').all(|segment| {
        let in_paths = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        segment.chars().all(in_paths)
    });
    if text.starts_with('/') && text.ends_with('/') && !text.contains("//") && segments {
        return Ok(text.to_owned());
    }
    Err("a directory starts and ends with '/', as /bare/ does".to_owned())
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "write a network such as 10.0.0.0/8, or an address".to_owned())
}
