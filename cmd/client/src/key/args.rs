//! The command line of `adit key`.

use clap::Subcommand;

use crate::args::Settings;

const ABOUT_NEW: &str = "Make a new key file; one that exists is never overwritten.

The file is protected by a passphrase with --passphrase, or when ADIT_KEY_PASSPHRASE or ADIT_KEY_PASSPHRASE_FILE is \
set. A passphrase is never taken from the command line, which other users can see.";

const ABOUT_ROTATE: &str = "Put a new key in the place of the old one, with the same hostname.

The old key signs a statement that the new one holds its name under the domain of one server. The statement is kept \
beside the key file (key.chain for key.pem) and shown at every registration. The old key is kept as key.pem.old-1. A \
name can be handed on 4 times.";

const ABOUT_EXPORT: &str =
    "Print the key as a JWK (RFC 8037) on stdout: its public half, unless --private is given.";

/// `adit key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a new key file; one that exists is never overwritten
    #[command(long_about = ABOUT_NEW)]
    New {
        #[command(flatten)]
        settings: Settings,
        /// Protect the file by a passphrase, asked for if none is set
        #[arg(long)]
        passphrase: bool,
    },
    /// Show the public half, the names that it is, and how often it was rotated
    Show {
        #[command(flatten)]
        settings: Settings,
        /// The server's domain, to show the whole hostname
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
    },
    /// Put a new key in the place of the old one, with the same hostname
    #[command(long_about = ABOUT_ROTATE)]
    Rotate {
        #[command(flatten)]
        settings: Settings,
        /// The domain of the server under which the new key holds the old one's name
        #[arg(long, value_name = "DOMAIN")]
        domain: String,
        /// Protect the new file by a passphrase, asked for if none is set; a protected file stays so anyhow
        #[arg(long)]
        passphrase: bool,
    },
    /// Print the key as a JWK
    #[command(long_about = ABOUT_EXPORT)]
    ExportJwk {
        #[command(flatten)]
        settings: Settings,
        /// Print the secret half: whoever reads it has the hostname
        #[arg(long)]
        private: bool,
        /// Print the secret half even on a terminal
        #[arg(long, requires = "private")]
        force: bool,
    },
}
