//! A folder that is served, and the way from a request to a task that may block.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use tokio::task::spawn_blocking;

use crate::answer;
use crate::body::FileBody;

/// How a folder is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The files that stand for a folder, the first that there is. Default `index.html`.
    pub index: Vec<String>,
    /// Whether a folder without one of those is shown as a list of names; otherwise it is not found. Default no.
    pub listing: bool,
    /// Whether names that begin with a dot are served: `.git`, `.env` and their kin. Default no, except for
    /// `/.well-known` (RFC 8615).
    pub dotfiles: bool,
    /// Whether symbolic links are followed, as far as they stay inside the folder. Default no: a link is not found.
    pub symlinks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            listing: false,
            dotfiles: false,
            symlinks: false,
        }
    }
}

/// A folder that is served.
#[derive(Clone)]
pub struct Folder(Arc<Site>);

/// What requests are answered from. It holds no handle: a folder that is replaced as a whole, as deployments do it, is
/// found again by the next request.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) config: Config,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.0.root).finish()
    }
}

impl Folder {
    /// Serves what is under `root`. The path itself may lead over symbolic links; it is the owner's word.
    ///
    /// # Errors
    /// It is no folder, or cannot be read; symbolic links are to be followed on a system that cannot keep them inside.
    pub fn new(root: impl Into<PathBuf>, config: Config) -> io::Result<Self> {
        let root = root.into();
        // Asks for the right to read it too.
        fs::read_dir(&root)?;
        if config.symlinks && !cfg!(target_os = "linux") {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "symbolic links can be kept inside a folder on Linux only; leave them off",
            ));
        }
        Ok(Self(Arc::new(Site { root, config })))
    }

    /// The folder, as it was named.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Answers one request; its body is not looked at. The URI is in origin form.
    ///
    /// # Cancel safety
    /// Dropping the future, or later the body, ends the work after the read that is under way.
    pub fn answer<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Response<FileBody>> + Send + use<B> {
        let (site, asked) = (self.0.clone(), answer::Asked::of(request));
        async move {
            // A panic in there would be ours; it costs this request.
            let answering = spawn_blocking(move || answer::answer(&site, &asked)).await;
            answering.unwrap_or_else(|_| answer::status(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}
