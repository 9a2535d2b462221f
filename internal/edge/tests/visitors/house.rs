//! A node with an edge, pages of its own, and whatever tunnels a test announces.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adit_edge::{Body, Config, Edge, Reserved};
use bus::{Announcement, Directory, LinkId, Mode, memory::Fleet};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use identity::grant_id;
use messages::{NodeId, PolicyId, TunnelId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::agent::Agents;

/// The longest a step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The tunnel of a key.
pub(crate) const KEY: TunnelId = TunnelId([7; 32]);

pub(crate) struct House {
    directory: Arc<dyn Directory>,
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Says who asks for which page.
struct Pages;

impl Reserved for Pages {
    fn call(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> BoxFuture<'static, Response<Body>> {
        let page = format!("the server's {} for {}", request.uri().path(), peer.ip());
        let page = Response::new(Body::full(Bytes::from(page)));
        Box::pin(std::future::ready(page))
    }
}

impl House {
    /// Under the domain `adit.example`.
    pub(crate) async fn with(config: Config) -> Self {
        let agents = Agents::new();
        let node = Fleet::new().join(NodeId([1; 16]), agents.clone());
        let config = Config {
            domain: "adit.example".to_owned(),
            ..config
        };
        let pages = Arc::new(Pages);
        let edge = Edge::new(config, node.bus.clone(), node.directory.clone(), pages);
        assert!(agents.place.set((edge.clone(), node.bus)).is_ok());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { edge.serve(listener, CancellationToken::new()).await });
        Self {
            directory: node.directory,
            addr,
            _tasks: tasks,
        }
    }

    /// With the tunnel of the key, over link 1.
    pub(crate) async fn with_key(config: Config) -> Self {
        let house = Self::with(config).await;
        house.announce(KEY, 1).await;
        house
    }

    /// An agent comes that was granted the host, or the wildcard.
    pub(crate) async fn grant(&self, host: &str, link: u64) {
        self.announce(grant_id(host).unwrap(), link).await;
    }

    pub(crate) async fn leave(&self, host: &str, link: u64) {
        let tunnel = grant_id(host).unwrap();
        let left = self.directory.withdraw(tunnel, LinkId(link), 2);
        left.await.unwrap();
    }

    pub(crate) async fn announce(&self, tunnel: TunnelId, link: u64) {
        let announcement = Announcement {
            tunnel,
            link: LinkId(link),
            session: [u8::try_from(link).unwrap(); 16],
            generation: None,
            mode: Mode::Exclusive,
            version: 1,
            owner: [u8::try_from(link).unwrap(); 32],
            policy: PolicyId::NONE,
            document: Bytes::new(),
        };
        self.directory.announce(announcement).await.unwrap();
    }

    pub(crate) fn key_host() -> String {
        format!("{}.adit.example", KEY.label())
    }

    /// GET of a host's front page.
    pub(crate) async fn get(&self, host: &str) -> Answer {
        self.get_path(host, "/").await
    }

    pub(crate) async fn get_path(&self, host: &str, path: &str) -> Answer {
        self.ask(host, path, "").await
    }

    /// GET with further fields, each with its line break.
    pub(crate) async fn ask(&self, host: &str, path: &str, fields: &str) -> Answer {
        self.say(get(host, path, fields)).await
    }

    /// These bytes over a connection of their own.
    pub(crate) async fn say(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect().await;
        connection.write_all(bytes.as_ref()).await.unwrap();
        read(connection).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }
}

/// The last request of a connection.
pub(crate) fn get(host: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n")
}

/// What comes until the connection ends.
pub(crate) async fn read(mut connection: TcpStream) -> Answer {
    let mut text = Vec::new();
    let ended = timeout(PATIENCE, connection.read_to_end(&mut text)).await;
    // A server that has not read all that was sent resets after its answer.
    drop(ended.expect("it ends"));
    Answer(String::from_utf8(text).unwrap())
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Answer(String);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let word = self.0.split(' ').nth(1);
        word.unwrap_or_else(|| panic!("no response: {self:?}"))
            .parse()
            .unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(": "));
        let line = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
        line.map_or("", |(_, value)| value)
    }

    /// The code, when Adit itself answered.
    pub(crate) fn error(&self) -> &str {
        self.field("adit-error")
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
