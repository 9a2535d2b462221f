//! The load balancers that people put in front of a fleet, from Debian, each with the settings its manual suggests.
//!
//! `HAProxy` repeats nothing that may have reached a node; nginx does, with requests that may be repeated (GET and its
//! like). Whatever else a test then sees lost, a visitor would have lost.

mod haproxy;
mod nginx;

use std::{fs, net::SocketAddr, path::Path};

use tempfile::TempDir;

pub use haproxy::HaProxy;
pub use nginx::Nginx;

use crate::{port::Port, process::Program};

/// Which balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks each node whether it is ready.
    HaProxy,
    /// Learns from its visitors' failures.
    Nginx,
}

/// A running balancer of either kind.
#[derive(Debug)]
pub enum Balancer {
    /// Asks each node whether it is ready.
    HaProxy(HaProxy),
    /// Learns from its visitors' failures.
    Nginx(Nginx),
}

impl Balancer {
    /// A balancer on `port` in front of `servers`.
    pub async fn start(kind: Kind, port: Port, servers: &[SocketAddr]) -> Self {
        match kind {
            Kind::HaProxy => Self::HaProxy(HaProxy::at(port, servers).await),
            Kind::Nginx => Self::Nginx(Nginx::at(port, servers).await),
        }
    }

    /// Where visitors and agents come in.
    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::HaProxy(haproxy) => haproxy.addr(),
            Self::Nginx(nginx) => nginx.addr(),
        }
    }
}

/// What both are: a program with a configuration file, on a port.
#[derive(Debug)]
struct Daemon {
    port: Port,
    folder: TempDir,
    _program: Program,
}

impl Daemon {
    /// Starts `command`, to which `args` gives the words for the file that `settings` has written.
    async fn start(
        command: &str,
        port: Port,
        settings: impl FnOnce(&Path, u16) -> String,
        args: impl FnOnce(&Path, &Path) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("settings");
        let text = settings(folder.path(), port.number());
        fs::write(&file, text).expect("the settings can be written");
        // Debian keeps both where the PATH of an ordinary user does not lead.
        let path = Path::new("/usr/sbin").join(command);
        let found = if path.exists() { path } else { command.into() };
        let mut program = Program::start(found, args(folder.path(), &file));
        program.accepts(port.addr()).await;
        Self {
            port,
            folder,
            _program: program,
        }
    }
}

#[cfg(test)]
mod tests;
