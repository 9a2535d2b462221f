//! The table `[files]`: how a folder is served.

use files::Config;
use runtime::config::{ConfigError, List, Loaded};
use serde::Deserialize;

use super::Written;
use super::words::{Switch, Word};

/// How a folder is served, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenFiles {
    index: Option<List<Word>>,
    listing: Switch,
    dotfiles: Switch,
    symlinks: Switch,
}

/// # Errors
/// A name that is none of a file in the folder itself.
pub(super) fn read(loaded: &Loaded<Written>) -> Result<Config, ConfigError> {
    let written = &loaded.settings.files;
    let index: Vec<String> = match &written.index {
        None => Config::default().index,
        Some(names) => names.0.iter().map(Word::text).collect(),
    };
    let wrong = |name: &&String| {
        name.is_empty() || name.contains(['/', '\0']) || *name == "." || *name == ".."
    };
    if let Some(name) = index.iter().find(wrong) {
        let problem = format!(
            "{name:?} is no name of a file; write names such as index.html, without a slash"
        );
        return Err(loaded.fault("files.index", problem));
    }
    Ok(Config {
        index,
        listing: written.listing.0,
        dotfiles: written.dotfiles.0,
        symlinks: written.symlinks.0,
    })
}
