//! A private redis-server for one test: a free port, a directory of its own, gone with the test.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// A server that is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts one with further arguments, as on a command line.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut directory = tempfile::tempdir().expect("there is room for a directory");
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        for _ in 0..5 {
            let port = free_port();
            let process = spawn(port, directory.path(), &arguments);
            let mut server = Self {
                port,
                directory,
                arguments: arguments.clone(),
                process,
            };
            if server.is_up().await {
                return server;
            }
            directory = server.directory;
        }
        panic!("redis-server does not start; is it installed?");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts a sentinel of a configuration, on a free port.
    pub(crate) async fn sentinel(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, configuration).expect("the directory is there");
        let file = file.to_str().expect("it is plain text").to_owned();
        let port = free_port();
        let process = Command::new("redis-server")
            .args([
                &file,
                "--sentinel",
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed");
        let mut server = Self {
            port,
            directory,
            arguments: Vec::new(),
            process,
        };
        assert!(server.is_up().await, "the sentinel starts");
        server
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    /// Starts it again, empty, on the same port.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.port, self.directory.path(), &self.arguments);
        assert!(self.is_up().await, "it starts on the port it had");
    }

    /// Sends a signal, as `kill -<name>`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(id)
            .status()
            .await;
        assert!(sent.expect("kill is there").success());
    }

    /// Runs a command given in words and returns what came back, raw, of its first bytes.
    pub(crate) async fn run(&self, command: &str) -> String {
        ask(self.port, command).await.expect("it answers")
    }

    async fn is_up(&mut self) -> bool {
        for _ in 0..500 {
            if self.process.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if let Ok(answer) = ask(self.port, "PING").await
                && (answer.starts_with('+') || answer.starts_with("-NOAUTH"))
            {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

fn spawn(port: u16, directory: &Path, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed")
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

async fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut answer = vec![0; 64 * 1024];
    let len = stream.read(&mut answer).await?;
    answer.truncate(len);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Looks again and again, for some seconds.
pub(crate) async fn eventually(mut look: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..500 {
        if look().await {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}
