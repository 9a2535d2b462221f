//! The built binaries and other real programs, started as a user starts them.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::visitor::{PATIENCE, Visitor};

/// A running program whose output is kept. It is killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    /// Lines of both streams, as they came.
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<usize>,
    readers: JoinSet<()>,
}

impl Program {
    /// Starts `program` with `args`. Variables of our own environment that would configure it are taken away.
    pub fn start<I, S>(program: impl AsRef<OsStr>, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(program.as_ref());
        command.args(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ADIT_")) {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let name = program.as_ref().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (changes, changed) = watch::channel(0);
        let mut readers = JoinSet::new();
        readers.spawn(keep(
            child.stdout.take().expect("stdout is piped"),
            lines.clone(),
            changes.clone(),
        ));
        readers.spawn(keep(
            child.stderr.take().expect("stderr is piped"),
            lines.clone(),
            changes,
        ));
        Self {
            name,
            child,
            lines,
            changed,
            readers,
        }
    }

    /// Waits for a line that `wanted` picks something out of.
    pub async fn line<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let waiting = async {
            loop {
                self.changed.mark_unchanged();
                if let Some(found) = self.output().iter().find_map(|line| wanted(line)) {
                    return Some(found);
                }
                if self.changed.changed().await.is_err() {
                    return self.output().iter().find_map(|line| wanted(line));
                }
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!(
                "{} ended without {what}:\n{}",
                self.name,
                self.output().join("\n")
            ),
            Err(_) => panic!(
                "{} did not say {what}:\n{}",
                self.name,
                self.output().join("\n")
            ),
        }
    }

    /// Waits for a line that contains `text`.
    pub async fn says(&mut self, text: &str) {
        self.line(text, |line| line.contains(text).then_some(()))
            .await;
    }

    /// Everything it has said so far.
    pub fn output(&self) -> Vec<String> {
        self.lines.lock().expect("no reader panics").clone()
    }

    /// How often it has said something that contains `text`.
    pub fn said(&self, text: &str) -> usize {
        self.output()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the program is running")
    }

    /// Sends a signal, by its name without SIG.
    pub async fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.id().to_string())
            .status()
            .await;
        assert!(sent.expect("kill runs").success(), "{signal} was delivered");
    }

    /// Kills it without warning and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the program can be killed");
    }

    /// Waits for it to end by itself, and for its last words.
    pub async fn ended(&mut self) -> ExitStatus {
        let ending = async {
            let status = self.child.wait().await.expect("the exit status is known");
            while self.readers.join_next().await.is_some() {}
            status
        };
        match timeout(PATIENCE, ending).await {
            Ok(status) => status,
            Err(_) => panic!("{} did not end:\n{}", self.name, self.output().join("\n")),
        }
    }
}

async fn keep(
    stream: impl AsyncRead + Unpin,
    lines: Arc<Mutex<Vec<String>>>,
    changes: watch::Sender<usize>,
) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        lines.lock().expect("no reader panics").push(line);
        changes.send_modify(|count| *count += 1);
    }
}

/// Where cargo put the workspace's binaries: beside the test that runs.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("tests live in target/PROFILE/deps")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace` first",
        path.display()
    );
    path
}

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

/// A key file in a directory of its own.
#[derive(Debug)]
pub struct Key(TempDir);

impl Key {
    /// A place for a key; the agent makes it at first use.
    pub fn fresh() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }
}

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
        let mut program = Program::start(
            binary("adit"),
            Self::args(server, target, &key.path(), options),
        );
        let url = program
            .line("its public URL", |line| {
                line.starts_with("http://").then(|| line.to_owned())
            })
            .await;
        Self {
            program,
            url,
            server: server.addr,
        }
    }

    /// The command line of [`Agent::publish`].
    pub fn args(server: &Server, target: &str, key: &Path, options: &[&str]) -> Vec<String> {
        let mut args = vec![
            "http".to_owned(),
            target.to_owned(),
            "--server".to_owned(),
            server.url(),
        ];
        args.extend(["--key".to_owned(), key.display().to_string()]);
        args.extend(options.iter().map(|option| (*option).to_owned()));
        args
    }

    /// The public hostname with its port.
    pub fn host(&self) -> &str {
        self.url
            .strip_prefix("http://")
            .expect("the URL is http")
            .trim_end_matches('/')
    }

    /// A visitor of the public hostname.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self.server, self.host())
    }
}
