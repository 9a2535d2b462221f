//! A relay on a loopback port, its visitors, and upstreams that come and go.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_relay::{Config, Opened, Relay, Settings};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use serde_json::{Value, json};
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::socket::{Message, Plain, hear};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

/// A relay, and the visits to it.
pub(crate) struct Stage {
    pub(crate) relay: Arc<Relay>,
    addr: SocketAddr,
    _visits: JoinSet<()>,
}

/// The settings of the reference's recipe: lines of text, and errors as messages.
pub(crate) fn recipe() -> Value {
    json!({"incoming": ["lines", "string"], "outgoing": ["string"], "errors": "message"})
}

/// A relay's settings with this upstream.
pub(crate) fn config(mut settings: Value, upstream: SocketAddr) -> Config {
    settings["upstream"] = format!("ws://{upstream}").into();
    let settings: Settings = serde_json::from_value(settings).unwrap();
    settings.check().unwrap()
}

impl Stage {
    pub(crate) async fn with(config: Config) -> Self {
        let relay = Arc::new(Relay::new(config, &TaskTracker::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut visits = JoinSet::new();
        let entrance = relay.clone();
        visits.spawn(async move {
            let mut visits = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let relay = entrance.clone();
                visits.spawn(async move {
                    let opened: Opened = relay.open(&HeaderMap::new()).await.unwrap();
                    opened.visit.run(tcp).await;
                });
            }
        });
        Self {
            relay,
            addr,
            _visits: visits,
        }
    }

    /// A relay with these settings to this upstream.
    pub(crate) async fn to(settings: Value, upstream: SocketAddr) -> Self {
        Self::with(config(settings, upstream)).await
    }

    /// A WebSocket whose handshake is over.
    pub(crate) async fn visitor(&self) -> Plain {
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        WebSocketStream::from_raw_socket(tcp, Role::Client, None).await
    }
}

/// The upstream of the recipe: it says everything back, but `badger` for `snot`.
pub(crate) async fn badger(mut socket: Plain, _: http::Request<()>) {
    while let Some(Ok(message)) = socket.next().await {
        let answer = match &message {
            Message::Text(text) if text.trim_end() == "snot" => Message::text("badger"),
            Message::Text(text) => Message::text(text.trim_end()),
            Message::Binary(data) => Message::binary(data.trim_ascii_end().to_vec()),
            _ => continue,
        };
        socket.send(answer).await.ok();
    }
}

/// The upstream of the recipe on a port that it can leave and come back to.
pub(crate) fn badger_on(port: &Port) -> Origin {
    Origin::sockets_on(port.listen(), badger)
}

/// An upstream whose sockets are handed out.
pub(crate) async fn handed_out() -> (Origin, mpsc::Receiver<Plain>) {
    let (given, sockets) = mpsc::channel(8);
    let origin = Origin::sockets(move |socket, _| {
        let given = given.clone();
        async move {
            given.send(socket).await.ok();
            std::future::pending::<()>().await;
        }
    })
    .await;
    (origin, sockets)
}

pub(crate) async fn say(socket: &mut Plain, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

/// The next message, which is text.
pub(crate) async fn text(socket: &mut Plain) -> String {
    match hear(socket).await {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("no text: {other:?}"),
    }
}

/// The next message, which is JSON text.
pub(crate) async fn object(socket: &mut Plain) -> Value {
    serde_json::from_str(&text(socket).await).unwrap()
}

/// Says `text` and hears `answer`.
pub(crate) async fn ask(socket: &mut Plain, words: &str, answer: &str) {
    say(socket, words).await;
    assert_eq!(text(socket).await, answer);
}
