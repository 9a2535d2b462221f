//! Opens what names name, and nothing that is not below the root.
//!
//! Without symbolic links each name is opened below the handle of the one before, and a link is refused where it stands:
//! there is no path that could be bent between a check and its use. With them the kernel resolves the whole path and
//! refuses what leaves the root (`openat2`, Linux 5.6).

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

/// A handle that names can be opened below; it takes no right to list the folder where the system can do without.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEARCH: OFlags = OFlags::RDONLY;

/// What a name leads to.
#[derive(Debug)]
pub(crate) enum Found {
    File(File, Metadata),
    Folder(Place),
}

/// A folder at or below the root.
#[derive(Debug)]
pub(crate) struct Place {
    root: OwnedFd,
    /// From the root to here.
    names: Vec<OsString>,
    symlinks: bool,
}

impl Place {
    /// The root itself.
    pub(crate) fn root(path: &Path, symlinks: bool) -> io::Result<Self> {
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: openat(CWD, path, flags, Mode::empty())?,
            names: Vec::new(),
            symlinks,
        })
    }

    /// What these names lead to, from here; `None` where it is neither a file nor a folder.
    pub(crate) fn find(mut self, names: Vec<OsString>) -> io::Result<Option<Found>> {
        self.names.extend(names);
        let Some((last, folders)) = self.names.split_last() else {
            return Ok(Some(Found::Folder(self)));
        };
        let below = self.walk(folders)?;
        let below = below.as_ref().unwrap_or(&self.root);
        // Asked first, because to open a device or a pipe can be an act of its own.
        let kind = match self.symlinks {
            false => {
                FileType::from_raw_mode(statat(below, last, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            true => self.kind()?,
        };
        match kind {
            FileType::Directory => Ok(Some(Found::Folder(self))),
            FileType::RegularFile => {
                let file = match self.symlinks {
                    false => openat(below, last, READ | OFlags::NOFOLLOW, Mode::empty())?,
                    true => self.resolve(READ)?,
                };
                let file = File::from(file);
                let metadata = file.metadata()?;
                Ok(metadata.is_file().then_some(Found::File(file, metadata)))
            }
            _ => Ok(None),
        }
    }

    /// A file of this folder; `None` where there is none of that name.
    pub(crate) fn file(&self, name: &OsStr) -> io::Result<Option<(File, Metadata)>> {
        let here = Self {
            root: self.root.try_clone()?,
            names: self.names.clone(),
            symlinks: self.symlinks,
        };
        match here.find(vec![name.to_owned()]) {
            Ok(Some(Found::File(file, metadata))) => Ok(Some((file, metadata))),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A handle of this folder that can be listed.
    pub(crate) fn listed(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Some((last, folders)) = self.names.split_last() else {
            return Ok(openat(&self.root, ".", flags, Mode::empty())?);
        };
        if self.symlinks {
            return self.resolve(flags);
        }
        let below = self.walk(folders)?;
        let below = below.as_ref().unwrap_or(&self.root);
        Ok(openat(
            below,
            last,
            flags | OFlags::NOFOLLOW,
            Mode::empty(),
        )?)
    }

    /// The folder that these names lead to from the root, one by one; `None` is the root. With links there is nothing to
    /// walk: the kernel resolves.
    fn walk(&self, folders: &[OsString]) -> io::Result<Option<OwnedFd>> {
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        for name in folders.iter().filter(|_| !self.symlinks) {
            let below = at.as_ref().unwrap_or(&self.root);
            at = Some(openat(below, name, flags, Mode::empty())?);
        }
        Ok(at)
    }

    #[cfg(target_os = "linux")]
    fn kind(&self) -> io::Result<FileType> {
        let handle = self.resolve(OFlags::PATH | OFlags::CLOEXEC)?;
        Ok(FileType::from_raw_mode(rustix::fs::fstat(handle)?.st_mode))
    }

    #[cfg(target_os = "linux")]
    fn resolve(&self, flags: OFlags) -> io::Result<OwnedFd> {
        use rustix::fs::{ResolveFlags, openat2};

        /// The kernel gives up a look at `..` when something is moved meanwhile, and asks to be asked again.
        const TRIES: usize = 8;

        let path: std::path::PathBuf = self.names.iter().collect();
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open = || openat2(&self.root, &path, flags, Mode::empty(), inside);
        let opened = (1..TRIES)
            .map(|_| open())
            .find(|opened| !matches!(opened, Err(Errno::AGAIN)));
        Ok(opened.unwrap_or_else(open)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn kind(&self) -> io::Result<FileType> {
        Err(self.resolve(OFlags::empty()).expect_err("it never does"))
    }

    /// A folder with links is not served at all on such a system.
    #[cfg(not(target_os = "linux"))]
    fn resolve(&self, _: OFlags) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Not to wait for the other end, should it be a pipe after all.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Whether an error only says that there is nothing of that name, or nothing that is served: a link, and a way out.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    const ABSENT: [Errno; 6] = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::XDEV,
        Errno::NAMETOOLONG,
        Errno::INVAL,
    ];
    Errno::from_io_error(error).is_some_and(|error| ABSENT.contains(&error))
}
