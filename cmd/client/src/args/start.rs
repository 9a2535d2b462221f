//! `adit start` and `adit config`: several tunnels from one file.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use runtime::config::Layers;

use super::OutputFlags;

/// `adit start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The file of tunnels (TOML)
    #[arg(short, long, value_name = "FILE", default_value = "adit.toml")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

impl Start {
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        let format = self.output.log_format.as_ref();
        layers.flag("log_format", "--log-format", format)
    }
}

/// `adit config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Read a file of tunnels and all that it names, and say what is wrong with it
    Check(Check),
}

/// `adit config check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file of tunnels (TOML)
    #[arg(short, long, value_name = "FILE", default_value = "adit.toml")]
    pub(crate) config: PathBuf,
}
