//! Where the passphrase of a key file comes from: the environment, a file it names, or somebody at a terminal. Never the
//! command line, which every user of a machine can read.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use identity::Passphrase;

const TEXT: &str = "ADIT_KEY_PASSPHRASE";
const FILE: &str = "ADIT_KEY_PASSPHRASE_FILE";

/// Far longer than anybody's passphrase, in bytes.
const MAX_LEN: usize = 1024;

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassphraseError {
    #[error("{TEXT} and {FILE} are both set; unset one of them")]
    Both,
    #[error("{TEXT} is not UTF-8")]
    Encoding,
    #[error("cannot read {} ({FILE}): {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} ({FILE}) does not hold a passphrase: 1 to {MAX_LEN} bytes of UTF-8", path.display())]
    Content { path: PathBuf },
    #[error(
        "the key file {} wants a passphrase, and there is no terminal to ask at; set {FILE} or {TEXT}",
        path.display()
    )]
    NoTerminal { path: PathBuf },
    #[error("cannot read a passphrase: {0}")]
    Terminal(io::Error),
    #[error("the passphrase is empty")]
    Empty,
    #[error("the two passphrases differ; nothing was done")]
    Differ,
}

/// The passphrase that the environment sets; a variable that is empty is not set.
pub(super) fn configured() -> Result<Option<Passphrase>, PassphraseError> {
    match (variable(TEXT), variable(FILE)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(PassphraseError::Both),
        (Some(text), None) => {
            let text = text.into_string().map_err(|_| PassphraseError::Encoding)?;
            passphrase(text).map(Some)
        }
        (None, Some(path)) => in_file(Path::new(&path)).map(Some),
    }
}

/// Asks for the passphrase of this key file, without showing it.
pub(super) fn ask(path: &Path) -> Result<Passphrase, PassphraseError> {
    prompt(path, &format!("Passphrase of {}: ", path.display()))
}

/// Asks for a new passphrase, twice: one that was mistyped would lock its owner out.
pub(super) fn ask_new(path: &Path) -> Result<Passphrase, PassphraseError> {
    let first = prompt(path, &format!("New passphrase for {}: ", path.display()))?;
    let second = prompt(path, "The same again: ")?;
    if first != second {
        return Err(PassphraseError::Differ);
    }
    Ok(first)
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// One line end behind the passphrase is the editor's, not part of it.
fn in_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    let mut bytes = Vec::with_capacity(MAX_LEN + 3);
    let limit = u64::try_from(MAX_LEN + 3).unwrap_or(u64::MAX);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| PassphraseError::File {
            path: path.to_owned(),
            source,
        })?;
    let content = || PassphraseError::Content {
        path: path.to_owned(),
    };
    let mut text = String::from_utf8(bytes).map_err(|_| content())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.len() > MAX_LEN {
        return Err(content());
    }
    Passphrase::new(text).map_err(|_| content())
}

fn prompt(path: &Path, words: &str) -> Result<Passphrase, PassphraseError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(PassphraseError::NoTerminal {
            path: path.to_owned(),
        });
    }
    let text = rpassword::prompt_password(words).map_err(PassphraseError::Terminal)?;
    passphrase(text)
}

fn passphrase(text: String) -> Result<Passphrase, PassphraseError> {
    Passphrase::new(text).map_err(|_| PassphraseError::Empty)
}
