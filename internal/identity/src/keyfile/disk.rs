//! Private files: read when nobody else could, written whole or not at all.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::KeyFileError;

/// A PEM file of an Ed25519 key has some 120 bytes, a protected one some 350; the rest is room for comments.
pub(super) const MAX_FILE_LEN: usize = 16 * 1024;

/// Reads a private file of bounded size.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
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
pub(super) fn write_beside(directory: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
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

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory a path is in: `.` for a bare file name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn reading_error(path: &Path, source: io::Error) -> KeyFileError {
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
