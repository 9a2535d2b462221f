//! `adit ws`: where messages go, and through which steps.

use std::net::SocketAddr;

use clap::Args;
use relay::{Upstream, UpstreamError};
use runtime::config::Layers;

use super::{OF_A_TUNNEL, PublishFlags, given, joined};

/// `adit ws`.
#[derive(Debug, Args)]
pub(crate) struct Ws {
    /// The upstream.
    #[arg(
        value_parser = upstream,
        help = "The WebSocket service: ws://host:port/path, or wss:// for TLS"
    )]
    upstream: String,
    /// Where to listen on this machine instead.
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "Serve on this address and port of this machine (127.0.0.1:9139; port 0: a free one), without a tunnel",
        conflicts_with_all = OF_A_TUNNEL
    )]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    relay: RelayFlags,
    #[command(flatten)]
    pub(crate) publish: PublishFlags,
}

/// What happens to messages.
#[derive(Debug, Args)]
#[command(next_help_heading = "Relay")]
struct RelayFlags {
    /// Steps for what visitors say, in order, with commas between [default: none, which is passthrough]
    #[arg(long, value_name = "STEPS")]
    incoming: Vec<String>,
    /// Steps for what the upstream says [default: none]
    #[arg(long, value_name = "STEPS")]
    outgoing: Vec<String>,
    /// How visitors learn of errors: close their WebSocket, or tell them in a message [default: close]
    #[arg(long, value_name = "WAY")]
    errors: Option<String>,
    /// One connection to the upstream for all visitors; it needs --correlate
    #[arg(long)]
    shared: bool,
    /// The field of JSON requests whose value answers and errors are to have too: /id, or /outer/inner
    #[arg(long, value_name = "POINTER")]
    correlate: Option<String>,
    /// Wait so long for the answer to each message (10s, 2m) [default: not at all; with --correlate 30s]
    #[arg(long, value_name = "TIME")]
    answer_timeout: Option<String>,
    /// The longest line, in bytes or with a unit (64KiB) [default: 4096]
    #[arg(long, value_name = "SIZE")]
    line_limit: Option<String>,
}

impl Ws {
    /// All flags of the command above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        let flags = &self.relay;
        self.publish
            .layers(layers)
            .flag("relay.upstream", "the command line", Some(&self.upstream))
            .flag("relay.incoming", "--incoming", joined(&flags.incoming, ","))
            .flag("relay.outgoing", "--outgoing", joined(&flags.outgoing, ","))
            .flag("relay.errors", "--errors", flags.errors.as_ref())
            .flag("relay.shared", "--shared", given(flags.shared))
            .flag("relay.correlate", "--correlate", flags.correlate.as_ref())
            .flag(
                "relay.answer_timeout",
                "--answer-timeout",
                flags.answer_timeout.as_ref(),
            )
            .flag(
                "relay.line_limit",
                "--line-limit",
                flags.line_limit.as_ref(),
            )
    }

    /// What lines for people call it: without a query, which may hold a secret.
    pub(crate) fn called(&self) -> String {
        let upstream = self.upstream.parse::<Upstream>();
        upstream.map_or_else(|_| self.upstream.clone(), |upstream| upstream.to_string())
    }
}

fn upstream(text: &str) -> Result<String, UpstreamError> {
    text.parse::<Upstream>().map(|_| text.to_owned())
}
