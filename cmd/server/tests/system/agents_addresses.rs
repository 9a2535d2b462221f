//! The address that an agent's limits count: whom a trusted proxy names, else the other end of the connection.

use testkit::process::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use testkit::visitor::PATIENCE;

/// The status of an agent's way in, and the connection, which then says nothing.
async fn comes_in(server: &Server, named: &str) -> (String, TcpStream) {
    let mut tcp = TcpStream::connect(server.addr).await.unwrap();
    let request = format!(
        "GET /_adit/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: adit.v1\r\nX-Forwarded-For: {named}\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    timeout(PATIENCE, tcp.read_exact(&mut status))
        .await
        .unwrap()
        .unwrap();
    (String::from_utf8_lossy(&status[9..]).into_owned(), tcp)
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_agent_has_the_limits_of_its_own_address() {
    let server = Server::configured(
        "trusted_proxies = [\"127.0.0.0/8\"]\n[admission]\nmax_pending_per_address = 1\n",
    )
    .await;
    let (first, _held) = comes_in(&server, "192.0.2.1").await;
    let (second, _also_held) = comes_in(&server, "192.0.2.2").await;
    let (third, _) = comes_in(&server, "192.0.2.1").await;
    assert_eq!([first, second], ["101", "101"]);
    assert_ne!(third, "101", "this address has one handshake under way");
}

#[tokio::test]
async fn a_stranger_cannot_get_more_by_naming_addresses() {
    let server = Server::configured("[admission]\nmax_pending_per_address = 1\n").await;
    let (first, _held) = comes_in(&server, "192.0.2.1").await;
    let (second, _) = comes_in(&server, "192.0.2.2").await;
    assert_eq!(first, "101");
    assert_ne!(second, "101");
}
