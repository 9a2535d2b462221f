//! Files that may change while a process runs.
//!
//! They are looked at each second, and not watched: a watch is lost where a file is replaced by way of a symbolic link, as
//! Kubernetes does with its volumes, and does not exist on some network file systems. A change counts once the file has
//! kept still from one look to the next, so that no half of a file is taken for the whole.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often files are looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// Files, as they were when last looked at.
#[derive(Debug, Default)]
pub struct Files(Vec<(PathBuf, Watched)>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Watched {
    taken: Option<Print>,
    seen: Option<Print>,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds: a file that was put in place of another may be older than that was.
    changed: (i64, i64),
    file: (u64, u64),
    len: u64,
}

impl Print {
    /// That of a file as it is now; `None` where there is none. It blocks for as long as a look takes.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
        })
    }
}

impl Files {
    /// These files, as they are now.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self::default().follow(paths)
    }

    /// These files instead: those that were known as they were known, others as they are now.
    #[must_use]
    pub fn follow<'a>(mut self, paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut files: Vec<(PathBuf, Watched)> = Vec::new();
        for path in paths {
            if files.iter().any(|(followed, _)| followed == path) {
                continue;
            }
            let known = self.0.iter().position(|(known, _)| known == path);
            files.push(known.map_or_else(
                || {
                    let print = Print::of(path);
                    let watched = Watched {
                        taken: print.clone(),
                        seen: print,
                    };
                    (path.to_owned(), watched)
                },
                |known| self.0.swap_remove(known),
            ));
        }
        Self(files)
    }

    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at each, and takes note of those that have changed and keep still. It blocks for as long as that takes.
    pub fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, watched) in &mut self.0 {
            let now = Print::of(path);
            let still = watched.seen == now;
            watched.seen = now;
            if still && watched.seen != watched.taken {
                watched.taken.clone_from(&watched.seen);
                changed = true;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn a_file_has_changed_when_it_keeps_still_again() {
        let mut file = NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let mut files = Files::of([&*path]);
        assert!(!files.have_changed());
        file.write_all(b"half").unwrap();
        assert!(!files.have_changed(), "it may still be written");
        file.write_all(b" of it").unwrap();
        assert!(!files.have_changed());
        assert!(files.have_changed());
        assert!(!files.have_changed(), "once");

        fs::remove_file(&path).unwrap();
        assert!(!files.have_changed());
        assert!(files.have_changed(), "it is gone");
    }

    #[test]
    fn files_that_are_named_anew_are_followed_from_there_on_and_others_forgotten() {
        let (one, other) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let mut files = Files::of([one.path(), Path::new("/nowhere"), one.path()]);
        assert_eq!(files.0.len(), 2);
        files = files.follow([other.path()]);
        assert!(!files.have_changed());
        one.as_file().write_all(b"x").unwrap();
        assert!(!files.have_changed() && !files.have_changed(), "forgotten");
        other.as_file().write_all(b"x").unwrap();
        assert!(!files.have_changed() && files.have_changed());
        assert!(Files::of([]).is_empty());
    }
}
