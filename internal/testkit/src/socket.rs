//! WebSockets of visitors and of services, by the library that most Rust programs use.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, header::SEC_WEBSOCKET_PROTOCOL};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config,
    tungstenite::{
        Error,
        client::IntoClientRequest,
        handshake::derive_accept_key,
        protocol::{
            CloseFrame, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

pub use tokio_tungstenite::tungstenite::Message;

use crate::{
    origin::Origin,
    visitor::{PATIENCE, Visitor},
};

/// A WebSocket over plain TCP.
pub type Plain = WebSocketStream<TcpStream>;

/// What an upgrade was answered with.
pub type Answered = http::Response<Option<Vec<u8>>>;

/// How a WebSocket ended, as the one who reads it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By a close frame with this code and reason.
    Closed(u16, String),
    /// By a close frame without a code.
    Silent,
    /// Without a close frame; programs see 1006.
    Lost,
}

impl End {
    fn of(frame: Option<CloseFrame>) -> Self {
        frame.map_or(Self::Silent, |frame| {
            Self::Closed(frame.code.into(), frame.reason.as_str().to_owned())
        })
    }

    /// The code, when one came.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Closed(code, _) => Some(*code),
            Self::Silent | Self::Lost => None,
        }
    }
}

/// No limits of our own: those of the tunnel are what is tested.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None)
}

impl Visitor {
    /// Opens a WebSocket with these fields added to the request.
    ///
    /// # Errors
    /// The response that refused it, with as much of its body as came with the head.
    pub async fn socket(
        &self,
        path: &str,
        fields: &[(&'static str, &str)],
    ) -> Result<(Plain, Answered), Box<Answered>> {
        let mut request = format!("ws://{}{path}", self.host())
            .into_client_request()
            .expect("a valid request");
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).expect("a header value");
            request.headers_mut().append(*name, value);
        }
        let tcp = self.connect().await;
        let opening = client_async_with_config(request, tcp, Some(config()));
        match timeout(PATIENCE, opening)
            .await
            .expect("the upgrade is answered")
        {
            Ok(opened) => Ok(opened),
            Err(Error::Http(refusal)) => Err(refusal),
            Err(error) => panic!("no answer to the upgrade: {error}"),
        }
    }

    /// Opens a WebSocket that the target accepts.
    pub async fn open_socket(&self, path: &str) -> Plain {
        self.socket(path, &[])
            .await
            .expect("the target accepts the WebSocket")
            .0
    }
}

impl Origin {
    /// A service that accepts every WebSocket, chooses the last subprotocol offered, sets a cookie, and does what it is
    /// told with each socket and the request that opened it.
    pub async fn sockets<F, Fut>(handler: F) -> Self
    where
        F: Fn(Plain, Request<()>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self::sockets_on(listener.expect("loopback has a free port"), handler)
    }

    /// The same on a listener that there is.
    pub fn sockets_on<F, Fut>(listener: TcpListener, handler: F) -> Self
    where
        F: Fn(Plain, Request<()>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        Self::accepting_on(listener, move |tcp| {
            let handler = handler.clone();
            async move {
                let mut asked = None;
                #[expect(clippy::result_large_err, reason = "the library's type")]
                let answer = |request: &Request<()>, response| {
                    asked = Some(request.clone());
                    Ok(choose(request, response))
                };
                let accepting = accept_hdr_async_with_config(tcp, answer, Some(config()));
                // Connections that ask for no WebSocket are no matter of this service.
                let Ok(socket) = accepting.await else { return };
                handler(socket, asked.expect("an accepted request was seen")).await;
            }
        })
    }

    /// A service that says every message back, and closes as it is asked to.
    pub async fn echoing_sockets() -> Self {
        Self::sockets(|mut socket, _| async move { echo(&mut socket).await }).await
    }
}

fn choose(request: &Request<()>, mut response: http::Response<()>) -> http::Response<()> {
    let offered = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .next_back();
    if let Some(chosen) = offered {
        let chosen = HeaderValue::from_str(chosen).expect("a token is a header value");
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    let cookie = HeaderValue::from_static("seen=1; Path=/");
    response.headers_mut().insert("set-cookie", cookie);
    response
}

/// A close frame as a message.
pub fn closing(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }))
}

/// One fragment of a message; text when `first` says so, else what the first one was.
pub fn fragment(data: &'static [u8], first: Option<Kind>, last: bool) -> Message {
    let kind = match first {
        Some(Kind::Text) => Data::Text,
        Some(Kind::Binary) => Data::Binary,
        None => Data::Continue,
    };
    Message::Frame(Frame::message(data, OpCode::Data(kind), last))
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// Says every message back until the socket ends.
pub async fn echo(socket: &mut Plain) {
    while let Some(Ok(message)) = socket.next().await {
        let data = message.is_text() || message.is_binary();
        if data && socket.send(message).await.is_err() {
            break;
        }
    }
}

/// The next text or binary message.
pub async fn hear(socket: &mut Plain) -> Message {
    match next(socket).await {
        Ok(message) => message,
        Err(end) => panic!("the socket ended: {end:?}"),
    }
}

/// Reads to the end; how it ended.
pub async fn end(socket: &mut Plain) -> End {
    loop {
        if let Err(end) = next(socket).await {
            return end;
        }
    }
}

async fn next(socket: &mut Plain) -> Result<Message, End> {
    loop {
        let heard = timeout(PATIENCE, socket.next())
            .await
            .expect("the socket says something");
        match heard {
            Some(Ok(Message::Close(frame))) => {
                // Read on, so that the library answers and the connection is closed in order.
                drop(
                    timeout(PATIENCE, async {
                        while let Some(Ok(_)) = socket.next().await {}
                    })
                    .await,
                );
                return Err(End::of(frame));
            }
            Some(Ok(message)) if message.is_text() || message.is_binary() => return Ok(message),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(End::Lost),
        }
    }
}

/// What a server answers to a `Sec-WebSocket-Key` (RFC 6455, 4.2.2).
pub fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}
