//! One WebSocket of version 3: the handshake inside it, then messages both ways.
//!
//! Whatever goes wrong, the specification has no word for it: the client's WebSocket is closed, without a code.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream as Messages, StreamExt as _};
use http::Method;
use http::header::{
    HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::messages::{Connect, Open};
use crate::error::{BareError, Code};
use crate::headers::fields::Fields;
use crate::headers::latin1;
use crate::remote::{Ask, Heard, Socket};
use crate::server::{Stream, Visit};

/// Most bytes of the first message.
const MAX_CONNECT: usize = 128 * 1024;

/// Most bytes of any other.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// How long a side may take to close after the other has.
const LINGER: Duration = Duration::from_secs(5);

/// Serves it to its end.
pub(super) async fn serve(mut visit: Visit, headers: HeaderMap, client: Pin<Box<dyn Stream>>) {
    let mut client = wrap(client, Role::Server).await;
    let opened = open(&mut visit, &headers, &mut client).await;
    visit.log(opened.as_ref().map(|_| 101));
    let Ok((open, remote)) = opened else {
        return close(client).await;
    };
    let Socket { io, room: _room } = remote;
    let mut remote = wrap(io, Role::Client).await;
    if client.send(Message::text(open.json())).await.is_ok() {
        relay(&mut client, &mut remote).await;
    }
    // Each is let go of when it has closed: one does not wait for the other.
    tokio::join!(close(client), close(remote));
}

async fn wrap<IO>(io: IO, role: Role) -> WebSocketStream<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    WebSocketStream::from_raw_socket(io, role, Some(config)).await
}

/// Hears where the client wants to go, and goes there.
async fn open<C>(
    visit: &mut Visit,
    headers: &HeaderMap,
    client: &mut C,
) -> Result<(Open, Socket), BareError>
where
    C: Messages<Item = Result<Message, Error>> + Unpin,
{
    let patience = visit.bare.config.timeouts.first_message;
    let first = timeout(patience, first_text(client)).await.ok().flatten();
    let connect = first.and_then(|text| Connect::read(&text));
    let connect = connect.ok_or_else(not_understood)?;
    visit.access.remote = Some(connect.target.shown());
    let Connect {
        target,
        protocols,
        mut fields,
        forward,
    } = connect;
    fields.forward(&forward, headers);
    negotiate(&mut fields, &protocols);
    let ask = Ask {
        visitor: visit.visitor,
        method: Method::GET,
        target,
        fields,
    };
    let (heard, remote) = visit.bare.remotes.upgrade(ask).await?;
    let open = answer(&heard, &protocols).ok_or_else(not_offered)?;
    Ok((open, remote))
}

async fn first_text<C>(client: &mut C) -> Option<String>
where
    C: Messages<Item = Result<Message, Error>> + Unpin,
{
    loop {
        match client.next().await? {
            Ok(Message::Text(text)) if text.len() <= MAX_CONNECT => {
                return Some(text.as_str().to_owned());
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            _ => return None,
        }
    }
}

/// This hop's handshake is its own: nothing of the client's is taken but the subprotocols he names. No extension is offered.
fn negotiate(fields: &mut Fields, protocols: &[String]) {
    for name in [
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_PROTOCOL,
    ] {
        fields.remove(&name);
    }
    // They are tokens.
    if let Ok(protocols) = HeaderValue::try_from(protocols.join(", "))
        && !protocols.is_empty()
    {
        fields.set(SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol", protocols);
    }
}

/// What the client is told of the remote's answer. `None` where the remote chose what was not offered.
fn answer(heard: &Heard, offered: &[String]) -> Option<Open> {
    let all = |name: &str| -> Vec<String> {
        let of_name = |(field, _): &&(String, Vec<u8>)| field.eq_ignore_ascii_case(name);
        let fields = heard.fields.iter().filter(of_name);
        fields.map(|(_, value)| latin1(value)).collect()
    };
    let protocol = all("sec-websocket-protocol").pop().unwrap_or_default();
    let as_offered = protocol.is_empty() || offered.contains(&protocol);
    if !as_offered || !all("sec-websocket-extensions").is_empty() {
        return None;
    }
    Some(Open {
        protocol,
        set_cookies: all("set-cookie"),
    })
}

/// Carries messages, whose type they keep, until either side closes. Codes of closing stay behind.
async fn relay<C, R>(client: &mut C, remote: &mut R)
where
    C: Messages<Item = Result<Message, Error>> + Sink<Message> + Unpin,
    R: Messages<Item = Result<Message, Error>> + Sink<Message> + Unpin,
{
    let (to_client, from_client) = client.split();
    let (to_remote, from_remote) = remote.split();
    let up = pin!(carry(from_client, to_remote));
    let down = pin!(carry(from_remote, to_client));
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

async fn carry<F, T>(mut from: F, mut to: T)
where
    F: Messages<Item = Result<Message, Error>> + Unpin,
    T: Sink<Message> + Unpin,
{
    while let Some(Ok(message)) = from.next().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => to.send(message).await,
            // Of this hop; the library answers pings.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Close(_) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Closes without a code, and waits a moment for the other side to do so too.
async fn close<IO>(mut socket: WebSocketStream<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async {
        // It may be closed already.
        socket.close(None).await.ok();
        while let Some(Ok(_)) = socket.next().await {}
    };
    timeout(LINGER, closing).await.ok();
}

fn not_understood() -> BareError {
    let why = "No message of the type connect.";
    BareError::new(
        http::StatusCode::BAD_REQUEST,
        Code::InvalidBareHeader,
        "request.body",
        why,
    )
}

fn not_offered() -> BareError {
    let why = "The remote chose a subprotocol or extension that was not offered.";
    BareError::internal(Code::Unknown, "response", why)
}
