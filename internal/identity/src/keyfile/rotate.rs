//! Puts a new key in the place of an old one, so that whatever happens in between there is a key that works.
//!
//! Two files have to change, and no file system changes two at once. The order is what makes it safe:
//!
//! 1. the new key is written and synced under a temporary name;
//! 2. the old key gets a second file, `key.pem.old-1`;
//! 3. the chain is replaced, with the new statement at its end;
//! 4. the new key takes the place of the old one, by one rename.
//!
//! A crash before 4 leaves the old key in its place. From 3 on the chain goes on past it, which its reader forgives: it takes
//! the part that leads to the key it finds. The statement that nobody has seen is void, because the key it names is in no
//! file that is read, and the next rotation makes another in its place. The other order would be a disaster: the new key
//! without its statement is a stranger with another hostname.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::disk::{parent, read_private, reading_error, sync_directory, write_beside};
use super::{KeyFileError, chain_file, load};
use crate::key::{Passphrase, SecretKey};

/// What a rotation has left behind.
#[derive(Debug)]
pub struct Rotated {
    /// The key that holds the name now.
    pub key: SecretKey,
    /// Where it is: links are followed.
    pub key_file: PathBuf,
    /// The file of the key before, protected as it was.
    pub old_file: PathBuf,
    /// The file of the chain.
    pub chain_file: PathBuf,
}

impl SecretKey {
    /// Puts a new key in `path`, which takes over the name of the key that is there, under `domain`. With a passphrase the
    /// new file is protected by it, and the old one may be. `iat` is now, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]; the key in `path` is then the old one, with its chain as it was.
    pub fn rotate_file(
        path: impl AsRef<Path>,
        passphrase: Option<&Passphrase>,
        domain: &str,
        iat: u64,
    ) -> Result<Rotated, KeyFileError> {
        let given = path.as_ref();
        let path = fs::canonicalize(given).map_err(|source| reading_error(given, source))?;
        let _one_at_a_time = lock(&path)?;
        let old = load(&path, passphrase)?;
        let new = old
            .rotate(domain, iat)
            .map_err(|source| KeyFileError::Rotation {
                path: path.clone(),
                source,
            })?;
        let rotated = Rotated {
            old_file: old_file(&path, new.chain().sequence()),
            chain_file: chain_file::beside(&path),
            key: new,
            key_file: path,
        };
        rotated.store(passphrase)?;
        Ok(rotated)
    }
}

impl Rotated {
    /// The four steps.
    fn store(&self, passphrase: Option<&Passphrase>) -> Result<(), KeyFileError> {
        let (path, directory) = (&self.key_file, parent(&self.key_file));
        let writing = |source| KeyFileError::Io {
            path: path.clone(),
            doing: "rotate",
            source,
        };
        let waiting =
            write_beside(directory, self.key.file_text(passphrase).as_bytes()).map_err(writing)?;
        keep(path, &self.old_file)?;
        chain_file::write(&self.chain_file, self.key.chain()).map_err(writing)?;
        waiting
            .persist(path)
            .map_err(|refused| writing(refused.error))?;
        sync_directory(directory).map_err(writing)
    }
}

/// `key.pem.old-1` for the first rotation of `key.pem`.
fn old_file(path: &Path, sequence: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".old-{sequence}"));
    name.into()
}

/// Copies the key file to `old`, unless a rotation that did not come to its end has done so.
fn keep(path: &Path, old: &Path) -> Result<(), KeyFileError> {
    let content = read_private(path)?;
    let keeping = |source| KeyFileError::Io {
        path: old.to_owned(),
        doing: "make",
        source,
    };
    let file = write_beside(parent(old), content.as_bytes()).map_err(keeping)?;
    match file.persist_noclobber(old) {
        Ok(_) => sync_directory(parent(old)).map_err(keeping),
        Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => {
            if read_private(old)? == content {
                return Ok(());
            }
            Err(KeyFileError::Exists {
                path: old.to_owned(),
            })
        }
        Err(refused) => Err(keeping(refused.error)),
    }
}

/// Holds the key file against other rotations until it is dropped.
fn lock(path: &Path) -> Result<File, KeyFileError> {
    let reading = |source| reading_error(path, source);
    let busy = || KeyFileError::Busy {
        path: path.to_owned(),
    };
    let file = File::open(path).map_err(reading)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(source)) => return Err(reading(source)),
    }
    // The lock may be on a file that another rotation has just replaced.
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let same: io::Result<bool> = file
        .metadata()
        .and_then(|held| Ok(identity(held) == identity(fs::metadata(path)?)));
    if same.map_err(reading)? {
        Ok(file)
    } else {
        Err(busy())
    }
}
