//! When to read the file of tunnels again.

use std::path::PathBuf;

use runtime::files::{Files, LOOK};
use tokio::signal::unix::Signal;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// The file of tunnels, the files that it names, and SIGHUP.
pub(super) struct Watch {
    files: Files,
    /// A look that is under way: it has the files meanwhile.
    look: Option<JoinHandle<(Files, bool)>>,
    next: Instant,
    hangup: Signal,
}

impl Watch {
    pub(super) fn of(files: &[PathBuf], hangup: Signal) -> Self {
        Self {
            files: Files::of(files.iter().map(|file| &**file)),
            look: None,
            next: Instant::now() + LOOK,
            hangup,
        }
    }

    /// Waits for SIGHUP, or for a file that has changed and keeps still. Cancel safe: what a look has found is not lost.
    pub(super) async fn changed(&mut self) {
        loop {
            if self.look.is_none() {
                tokio::select! {
                    _ = self.hangup.recv() => return,
                    () = sleep_until(self.next) => {}
                }
            }
            let files = &mut self.files;
            // In another thread, for a file system may keep it waiting.
            let look = self.look.get_or_insert_with(|| {
                let mut files = std::mem::take(files);
                spawn_blocking(move || {
                    let changed = files.have_changed();
                    (files, changed)
                })
            });
            let (files, changed) = look.await.expect("a look does not panic");
            (self.files, self.look) = (files, None);
            self.next = Instant::now() + LOOK;
            if changed {
                return;
            }
        }
    }

    /// Looks at these files from now on.
    pub(super) fn follow(&mut self, files: &[PathBuf]) {
        let known = std::mem::take(&mut self.files);
        self.files = known.follow(files.iter().map(|file| &**file));
    }
}
