//! The flags that say how the local service is called.

use clap::Args;
use runtime::config::Layers;

/// Calling the service.
#[derive(Debug, Args)]
#[command(next_help_heading = "Local service")]
pub(crate) struct ServiceFlags {
    /// What the service speaks: http1, or h2c (HTTP/2 without TLS, as gRPC servers do) [default: http1]
    #[arg(long, value_name = "PROTOCOL")]
    target_protocol: Option<String>,
    /// The Host it is told: preserve (the public one), rewrite (its own), or this one [default: preserve]
    #[arg(long, value_name = "HOST")]
    host_header: Option<String>,
    /// Begin each connection with the visitor's address, by the PROXY protocol: v1 or v2. A connection then serves one
    /// visitor
    #[arg(long, value_name = "VERSION")]
    send_proxy_protocol: Option<String>,
}

impl ServiceFlags {
    pub(super) fn layers(&self, layers: Layers) -> Layers {
        layers
            .flag(
                "target_protocol",
                "--target-protocol",
                self.target_protocol.as_ref(),
            )
            .flag("host_header", "--host-header", self.host_header.as_ref())
            .flag(
                "send_proxy_protocol",
                "--send-proxy-protocol",
                self.send_proxy_protocol.as_ref(),
            )
    }
}
