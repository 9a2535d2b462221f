//! The flags that say which server, and how to hold on to it.

use std::path::PathBuf;

use clap::Args;
use runtime::config::Layers;

use super::{given, path};

/// Connecting.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ConnectionFlags {
    /// The server to publish through.
    #[arg(
        long,
        value_name = "URL",
        help = "The server to publish through [default: http://localhost:8080]"
    )]
    server: Option<String>,
    /// The only domain to publish under: nothing is signed for a server with another
    #[arg(long, value_name = "DOMAIN")]
    expect_domain: Option<String>,
    /// Where the server's join token is.
    #[arg(
        long,
        value_name = "FILE",
        help = "The server's join token is in this file; ADIT_TOKEN holds the token itself. The server is shown a \
                proof, never the token"
    )]
    token_file: Option<PathBuf>,
    /// What holds when the same key and name are published twice: exclusive (the newer agent takes over), or shared (both
    /// serve, if both say so) [default: exclusive]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Connections to hold, to different nodes where the server has several: 1 to 8, or auto (as many as the server
    /// would like) [default: auto]
    #[arg(long, value_name = "NUMBER")]
    links: Option<String>,
    /// What connections run over: ws (WebSocket), tcp (the server's encrypted channel, if it offers one), or auto (tcp where
    /// it can be reached, else ws; within a second) [default: ws]
    #[arg(long, value_name = "TRANSPORT")]
    transport: Option<String>,
    /// Certificates (PEM) of an authority to believe beside those of this machine
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Ask the public URL now and every minute whether visitors get through; say so when not, and connect anew
    #[arg(long)]
    self_check: bool,
    /// End when an attempt to connect fails, instead of trying again
    #[arg(long)]
    pub(crate) no_retry: bool,
}

impl ConnectionFlags {
    pub(super) fn layers(&self, layers: Layers) -> Layers {
        layers
            .flag("server", "--server", self.server.as_ref())
            .flag(
                "expect_domain",
                "--expect-domain",
                self.expect_domain.as_ref(),
            )
            .flag("token_file", "--token-file", path(self.token_file.as_ref()))
            .flag("mode", "--mode", self.mode.as_ref())
            .flag("links", "--links", self.links.as_ref())
            .flag("transport", "--transport", self.transport.as_ref())
            .flag("ca_file", "--ca-file", path(self.ca_file.as_ref()))
            .flag("self_check", "--self-check", given(self.self_check))
    }
}
