//! `HAProxy`: asks each node whether it is ready, five times a second.

use std::{
    fmt::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{sleep, timeout},
};

use super::Daemon;
use crate::{port::Port, visitor::PATIENCE};

/// A running `haproxy`. It is killed when dropped.
#[derive(Debug)]
pub struct HaProxy {
    daemon: Daemon,
    servers: Vec<SocketAddr>,
}

impl HaProxy {
    /// One on a free port in front of `servers`.
    pub async fn before(servers: &[SocketAddr]) -> Self {
        Self::at(Port::free(), servers).await
    }

    /// One on that port.
    pub async fn at(port: Port, servers: &[SocketAddr]) -> Self {
        let daemon = Daemon::start(
            "haproxy",
            port,
            |folder, port| settings(folder, port, servers),
            |_, file| {
                ["-db", "-f", &file.display().to_string()]
                    .map(str::to_owned)
                    .into()
            },
        );
        let haproxy = Self {
            daemon: daemon.await,
            servers: servers.to_vec(),
        };
        // The door opens a moment before the way to give orders.
        let controlled = async {
            while !haproxy.socket().exists() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let controlled = timeout(PATIENCE, controlled).await;
        controlled.expect("HAProxy takes orders");
        haproxy
    }

    /// Where visitors and agents come in.
    pub fn addr(&self) -> SocketAddr {
        self.daemon.port.addr()
    }

    /// Sends nothing new to that server; what is in flight there goes on.
    pub async fn without(&self, server: SocketAddr) {
        let order = format!("set server nodes/{} state maint", self.name(server));
        assert_eq!(self.control(&order).await.trim(), "");
    }

    /// Sends to that server again, once it is ready.
    pub async fn with(&self, server: SocketAddr) {
        let order = format!("set server nodes/{} state ready", self.name(server));
        assert_eq!(self.control(&order).await.trim(), "");
    }

    /// Whether it takes that server for ready.
    pub async fn is_up(&self, server: SocketAddr) -> bool {
        let states = self.control("show servers state nodes").await;
        let name = self.name(server);
        // Words of a line: backend id, backend, server id, server, address, state (2: up), …
        let mut lines = states
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let line = lines.find(|words| words.get(3) == Some(&name.as_str()));
        line.expect("the server is listed").get(5) == Some(&"2")
    }

    /// Waits until it takes that server for ready, or no longer does.
    pub async fn until(&self, server: SocketAddr, up: bool) {
        let waiting = async {
            while self.is_up(server).await != up {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let noticed = timeout(PATIENCE, waiting).await;
        noticed.unwrap_or_else(|_| panic!("{server} is not up: {up}"));
    }

    fn name(&self, server: SocketAddr) -> String {
        let mut servers = self.servers.iter();
        let index = servers.position(|&known| known == server);
        format!("node{}", index.expect("it is in front of that server"))
    }

    fn socket(&self) -> PathBuf {
        self.daemon.folder.path().join("control")
    }

    async fn control(&self, order: &str) -> String {
        let talking = async {
            let mut socket = UnixStream::connect(self.socket()).await?;
            socket.write_all(format!("{order}\n").as_bytes()).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(PATIENCE, talking).await;
        answer
            .expect("HAProxy answers in time")
            .expect("HAProxy answers")
    }
}

fn settings(folder: &Path, port: u16, servers: &[SocketAddr]) -> String {
    let mut text = format!(
        "global
  stats socket {}/control mode 600 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  timeout http-keep-alive 60s
  # Or a machine that stands still for 0.4 s, as busy ones do, would be a fleet that is down.
  timeout check 5s
  option forwardfor
  option http-no-delay
  # A connection that was refused has carried nothing: another server gets it at once.
  retries 3
  option redispatch 1
frontend door
  bind 127.0.0.1:{port}
  http-request set-header X-Forwarded-Proto http
  default_backend nodes
backend nodes
  balance roundrobin
  option httpchk
  http-check send meth GET uri /_adit/health/ready ver HTTP/1.1 hdr Host localhost
  http-check expect status 200
  default-server check inter 200ms fall 2 rise 1
",
        folder.display()
    );
    for (index, server) in servers.iter().enumerate() {
        writeln!(text, "  server node{index} {server}").expect("a string takes more");
    }
    text
}
