//! A Redis of one's own: the real server, on a port of its own, with nothing kept on disk.
//!
//! What a test does to it is what happens to one in production: it dies and comes back on the same port, hangs, forgets
//! everything, throws its subscribers out, runs out of memory.

mod resp;
mod sentinels;

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::time::timeout;

pub use resp::Reply;
pub use sentinels::Sentinels;

use crate::{port::Port, process::Program, visitor::PATIENCE};

/// A `redis-server` (Debian's package of that name). It is killed when dropped.
#[derive(Debug)]
pub struct Redis {
    port: Port,
    options: Vec<String>,
    /// Its working directory: where it would write, if it wrote.
    folder: TempDir,
    program: Option<Program>,
}

impl Redis {
    /// A running one, empty.
    pub async fn fresh() -> Self {
        Self::configured(&[]).await
    }

    /// A running one with these options added, such as `["--maxmemory", "2mb"]`.
    pub async fn configured(options: &[&str]) -> Self {
        let mut redis = Self {
            port: Port::free(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            folder: tempfile::tempdir().expect("a temporary directory"),
            program: None,
        };
        redis.start().await;
        redis
    }

    /// Where it listens, now or the next time.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// As `--bus` takes it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Starts it again, on the same port and empty; returns when it answers.
    pub async fn start(&mut self) {
        assert!(self.program.is_none(), "Redis is running");
        let port = self.port.number().to_string();
        let folder = self.folder.path().display().to_string();
        let always = ["--bind", "127.0.0.1", "--port", &port, "--dir", &folder];
        let nothing_kept = ["--save", "", "--appendonly", "no"];
        let options = self.options.iter().map(String::as_str);
        let args = always.into_iter().chain(nothing_kept).chain(options);
        let mut program = Program::start("redis-server", args);
        program.says("Ready to accept connections").await;
        self.program = Some(program);
        let answer = self.command(["PING"]).await;
        assert_eq!(answer, Reply::Status("PONG".to_owned()));
    }

    /// Ends it at once, paused or not; what it knew is lost, and its port refuses until [`Redis::start`].
    pub async fn stop(&mut self) {
        let program = self.program.take();
        program.expect("Redis is running").kill().await;
    }

    /// Stops its clock: its connections stay open, and nothing answers.
    pub async fn pause(&self) {
        self.program().signal("STOP").await;
    }

    /// Ends [`Redis::pause`].
    pub async fn resume(&self) {
        self.program().signal("CONT").await;
    }

    /// Makes it forget everything, without anybody's connection noticing.
    pub async fn flush(&self) {
        self.command(["FLUSHALL", "SYNC"]).await;
    }

    /// Closes all connections of a kind: `normal`, `pubsub`, `replica` or `master`. How many there were.
    pub async fn kill_clients(&self, kind: &str) -> i64 {
        self.command(["CLIENT", "KILL", "TYPE", kind])
            .await
            .number()
    }

    /// How often it has been asked to run a command, by its name in lower case, since it started.
    pub async fn calls(&self, command: &str) -> u64 {
        let text = self.command(["INFO", "commandstats"]).await.text();
        let line = format!("cmdstat_{command}:calls=");
        let counted = text.lines().find_map(|found| found.strip_prefix(&line));
        counted.map_or(0, |counted| {
            let digits = counted.split(',').next().expect("split gives one");
            digits.parse().expect("calls are counted in digits")
        })
    }

    /// Any command, on a connection of its own. Panics when Redis answers with an error.
    pub async fn command<I>(&self, words: I) -> Reply
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let answer = self.try_command(words).await;
        answer.unwrap_or_else(|error| panic!("Redis refused: {error}"))
    }

    /// Any command, on a connection of its own.
    ///
    /// # Errors
    /// What Redis said was wrong.
    pub async fn try_command<I>(&self, words: I) -> Result<Reply, String>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let answer = timeout(PATIENCE, resp::ask(self.addr(), words)).await;
        answer
            .expect("Redis answers in time")
            .expect("Redis answers")
    }

    fn program(&self) -> &Program {
        self.program.as_ref().expect("Redis is running")
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn it_comes_back_empty_on_the_same_port() {
        let mut redis = Redis::fresh().await;
        let url = redis.url();
        redis.command(["SET", "name", "value"]).await;
        assert_eq!(redis.command(["GET", "name"]).await.text(), "value");
        redis.stop().await;
        let refused = TcpStream::connect(redis.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        redis.start().await;
        assert_eq!(redis.url(), url);
        assert_eq!(redis.command(["GET", "name"]).await, Reply::Nil);
    }

    #[tokio::test]
    async fn a_paused_one_takes_connections_and_says_nothing() {
        let mut redis = Redis::fresh().await;
        redis.pause().await;
        let mut tcp = TcpStream::connect(redis.addr()).await.unwrap();
        tcp.write_all(b"PING\r\n").await.unwrap();
        let mut answer = [0; 7];
        let early = timeout(Duration::from_millis(100), tcp.read_exact(&mut answer)).await;
        assert!(early.is_err(), "it answered");
        redis.resume().await;
        tcp.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
        redis.pause().await;
        redis.stop().await;
    }

    #[tokio::test]
    async fn its_subscribers_can_be_thrown_out_alone() {
        let redis = Redis::fresh().await;
        let mut other = TcpStream::connect(redis.addr()).await.unwrap();
        let mut subscriber = TcpStream::connect(redis.addr()).await.unwrap();
        subscriber.write_all(b"SUBSCRIBE news\r\n").await.unwrap();
        assert_eq!(subscriber.read_u8().await.unwrap(), b'*');
        assert_eq!(redis.kill_clients("pubsub").await, 1);
        subscriber.read_to_end(&mut Vec::new()).await.unwrap();
        other.write_all(b"PING\r\n").await.unwrap();
        assert_eq!(other.read_u8().await.unwrap(), b'+');
    }

    #[tokio::test]
    async fn it_forgets_counts_and_runs_out_of_memory() {
        let redis = Redis::configured(&["--maxmemory", "4mb"]).await;
        for _ in 0..3 {
            redis.command(["RPUSH", "list", "a", ""]).await;
        }
        assert_eq!(redis.calls("rpush").await, 3);
        assert_eq!(redis.calls("publish").await, 0);
        assert_eq!(redis.command(["LRANGE", "list", "4", "9"]).await.list(), {
            [Reply::Bytes(b"a".to_vec()), Reply::Bytes(Vec::new())]
        });
        redis.flush().await;
        assert_eq!(redis.command(["DBSIZE"]).await.number(), 0);
        let much = vec![b'x'; 1 << 20];
        let mut full = Ok(Reply::Nil);
        for name in [b"a", b"b", b"c", b"d"] {
            full = full.and(redis.try_command([b"SET", &name[..], &much]).await);
        }
        assert!(full.unwrap_err().starts_with("OOM "));
    }
}
