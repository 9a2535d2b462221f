//! Opens a key file, with its passphrase where it has one.

use std::path::Path;

use identity::{KeyFileError, Passphrase, SecretKey};

use super::passphrase;

/// A key, and what the file of it is opened with.
pub(super) struct Opened {
    pub(super) key: SecretKey,
    pub(super) passphrase: Option<Passphrase>,
}

/// Opens the key file at `path`; asks for a passphrase when it wants one and none is set.
pub(super) fn open(path: &Path) -> anyhow::Result<Opened> {
    let passphrase = passphrase::configured()?;
    let loaded = match &passphrase {
        Some(passphrase) => SecretKey::load_protected(path, passphrase),
        None => SecretKey::load(path),
    };
    match loaded {
        Ok(key) => Ok(Opened { key, passphrase }),
        Err(KeyFileError::Locked { .. }) => unlock(path),
        Err(error) => Err(missing(error)),
    }
}

/// Opens the key file at `path`, or makes it: protected when a passphrase is set. True when it was made.
pub(crate) fn open_or_make(path: &Path) -> anyhow::Result<(SecretKey, bool)> {
    let loaded = match passphrase::configured()? {
        Some(passphrase) => SecretKey::load_or_create_protected(path, &passphrase),
        None => SecretKey::load_or_create(path),
    };
    match loaded {
        Err(KeyFileError::Locked { .. }) => Ok((unlock(path)?.key, false)),
        loaded => Ok(loaded?),
    }
}

/// Makes a key file at `path`: protected when a passphrase is wanted, and asked for unless one is set.
pub(super) fn make(path: &Path, wanted: bool) -> anyhow::Result<SecretKey> {
    // Before anybody is asked for a passphrase in vain.
    if path.exists() {
        let path = path.to_owned();
        return Err(KeyFileError::Exists { path }.into());
    }
    let passphrase = match passphrase::configured()? {
        None if wanted => Some(passphrase::ask_new(path)?),
        configured => configured,
    };
    Ok(match passphrase {
        Some(passphrase) => SecretKey::create_new_protected(path, &passphrase)?,
        None => SecretKey::create_new(path)?,
    })
}

fn unlock(path: &Path) -> anyhow::Result<Opened> {
    let passphrase = passphrase::ask(path)?;
    let key = SecretKey::load_protected(path, &passphrase)?;
    Ok(Opened {
        key,
        passphrase: Some(passphrase),
    })
}

/// A file that is not there can be made; the other errors say themselves what to do.
fn missing(error: KeyFileError) -> anyhow::Error {
    let not_found = matches!(error, KeyFileError::NotFound { .. });
    let error = anyhow::Error::new(error);
    if not_found {
        error.context("make a key with `adit key new`, or name its file with --key")
    } else {
        error
    }
}
