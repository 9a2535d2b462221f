//! `adit files`: its folder and how that is served.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use runtime::config::Layers;

use super::{OF_A_TUNNEL, PublishFlags, given, joined};

/// `adit files`.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The folder
    pub(crate) folder: PathBuf,
    /// Serve it on this machine, at this address and port, and not through a tunnel
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with_all = OF_A_TUNNEL
    )]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) publish: PublishFlags,
    #[command(flatten)]
    serving: FilesFlags,
}

impl Files {
    /// All flags of the command above `layers`.
    pub(crate) fn layers(&self, layers: Layers) -> Layers {
        self.serving.layers(self.publish.layers(layers))
    }
}

/// How a folder is served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Folder")]
struct FilesFlags {
    /// The file that stands for a folder; may be repeated [default: index.html]
    #[arg(long, value_name = "NAME")]
    index: Vec<String>,
    /// Show folders without such a file as a list of names
    #[arg(long)]
    listing: bool,
    /// Serve names that begin with a dot too
    #[arg(long)]
    dotfiles: bool,
    /// Follow symbolic links, as far as they stay inside the folder
    #[arg(long)]
    symlinks: bool,
}

impl FilesFlags {
    fn layers(&self, layers: Layers) -> Layers {
        layers
            .flag("files.index", "--index", joined(&self.index, ","))
            .flag("files.listing", "--listing", given(self.listing))
            .flag("files.dotfiles", "--dotfiles", given(self.dotfiles))
            .flag("files.symlinks", "--symlinks", given(self.symlinks))
    }
}
