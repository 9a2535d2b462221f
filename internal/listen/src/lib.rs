//! Connections that come in over TCP: taken whatever goes wrong with some of them, and set up for messages that must not
//! wait.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait when the process is out of file descriptors or memory: each retry at once would only burn the core that
/// could free some.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The next connection. Where the process has no room for one, it says so in the log and tries again, for ever.
///
/// # Cancel safety
/// Safe: dropping the future loses no connection.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let listener = listener.local_addr().ok();
                tracing::warn!(?listener, %error, "cannot accept connections; trying again");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Whoever connected gave up between the kernel's accept and ours.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
    )
}

/// Without `TCP_NODELAY` the last segment of a message waits for the peer's delayed acknowledgement: 40 ms. With keepalive
/// a peer that vanished from a quiet WebSocket or event stream is noticed within two minutes.
///
/// # Errors
/// The operating system refused an option; the connection works without.
pub fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_taken_and_set_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (tcp, peer) = accept(&listener).await;
        assert_eq!(peer, client.unwrap().local_addr().unwrap());
        tune(&tcp).unwrap();
        assert!(tcp.nodelay().unwrap());
        assert!(SockRef::from(&tcp).keepalive().unwrap());
    }

    #[test]
    fn only_a_connection_that_was_given_up_is_passed_over_at_once() {
        let of_one = |kind: io::ErrorKind| is_of_one_connection(&kind.into());
        assert!(of_one(io::ErrorKind::ConnectionAborted));
        assert!(!of_one(io::ErrorKind::OutOfMemory));
    }
}
