//! Files that a program is given, and that change while it runs.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

/// A folder of its own for one test. It is gone when dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Where a file of that name is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file; its path, as a word of a command line.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder can be written to");
        path.display().to_string()
    }

    /// Puts a file in place of another at one stroke, as careful tools do.
    pub fn replace(&self, name: &str, text: &str) {
        let new = self.write("new", text);
        fs::rename(new, self.path(name)).expect("a file can be renamed");
    }
}
