//! Any program, with its output kept and its signals at hand.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::visitor::PATIENCE;

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

    /// Waits until it accepts connections there. For programs that do not say when they do.
    pub async fn accepts(&mut self, addr: SocketAddr) {
        let accepting = async {
            while TcpStream::connect(addr).await.is_err() {
                assert!(
                    self.child.try_wait().is_ok_and(|ended| ended.is_none()),
                    "{} ended before it accepted:\n{}",
                    self.name,
                    self.output().join("\n")
                );
                sleep(Duration::from_millis(10)).await;
            }
        };
        let accepting = timeout(PATIENCE, accepting).await;
        accepting.unwrap_or_else(|_| panic!("{} does not accept on {addr}", self.name));
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
