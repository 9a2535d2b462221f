//! One time of being connected: commands go to the right server, and whatever ends it ends it for everything.
//!
//! A session is one connection, or with a cluster one to each master. It is never mended: when a connection breaks, a
//! server turns out to be no master any more or a slot has moved, the whole session ends and the supervisor begins
//! another, asking anew where to connect.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::error::StoreError;
use super::locked;
use super::names;
use super::scripts::{self, Loaded};

/// How many commands one write holds at most: a reply must not become so large that it delays what follows.
const MAX_PIPELINE: usize = 256;

/// A server, and the slots it serves. Exactly one for all slots without a cluster.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: String,
}

pub(super) struct Session {
    /// Counts the sessions of a node.
    pub(super) id: u64,
    lines: Vec<Line>,
    /// For each slot, which line; empty without a cluster.
    slots: Box<[u8]>,
    scripts: Loaded,
    command: Duration,
    ending: Arc<Ending>,
}

/// How a session ends, once and for a reason, and its tasks with it.
#[derive(Default)]
pub(super) struct Ending {
    ended: CancellationToken,
    why: OnceLock<String>,
    /// Aborted rather than each waiting for `ended`, which would be looked at with every message.
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Ending {
    /// The first reason is kept.
    pub(super) fn end(&self, why: &str) {
        if self.why.set(why.to_owned()).is_ok() {
            self.ended.cancel();
        }
        locked(&self.tasks).drain(..).for_each(|task| task.abort());
    }

    /// Makes a task end with the session.
    pub(super) fn takes_along(&self, task: AbortHandle) {
        locked(&self.tasks).push(task);
        if self.ended.is_cancelled() {
            locked(&self.tasks).drain(..).for_each(|task| task.abort());
        }
    }

    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn why(&self) -> String {
        self.why.get().cloned().unwrap_or_default()
    }
}

impl Session {
    /// Loads the scripts; the session is then ready for commands, not subscribed.
    pub(super) async fn begin(
        id: u64,
        lines: Vec<Line>,
        slots: Box<[u8]>,
        command: Duration,
        ending: Arc<Ending>,
    ) -> Result<Self, StoreError> {
        let mut session = Self {
            id,
            lines,
            slots,
            scripts: Loaded {
                announce: String::new(),
                withdraw: String::new(),
                pin: String::new(),
            },
            command,
            ending,
        };
        for line in 0..session.lines.len() {
            session.scripts = Loaded {
                announce: session.load(line, scripts::ANNOUNCE).await?,
                withdraw: session.load(line, scripts::WITHDRAW).await?,
                pin: session.load(line, scripts::PIN).await?,
            };
        }
        Ok(session)
    }

    pub(super) fn scripts(&self) -> &Loaded {
        &self.scripts
    }

    pub(super) fn ending(&self) -> &Arc<Ending> {
        &self.ending
    }

    pub(super) fn is_cluster(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The connection that serves a key or channel.
    pub(super) fn line(&self, name: &str) -> MultiplexedConnection {
        self.lines[self.line_of(name)].connection.clone()
    }

    fn line_of(&self, name: &str) -> usize {
        let slot = usize::from(names::slot(name));
        self.slots.get(slot).map_or(0, |line| usize::from(*line))
    }

    /// Runs one command that touches `name`. Not cancel safe: the command may have been sent.
    pub(super) async fn run(&self, name: &str, command: Cmd) -> Result<Value, StoreError> {
        self.run_on(self.line_of(name), command).await
    }

    /// Runs many commands, each with the name it touches, in few round trips; their results are in the same order.
    /// Not cancel safe.
    pub(super) async fn run_all(
        &self,
        commands: Vec<(String, Cmd)>,
    ) -> Vec<Result<Value, StoreError>> {
        let mut results: Vec<Option<Result<Value, StoreError>>> = vec![None; commands.len()];
        let mut by_line: Vec<Vec<(usize, Cmd)>> = vec![Vec::new(); self.lines.len()];
        for (at, (name, command)) in commands.into_iter().enumerate() {
            by_line[self.line_of(&name)].push((at, command));
        }
        for (line, commands) in by_line.into_iter().enumerate() {
            for chunk in commands.chunks(MAX_PIPELINE) {
                let answers = self.run_pipeline(line, chunk).await;
                for ((at, _), answer) in chunk.iter().zip(answers) {
                    results[*at] = Some(answer);
                }
            }
        }
        let missing = || Err(StoreError::Down("an answer is missing".to_owned()));
        let results = results.into_iter();
        results
            .map(|result| result.unwrap_or_else(missing))
            .collect()
    }

    /// Runs a command that touches no name on every server; the answers of all, or the first error.
    pub(super) async fn run_everywhere(&self, command: &Cmd) -> Result<Vec<Value>, StoreError> {
        let mut answers = Vec::with_capacity(self.lines.len());
        for line in 0..self.lines.len() {
            answers.push(self.run_on(line, command.clone()).await?);
        }
        Ok(answers)
    }

    /// Asks every server for a sign of life. Patient: megabytes of bodies may be on their way before it.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        for line in 0..self.lines.len() {
            self.run_within(2 * self.command, line, redis::cmd("PING"))
                .await?;
        }
        Ok(())
    }

    /// Ends the session when the error says that it cannot go on.
    pub(super) fn judge(&self, error: &StoreError) {
        if let StoreError::Moved(why) = error {
            self.ending.end(why);
        }
    }

    async fn load(&self, line: usize, script: &str) -> Result<String, StoreError> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(script);
        let loaded = self.run_on(line, load).await?;
        let hash = scripts::text(&loaded).map(str::to_owned);
        hash.ok_or_else(|| StoreError::Refused("SCRIPT LOAD gave no name".to_owned()))
    }

    async fn run_on(&self, line: usize, command: Cmd) -> Result<Value, StoreError> {
        self.run_within(self.command, line, command).await
    }

    async fn run_within(
        &self,
        limit: Duration,
        line: usize,
        command: Cmd,
    ) -> Result<Value, StoreError> {
        let mut connection = self.lines[line].connection.clone();
        let answer = timeout(limit, connection.send_packed_command(&command)).await;
        let result = match answer {
            Ok(Ok(value)) => value.extract_error().map_err(StoreError::from),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(StoreError::Down(format!(
                "{} is silent",
                self.lines[line].address
            ))),
        };
        result.inspect_err(|error| self.judge(error))
    }

    async fn run_pipeline(
        &self,
        line: usize,
        commands: &[(usize, Cmd)],
    ) -> Vec<Result<Value, StoreError>> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for (_, command) in commands {
            pipeline.add_command(command.clone());
        }
        let mut connection = self.lines[line].connection.clone();
        let answers = connection.send_packed_commands(&pipeline, 0, commands.len());
        let failed = match timeout(self.command, answers).await {
            Ok(Ok(values)) => {
                let values = values.into_iter();
                let results = values.map(|value| {
                    let result = value.extract_error().map_err(StoreError::from);
                    result.inspect_err(|error| self.judge(error))
                });
                return results.collect();
            }
            Ok(Err(error)) => StoreError::from(error),
            Err(_elapsed) => StoreError::Down(format!("{} is silent", self.lines[line].address)),
        };
        self.judge(&failed);
        vec![Err(failed); commands.len()]
    }
}
