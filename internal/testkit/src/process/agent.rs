//! `adit http`, started as a user starts it.

use std::{net::SocketAddr, path::Path};

use super::{Key, Program, Server, binary};
use crate::visitor::Visitor;

/// A running `adit http`.
#[derive(Debug)]
pub struct Agent {
    /// The program.
    pub program: Program,
    /// The public URL it printed.
    pub url: String,
    server: SocketAddr,
}

impl Agent {
    /// Publishes `target` on `server` with `key`, and waits for the URL.
    pub async fn publish(server: &Server, target: &str, key: &Key, options: &[&str]) -> Self {
        Self::dial(server.addr, target, key, options).await
    }

    /// The same through whatever listens on `server`, such as a balancer.
    pub async fn dial(server: SocketAddr, target: &str, key: &Key, options: &[&str]) -> Self {
        let url = format!("http://{server}");
        let mut program = Program::start(
            binary("adit"),
            command_line(&url, target, &key.path(), options),
        );
        let url = program
            .line("its public URL", |line| {
                line.starts_with("http://").then(|| line.to_owned())
            })
            .await;
        Self {
            program,
            url,
            server,
        }
    }

    /// Tries once to publish and is turned away: its exit code, and all that it said.
    pub async fn turned_away(
        server: &Server,
        target: &str,
        key: &Key,
        options: &[&str],
    ) -> (Option<i32>, String) {
        let options = [options, &["--no-retry"]].concat();
        let args = Self::args(server, target, &key.path(), &options);
        Self::last_words(&mut Program::start(binary("adit"), args)).await
    }

    /// Waits for it to end by itself: its exit code, and all that it said.
    pub async fn ended(&mut self) -> (Option<i32>, String) {
        Self::last_words(&mut self.program).await
    }

    async fn last_words(program: &mut Program) -> (Option<i32>, String) {
        let ended = program.ended().await;
        (ended.code(), program.output().join("\n"))
    }

    /// The command line of [`Agent::publish`].
    pub fn args(server: &Server, target: &str, key: &Path, options: &[&str]) -> Vec<String> {
        command_line(&server.url(), target, key, options)
    }

    /// The public hostname with its port.
    pub fn host(&self) -> &str {
        self.url
            .strip_prefix("http://")
            .expect("the URL is http")
            .trim_end_matches('/')
    }

    /// A visitor of the public hostname, where the agent itself connects.
    pub fn visitor(&self) -> Visitor {
        self.visitor_at(self.server)
    }

    /// A visitor of the public hostname who comes in there.
    pub fn visitor_at(&self, server: SocketAddr) -> Visitor {
        Visitor::new(server, self.host())
    }
}

fn command_line(server: &str, target: &str, key: &Path, options: &[&str]) -> Vec<String> {
    let key = key.display().to_string();
    let always = ["http", target, "--server", server, "--key", &key];
    let words = always.iter().chain(options);
    words.map(|&word| word.to_owned()).collect()
}
