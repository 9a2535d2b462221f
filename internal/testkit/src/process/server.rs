//! `adit-server`, started as an operator starts it.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::{Program, binary};
use crate::visitor::Visitor;

/// A running `adit-server`.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub program: Program,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Holds its configuration file.
    settings: Option<TempDir>,
}

impl Server {
    /// A server on a port of the system's choice, with these options added.
    pub async fn start(options: &[&str]) -> Self {
        Self::at("127.0.0.1:0", options).await
    }

    /// A server with these settings in its configuration file.
    pub async fn configured(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("server.toml");
        std::fs::write(&file, text).expect("the settings can be written");
        let mut server = Self::start(&["--config", &file.display().to_string()]).await;
        server.settings = Some(folder);
        server
    }

    /// A server on that address.
    pub async fn at(listen: &str, options: &[&str]) -> Self {
        let mut args = vec!["--listen", listen, "--domain", "localhost"];
        args.extend(options);
        let mut program = Program::start(binary("adit-server"), args);
        let addr = program
            .line("where it listens", |line| {
                let after = line.split_once("listening on http://")?.1;
                after
                    .split_whitespace()
                    .next()?
                    .trim_end_matches('/')
                    .parse()
                    .ok()
            })
            .await;
        Self {
            program,
            addr,
            settings: None,
        }
    }

    /// The URL agents are given.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.addr.port())
    }

    /// A visitor of the base domain.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self.addr, format!("localhost:{}", self.addr.port()))
    }
}
