//! SIGTERM and SIGINT: the first asks for an orderly end, the second for an end at once.

use std::fmt;
use std::io;

use tokio::signal::unix::{self, SignalKind};
use tokio_util::sync::CancellationToken;

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: what a service manager sends.
    Terminate,
    /// SIGINT: Ctrl-C at a terminal.
    Interrupt,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// The signals of this process. While one lives, neither signal ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// Takes the signals over from now on: one that arrives before the first wait is not lost.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }

    /// Cancels `shutdown` at the first signal and returns at the second: whoever asks twice does not want to wait.
    ///
    /// Race it against the orderly end, and leave at once when it wins. Cancel safe.
    pub async fn until_forced(mut self, shutdown: CancellationToken) -> Signal {
        let first = self.next().await;
        tracing::info!(signal = %first, "shutting down; once more ends at once");
        shutdown.cancel();
        self.next().await
    }
}
