//! What can be wrong with a configuration, as one sentence each.

use std::io;
use std::path::PathBuf;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of settings cannot be read.
    #[error("cannot read the configuration file {}: {why}; check the path given by --config", file.display())]
    Unreadable {
        /// As it was named on the command line.
        file: PathBuf,
        /// The operating system's reason.
        why: io::Error,
    },
    /// The file of settings is no TOML.
    #[error("{} is not valid TOML: {why}", file.display())]
    Syntax {
        /// As it was named on the command line.
        file: PathBuf,
        /// Line, column and reason.
        why: String,
    },
    /// A variable's name or value cannot be a setting.
    #[error("{variable}: {why}")]
    Variable {
        /// Its name.
        variable: String,
        /// The reason.
        why: String,
    },
    /// One field has a bad value, or should not be there.
    #[error("{field} ({origin}): {problem}")]
    Field {
        /// Its path, such as `limits.max_body`.
        field: String,
        /// Where the value came from: a flag, a variable, a file, or the defaults.
        origin: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
}
