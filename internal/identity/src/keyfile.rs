//! The key file: made at first use, never overwritten, never half written, never readable by others. Beside it lies
//! the chain of rotations that its key came by, if any.
//!
//! A lost key is a lost hostname and a leaked key is a stolen one, so a file that is not private is refused rather than
//! repaired: who could read it may have done so. Unix only, as the permissions are.

mod chain_file;
mod disk;
mod rotate;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::chain::ChainError;
use crate::key::{KeyError, Passphrase, SecretKey};

pub use chain_file::ChainFault;
use disk::{parent, read_private, sync_directory, write_beside};
pub use rotate::Rotated;

/// Why a key file was not read or made. Each message names the file, and what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no key file {}", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// A new key was asked for, but the file is there already. It was not touched.
    #[error("the key file {} exists already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Its group or others may read or write it.
    #[error("the key file {0} is open to other users (mode {mode:04o}); run: chmod 600 {0}", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a directory, a device, a socket, or too large for a key.
    #[error("{} is not a key file", path.display())]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// It is protected, and no passphrase was given.
    #[error("the key file {} is protected by a passphrase", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is protected by another passphrase, or damaged.
    #[error("the passphrase does not open the key file {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// Its content is no key.
    #[error("the key file {} holds no usable key: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The file beside it is no chain of rotations that leads to its key.
    #[error("the chain of rotations {} does not fit the key file {}: {why}", chain.display(), path.display())]
    Chain {
        /// The key file.
        path: PathBuf,
        /// The file of its chain.
        chain: PathBuf,
        /// What is wrong with it.
        why: ChainFault,
    },
    /// A new key would be taken for one of the chain that is there already.
    #[error(
        "there is no key file {}, but the chain of rotations of one, {}; bring the key back, or move the chain away",
        path.display(), chain.display()
    )]
    Orphan {
        /// The key file.
        path: PathBuf,
        /// The file of the chain.
        chain: PathBuf,
    },
    /// Its key cannot be rotated. Nothing was changed.
    #[error("the key in {} cannot be rotated: {source}", path.display())]
    Rotation {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ChainError,
    },
    /// Another process is rotating it.
    #[error("the key file {} is being rotated by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot {doing} the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl SecretKey {
    /// Reads the key in `path`, a PKCS#8 PEM file that only its owner may read, and its chain of rotations in the file of
    /// the same name with the extension `chain`, if there is one. Symbolic links are followed, to the chain too.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]: [`KeyFileError::Locked`] for a protected one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        load(path.as_ref(), None)
    }

    /// [`SecretKey::load`] for a key file that may be protected. Takes a quarter of a second when it is.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]: [`KeyFileError::WrongPassphrase`] when it is protected otherwise.
    pub fn load_protected(
        path: impl AsRef<Path>,
        passphrase: &Passphrase,
    ) -> Result<Self, KeyFileError> {
        load(path.as_ref(), Some(passphrase))
    }

    /// Makes a new key in `path` with mode 0600, and the directories above it (mode 0700) where they are missing. The
    /// file appears under its name whole and on disk, or not at all.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Exists`] when there is something at `path`; [`KeyFileError::Orphan`]; [`KeyFileError::Io`].
    pub fn create_new(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        create(path.as_ref(), None)
    }

    /// [`SecretKey::create_new`], in a file that only the passphrase opens.
    ///
    /// # Errors
    ///
    /// As [`SecretKey::create_new`].
    pub fn create_new_protected(
        path: impl AsRef<Path>,
        passphrase: &Passphrase,
    ) -> Result<Self, KeyFileError> {
        create(path.as_ref(), Some(passphrase))
    }

    /// Reads the key in `path`, or makes it at first use; true when it was made. Of several processes that come first
    /// together, one makes the key and the others read it.
    ///
    /// # Errors
    ///
    /// As [`SecretKey::load`] and [`SecretKey::create_new`].
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<(Self, bool), KeyFileError> {
        load_or_create(path.as_ref(), None)
    }

    /// [`SecretKey::load_or_create`] for a key file that may be protected, and is when this makes it.
    ///
    /// # Errors
    ///
    /// As [`SecretKey::load_protected`] and [`SecretKey::create_new_protected`].
    pub fn load_or_create_protected(
        path: impl AsRef<Path>,
        passphrase: &Passphrase,
    ) -> Result<(Self, bool), KeyFileError> {
        load_or_create(path.as_ref(), Some(passphrase))
    }

    /// The file's text.
    fn file_text(&self, passphrase: Option<&Passphrase>) -> zeroize::Zeroizing<String> {
        passphrase.map_or_else(
            || self.to_pem(),
            |passphrase| self.to_protected_pem(passphrase),
        )
    }
}

fn load(path: &Path, passphrase: Option<&Passphrase>) -> Result<SecretKey, KeyFileError> {
    let key = load_unchained(path, passphrase)?;
    chain_file::attach(key, path)
}

fn load_unchained(path: &Path, passphrase: Option<&Passphrase>) -> Result<SecretKey, KeyFileError> {
    let pem = read_private(path)?;
    let key = match passphrase {
        Some(passphrase) => SecretKey::from_protected_pem(&pem, passphrase),
        None => SecretKey::from_pem(&pem),
    };
    key.map_err(|source| {
        let path = path.to_owned();
        match source {
            KeyError::Protected => KeyFileError::Locked { path },
            KeyError::Passphrase => KeyFileError::WrongPassphrase { path },
            source => KeyFileError::Content { path, source },
        }
    })
}

fn create(path: &Path, passphrase: Option<&Passphrase>) -> Result<SecretKey, KeyFileError> {
    let making = |source| KeyFileError::Io {
        path: path.to_owned(),
        doing: "make",
        source,
    };
    let chain = chain_file::beside(path);
    if chain.exists() {
        let path = path.to_owned();
        return Err(if path.exists() {
            KeyFileError::Exists { path }
        } else {
            KeyFileError::Orphan { path, chain }
        });
    }
    let key = SecretKey::generate();
    let directory = parent(path);
    let file = write_beside(directory, key.file_text(passphrase).as_bytes()).map_err(making)?;
    // Takes the name only if it is free: of two that race, one wins and no key is lost.
    file.persist_noclobber(path)
        .map_err(|refused| match refused.error.kind() {
            ErrorKind::AlreadyExists => KeyFileError::Exists {
                path: path.to_owned(),
            },
            _ => making(refused.error),
        })?;
    sync_directory(directory).map_err(making)?;
    Ok(key)
}

fn load_or_create(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<(SecretKey, bool), KeyFileError> {
    match load(path, passphrase) {
        Err(KeyFileError::NotFound { .. }) => {}
        loaded => return loaded.map(|key| (key, false)),
    }
    match create(path, passphrase) {
        Err(KeyFileError::Exists { .. }) => load(path, passphrase).map(|key| (key, false)),
        created => created.map(|key| (key, true)),
    }
}

#[cfg(test)]
mod tests;
