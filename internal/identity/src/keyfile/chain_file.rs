//! The file of a key's chain of rotations: a JSON array of statements, oldest first. Nothing in it is secret, and nothing
//! is believed without its signature; it is private only because its neighbour is.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::KeyFileError;
use super::disk::{MAX_FILE_LEN, parent, sync_directory, write_beside};
use crate::chain::{Chain, ChainError};
use crate::key::SecretKey;

/// What is wrong with the file of a chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainFault {
    /// It is not a JSON array of texts, or larger than a chain can be.
    #[error("it is no list of statements")]
    Form,
    /// Its statements prove nothing, or nothing about this key.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The operating system said no.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// `key.chain` for `key.pem`, where the key file really is: so that a link to a key is a link to its chain too.
pub(super) fn beside(path: &Path) -> PathBuf {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let chain = real.with_extension("chain");
    if chain != real {
        return chain;
    }
    real.with_extension("chain.chain")
}

/// Gives the key in `path` its chain.
///
/// The file may hold more statements than lead to the key: a rotation that did not come to its end has left the old key in
/// its place, and what it signed is void.
pub(super) fn attach(mut key: SecretKey, path: &Path) -> Result<SecretKey, KeyFileError> {
    let chain = beside(path);
    let attached = read(&chain).and_then(|statements| {
        let Some(statements) = statements else {
            return Ok(());
        };
        let whole = Chain::read(statements)?;
        key.set_chain(whole.up_to(key.public()).ok_or(ChainError::OtherKey)?);
        Ok(())
    });
    match attached {
        Ok(()) => Ok(key),
        Err(why) => Err(KeyFileError::Chain {
            path: path.to_owned(),
            chain,
            why,
        }),
    }
}

/// The statements in the file; none when there is no file.
fn read(file: &Path) -> Result<Option<Vec<String>>, ChainFault> {
    let metadata = match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    // Before opening, because opening a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(ChainFault::Form);
    }
    let mut text = Vec::new();
    File::open(file)?
        .take(MAX_FILE_LEN as u64)
        .read_to_end(&mut text)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|_| ChainFault::Form)
}

/// Puts the statements in the file's place, whole and on disk when this returns.
pub(super) fn write(file: &Path, chain: &Chain) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(chain.statements()).map_err(io::Error::from)?;
    text.push(b'\n');
    let directory = parent(file);
    write_beside(directory, &text)?.persist(file)?;
    sync_directory(directory)
}
