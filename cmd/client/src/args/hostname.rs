//! The flags that choose a hostname. One of them at most: a tunnel has one.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use runtime::config::Layers;

use crate::settings::Spelling;

/// Hostnames beside those of the key.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Hostname (one of these, or --name; without any, the key's own)")]
pub(crate) struct HostnameFlags {
    /// A host under the server's domain that its operator granted to the key: a label, *.LABEL for all names under it, or
    /// @ for the domain itself
    #[arg(long, value_name = "LABEL", conflicts_with = "name", value_parser = NonEmptyStringValueParser::new())]
    subdomain: Option<String>,
    /// The server's domain itself, granted likewise; the same as --subdomain @
    #[arg(long, conflicts_with = "name")]
    root: bool,
    /// A host of another domain, granted, or proved by a DNS record that the server names when it is missing
    #[arg(long, value_name = "HOST", conflicts_with = "name", value_parser = NonEmptyStringValueParser::new())]
    domain: Option<String>,
    /// A readable host that the server makes of the key, where its operator allows that
    #[arg(long, conflicts_with = "name")]
    auto_name: bool,
}

impl HostnameFlags {
    pub(super) fn layers(&self, layers: Layers) -> Layers {
        if let Some(label) = &self.subdomain {
            return Spelling::Subdomain.decide(layers, "--subdomain", label);
        }
        if let Some(host) = &self.domain {
            return Spelling::CustomDomain.decide(layers, "--domain", host);
        }
        if self.root {
            return Spelling::Subdomain.decide(layers, "--root", "@");
        }
        if self.auto_name {
            return Spelling::AutoName.decide(layers, "--auto-name", "true");
        }
        layers
    }
}
