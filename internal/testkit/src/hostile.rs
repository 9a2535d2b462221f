//! An agent that registers in order and then says whatever a test wants.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use identity::{Mode, SecretKey};
use messages::{Frame, Granted, Message, RequestHead, ResponseHead, StreamId};
use tokio::time::timeout;
use tunnel::{
    handshake::{HANDSHAKE_TIMEOUT, RegisterError, Registration, Wanted, register},
    ws::{ConnectOptions, Connected, Endpoint, connect},
};

use crate::{
    process::Server,
    visitor::{PATIENCE, Visitor},
};

/// A registered link, by hand.
#[derive(Debug)]
pub struct HostileAgent {
    link: Connected,
    /// What the server granted.
    pub granted: Granted,
    server: std::net::SocketAddr,
}

/// What an honest agent would ask for when it dials `audience`.
pub fn wish(audience: &str) -> Registration {
    Registration {
        audience: audience.to_owned(),
        expect_domain: None,
        wanted: Wanted::default(),
        token: None,
        policy: None,
        session: identity::random_bytes(),
        generation: None,
        mode: Mode::Exclusive,
        agent: "hostile/1".to_owned(),
        channel: None,
        timeout: HANDSHAKE_TIMEOUT,
    }
}

/// A WebSocket to the server's connect path, before the handshake.
pub async fn dial(url: &str) -> Connected {
    let endpoint: Endpoint = url.parse().expect("the server's URL is an endpoint");
    connect(&endpoint, &ConnectOptions::default())
        .await
        .expect("the server takes the connection")
}

impl HostileAgent {
    /// Registers a fresh key.
    pub async fn register(server: &Server) -> Self {
        Self::register_with(server, &SecretKey::generate(), &wish("127.0.0.1"))
            .await
            .expect("the server grants")
    }

    /// Registers with this key and this wish.
    ///
    /// # Errors
    /// The server's refusal, or the agent's own.
    pub async fn register_with(
        server: &Server,
        key: &SecretKey,
        wish: &Registration,
    ) -> Result<Self, RegisterError> {
        let mut link = dial(&server.url()).await;
        let granted = register(&mut link.transport, key, wish).await?;
        Ok(Self {
            link,
            granted,
            server: server.addr,
        })
    }

    /// A visitor of its hostname.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(
            self.server,
            format!("{}:{}", self.granted.hostname, self.server.port()),
        )
    }

    /// Sends a frame; false when the server has closed the link.
    pub async fn send(&mut self, frame: Frame) -> bool {
        self.link.transport.send(frame).await.is_ok()
    }

    /// Sends a response head with what belongs to it.
    pub async fn answer(
        &mut self,
        stream: StreamId,
        status: u16,
        fields: &[(&str, &str)],
        body: &'static str,
        end: bool,
    ) {
        let head = ResponseHead {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers(fields),
        };
        let frame = head
            .encode(stream, body.as_bytes(), end)
            .expect("the head can be encoded");
        self.send(frame).await;
    }

    /// The next message, answering pings on the way; `None` when the server has closed the link.
    pub async fn hear(&mut self) -> Option<(StreamId, Message)> {
        loop {
            let bytes: Bytes = timeout(PATIENCE, self.link.transport.next())
                .await
                .expect("the server says something")?
                .ok()?;
            let frame = Frame::decode(bytes).expect("the server speaks the protocol");
            match Message::decode(&frame).expect("the server's messages decode") {
                Message::Ping(data) => drop(self.send(Frame::pong(data)).await),
                message => return Some((frame.stream, message)),
            }
        }
    }

    /// The next request.
    pub async fn request(&mut self) -> (StreamId, RequestHead) {
        loop {
            match self.hear().await {
                Some((stream, Message::HttpRequest { head, .. })) => return (stream, head),
                Some(_) => {}
                None => panic!("the server closed the link"),
            }
        }
    }
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        map.append(name, HeaderValue::from_str(value).expect("a header value"));
    }
    map
}
