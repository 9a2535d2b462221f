//! What the operating system grants this process.

use std::io;

/// Raises the number of files that may be open at once to the most this user may have, and returns it.
///
/// Each connection is an open file, and the customary start is 1024.
///
/// # Errors
/// When the operating system refuses; the limit is then as it was.
pub fn raise_open_files() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}
