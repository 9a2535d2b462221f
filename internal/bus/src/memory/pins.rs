//! The pins of a fleet of one process, and the file that they survive it in.
//!
//! With a file, a pin is on disk before it counts, and pins are added one at a time: a rotation is rare, and what has
//! rotated already is only looked at.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

use super::snapshot::{self, SnapshotError};
use crate::PinError;
use crate::law::{self, Pin};

pub(super) struct Pins {
    known: Mutex<law::Pins>,
    file: Option<File>,
}

struct File {
    path: PathBuf,
    /// Held by whoever adds a pin, until it is on disk: files must not overtake each other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Pins {
    /// Pins that last as long as the process.
    pub(super) fn in_memory() -> Self {
        Self {
            known: Mutex::default(),
            file: None,
        }
    }

    /// Pins that last as long as the file. Blocks: for the start.
    pub(super) fn in_file(path: &Path) -> Result<Self, SnapshotError> {
        let known = snapshot::open(path)?;
        tracing::info!(path = %path.display(), names = known.len(), "the pins of rotated keys are read");
        Ok(Self {
            known: Mutex::new(known),
            file: Some(File {
                path: path.to_owned(),
                turn: Arc::default(),
            }),
        })
    }

    /// Decides and remembers. Dropped, it has happened wholly or not at all, at the latest soon.
    pub(super) async fn pin(self: &Arc<Self>, name: [u8; 32], pin: Pin) -> Result<(), PinError> {
        let Some(file) = &self.file else {
            let mut known = self.known();
            if known.is_news(name, pin)? {
                known.remember(name, pin);
            }
            return Ok(());
        };
        if !self.known().is_news(name, pin)? {
            return Ok(());
        }
        let turn = Arc::clone(&file.turn).lock_owned().await;
        let pins = Arc::clone(self);
        let added = spawn_blocking(move || {
            // Kept for as long as the file is written, even if nobody waits for that any more.
            let _turn = turn;
            pins.add(name, pin)
        });
        added.await.unwrap_or(Err(PinError::Unavailable))
    }

    fn add(&self, name: [u8; 32], pin: Pin) -> Result<(), PinError> {
        // While it waited for its turn, another may have come.
        if !self.known().is_news(name, pin)? {
            return Ok(());
        }
        let Some(file) = &self.file else {
            return Err(PinError::Unavailable);
        };
        let text = {
            let mut next = self.known().clone();
            next.remember(name, pin);
            snapshot::encode(&next)
        };
        let written = snapshot::write(&file.path, &text);
        written.map_err(|error| complain(&file.path, &error))?;
        self.known().remember(name, pin);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, law::Pins> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn complain(path: &Path, error: &io::Error) -> PinError {
    tracing::error!(path = %path.display(), %error, "a rotation is refused: its pin cannot be written");
    PinError::Unavailable
}
