//! Bytes both ways, for the WebSockets of versions 1 and 2, whose frames nobody here reads.

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use crate::remote::Socket;
use crate::server::Stream;

/// Bytes that are under way at a time, each way.
const BUFFER: usize = 8 * 1024;

/// How long one side may go on after the other has closed: its own close is on its way.
const LINGER: Duration = Duration::from_secs(5);

/// Carries bytes until either side closes, and closes the other.
pub(crate) async fn relay(client: Pin<Box<dyn Stream>>, remote: Socket) {
    let Socket { io, room: _room } = remote;
    let (from_client, to_client) = split(client);
    let (from_remote, to_remote) = split(io);
    let mut up = std::pin::pin!(carry(from_client, to_remote));
    let mut down = std::pin::pin!(carry(from_remote, to_client));
    let rest = tokio::select! {
        () = up.as_mut() => timeout(LINGER, down).await,
        () = down.as_mut() => timeout(LINGER, up).await,
    };
    if rest.is_err() {
        tracing::debug!("a WebSocket was cut: one side had closed and the other would not");
    }
}

/// Carries bytes one way, to the end of them.
async fn carry<R, W>(mut from: ReadHalf<R>, mut to: WriteHalf<W>)
where
    R: tokio::io::AsyncRead,
    W: AsyncWrite,
{
    let mut buffer = vec![0; BUFFER];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        if to.flush().await.is_err() {
            break;
        }
    }
    // It may be gone already.
    to.shutdown().await.ok();
}
