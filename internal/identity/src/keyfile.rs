//! The key file: made at first use, never overwritten, never half written, never readable by others.
//!
//! A lost key is a lost hostname and a leaked key is a stolen one, so a file that is not private is refused rather than
//! repaired: who could read it may have done so. Unix only, as the permissions are.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::key::SecretKey;

/// A PEM file of an Ed25519 key has some 120 bytes; the rest is room for comments.
const MAX_FILE_LEN: usize = 16 * 1024;

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
    /// Its content is no key.
    #[error("the key file {} holds no usable key: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::key::KeyError,
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
    /// Reads the key in `path`, a PKCS#8 PEM file that only its owner may read. Symbolic links are followed.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`], all but `Exists`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let pem = read_private(path)?;
        Self::from_pem(&pem).map_err(|source| KeyFileError::Content {
            path: path.to_owned(),
            source,
        })
    }

    /// Makes a new key in `path` with mode 0600, and the directories above it (mode 0700) where they are missing. The
    /// file appears under its name whole and on disk, or not at all.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Exists`] when there is something at `path`; [`KeyFileError::Io`].
    pub fn create_new(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let making = |source| KeyFileError::Io {
            path: path.to_owned(),
            doing: "make",
            source,
        };
        let key = Self::generate();
        let directory = parent(path);
        let file = write_beside(directory, key.to_pem().as_bytes()).map_err(making)?;
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

    /// Reads the key in `path`, or makes it at first use; true when it was made. Of several processes that come first
    /// together, one makes the key and the others read it.
    ///
    /// # Errors
    ///
    /// As [`SecretKey::load`] and [`SecretKey::create_new`].
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<(Self, bool), KeyFileError> {
        let path = path.as_ref();
        match Self::load(path) {
            Err(KeyFileError::NotFound { .. }) => {}
            loaded => return loaded.map(|key| (key, false)),
        }
        match Self::create_new(path) {
            Err(KeyFileError::Exists { .. }) => Self::load(path).map(|key| (key, false)),
            created => created.map(|key| (key, true)),
        }
    }
}

/// Reads a private file of bounded size.
fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let reading = |source| reading_error(path, source);
    // Before opening, because opening a pipe would wait for its writer.
    check_private(path, &std::fs::metadata(path).map_err(reading)?)?;
    let file = File::open(path).map_err(reading)?;
    // Again on what was opened, because the name may have changed hands in between.
    check_private(path, &file.metadata().map_err(reading)?)?;
    // With its capacity from the start: a growing buffer would leave copies that are never wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN + 1));
    file.take(MAX_FILE_LEN as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(reading)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() <= MAX_FILE_LEN => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(KeyFileError::NotAKeyFile {
            path: path.to_owned(),
        }),
    }
}

fn check_private(path: &Path, metadata: &Metadata) -> Result<(), KeyFileError> {
    if !metadata.is_file() {
        return Err(KeyFileError::NotAKeyFile {
            path: path.to_owned(),
        });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Writes a private temporary file into the directory, on disk when this returns. A crash leaves at worst this file.
fn write_beside(directory: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    make_directory(directory)?;
    // Opened with O_EXCL and 0600; removed again when it is dropped before it has its final name.
    let mut file = tempfile::Builder::new()
        .prefix(".adit-key.")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    // A strange umask may have taken the owner's bits away.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes the missing directories, and sees to it that they survive a crash as the file in them does.
fn make_directory(directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    missing
        .into_iter()
        .try_for_each(|made| sync_directory(parent(made)))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory a path is in: `.` for a bare file name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn reading_error(path: &Path, source: io::Error) -> KeyFileError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => KeyFileError::NotFound { path },
        _ => KeyFileError::Io {
            path,
            doing: "read",
            source,
        },
    }
}

#[cfg(test)]
mod tests;
