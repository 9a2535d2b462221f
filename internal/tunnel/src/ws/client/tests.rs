//! What a server sends in the same breath as its 101.

use messages::{Frame, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::*;

/// Answers the upgrade of the next connection, with `behind` in the same write.
async fn switch_protocols(listener: &TcpListener, behind: &[u8]) -> TcpStream {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(tcp.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    tcp.write_all(&[response.as_bytes(), behind].concat())
        .await
        .unwrap();
    tcp
}

#[tokio::test]
async fn a_first_message_that_comes_with_the_101_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let hello = Frame::body(StreamId(1), vec![b'h'; 3000].into(), false).to_bytes();
    // One message whole, and half a header of the next.
    let behind = [&[0x82, 126, 0x0b, 0xbe], &hello[..], &[0x82]].concat();
    let options = ConnectOptions::default();
    let (mut server, connected) = tokio::join!(
        switch_protocols(&listener, &behind),
        connect(&endpoint, &options)
    );
    let mut transport = connected.unwrap().transport;
    assert_eq!(transport.next().await.unwrap().unwrap(), hello);
    server.write_all(&[6, 1, 0, 0, 0, 0, 9]).await.unwrap();
    assert_eq!(
        transport.next().await.unwrap().unwrap(),
        [1, 0, 0, 0, 0, 9][..]
    );
}
