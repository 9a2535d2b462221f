//! Both ends over loopback: who is let in, what the wire shows, and what each side learns of the other.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use identity::SecretKey;
use messages::{Frame, NodeId, Ticket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::keys::{client_config, nobody};
use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// A server with a key of its own, which takes one connection at a time.
struct Server {
    listener: TcpListener,
    door: Door,
}

impl Server {
    async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            door: Door::new(&SecretKey::generate()).unwrap(),
        }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn accept(&self) -> Result<Accepted, AcceptError> {
        let (tcp, _) = self.listener.accept().await.unwrap();
        self.door.accept(tcp).await
    }

    fn ticket_at(&self, addr: SocketAddr) -> Ticket {
        Ticket {
            ticket: [7; 32],
            address: addr.to_string(),
            expires: 0,
            thumbprint: String::new(),
            node: NodeId([1; 16]),
            public_key: *self.door.key().as_bytes(),
        }
    }

    fn ticket(&self) -> Ticket {
        self.ticket_at(self.addr())
    }
}

/// Passes bytes on both ways, and keeps all that it saw.
async fn tapped(server: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<Bytes>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "what passed by is all there is")]
    let (seen, wire) = mpsc::unbounded_channel();
    #[expect(clippy::disallowed_methods, reason = "it ends with its connections")]
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(server).await.unwrap();
        let (near, far) = (near.into_split(), far.into_split());
        let pass = async |mut from: tokio::net::tcp::OwnedReadHalf,
                          mut to: tokio::net::tcp::OwnedWriteHalf| {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                seen.send(Bytes::copy_from_slice(&buffer[..read])).ok();
                to.write_all(&buffer[..read]).await.unwrap();
            }
            to.shutdown().await.ok();
        };
        tokio::join!(pass(near.0, far.1), pass(far.0, near.1));
    });
    (addr, wire)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[tokio::test]
async fn either_side_knows_the_other_and_both_know_the_connection() {
    let server = Server::new().await;
    let key = SecretKey::generate();
    let ticket = server.ticket();
    let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    assert_eq!(accepted.key, key.public());
    assert_eq!(accepted.ticket, [7; 32]);
    assert_eq!(accepted.channel, connected.channel);
    let hello = Frame::ping(*b"a ping!!");
    accepted.transport.send(hello.clone()).await.unwrap();
    let heard = connected.transport.next().await.unwrap().unwrap();
    assert_eq!(heard, hello.to_bytes());
    connected.transport.close().await.unwrap();
    assert!(accepted.transport.next().await.is_none(), "a clean end");
}

#[tokio::test]
async fn two_connections_have_nothing_in_common() {
    let server = Server::new().await;
    let key = SecretKey::generate();
    let ticket = server.ticket();
    let mut channels = Vec::new();
    for _ in 0..2 {
        let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
        channels.push(accepted.unwrap().channel);
        drop(connected);
    }
    assert_ne!(channels[0], channels[1]);
}

#[tokio::test]
async fn a_server_with_another_key_than_the_tickets_gets_no_ticket() {
    let (server, other) = (Server::new().await, Server::new().await);
    let mut ticket = server.ticket();
    ticket.public_key = *other.door.key().as_bytes();
    let key = SecretKey::generate();
    let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
    let error = connected.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("nodes behind one --channel-advertise"),
        "{error}"
    );
    assert!(matches!(accepted, Err(AcceptError::Tls(_))));
}

#[tokio::test]
async fn everything_behind_the_first_message_is_encrypted() {
    let server = Server::new().await;
    let (tap, mut wire) = tapped(server.addr()).await;
    let key = SecretKey::generate();
    let ticket = server.ticket_at(tap);
    let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    let said = Frame::ping(*b"verysecr");
    for _ in 0..2 {
        connected.transport.send(said.clone()).await.unwrap();
        accepted.transport.next().await.unwrap().unwrap();
        accepted.transport.send(said.clone()).await.unwrap();
        connected.transport.next().await.unwrap().unwrap();
    }
    drop((accepted, connected));
    let mut all = Vec::new();
    while let Some(bytes) = wire.recv().await {
        all.extend_from_slice(&bytes);
    }
    for secret in [
        &b"verysecr"[..],
        &ticket.ticket,
        key.public().as_bytes(),
        server.door.key().as_bytes(),
        key.public().thumbprint().as_bytes(),
    ] {
        assert!(!contains(&all, secret));
    }
    // ClientHello; then, but for the one record of ServerHello and the empty one behind it (RFC 8446 appendix D.4), only
    // records that say of themselves that they are encrypted (section 5.2).
    let mut kinds = Vec::new();
    let mut rest = &all[..];
    // Both directions are in it, one whole write after the other.
    while let [kind, 3, _, high, low, ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        kinds.push(*kind);
        rest = &rest[5 + len..];
    }
    assert!(rest.is_empty());
    let clear = kinds.iter().filter(|kind| **kind == 22).count();
    assert_eq!(clear, 2, "the two Hellos: {kinds:?}");
    assert!(
        kinds.iter().all(|kind| [20, 22, 23].contains(kind)),
        "{kinds:?}"
    );
}

/// What the reference did: one nonce for every message under a key, so that two equal messages were equal on the wire.
#[tokio::test]
async fn the_same_message_never_looks_the_same_twice() {
    let server = Server::new().await;
    let (tap, mut wire) = tapped(server.addr()).await;
    let key = SecretKey::generate();
    let ticket = server.ticket_at(tap);
    let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    while wire.try_recv().is_ok() {}
    let mut seen = Vec::new();
    for _ in 0..50 {
        connected.transport.send(Frame::ping([0; 8])).await.unwrap();
        accepted.transport.next().await.unwrap().unwrap();
        seen.push(wire.recv().await.unwrap());
        accepted.transport.send(Frame::ping([0; 8])).await.unwrap();
        connected.transport.next().await.unwrap().unwrap();
        seen.push(wire.recv().await.unwrap());
    }
    let mut bodies: Vec<_> = seen.iter().map(|bytes| bytes.slice(5..)).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 100);
}

#[tokio::test]
async fn a_bent_byte_ends_the_channel() {
    let server = Server::new().await;
    let key = SecretKey::generate();
    let ticket = server.ticket();
    let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
    let (mut accepted, connected) = (accepted.unwrap(), connected.unwrap());
    // A record of TLS that nobody with the keys has made.
    let mut tcp = connected.transport.into_io().into_inner().0.into_tcp();
    tcp.write_all(&[23, 3, 3, 0, 20]).await.unwrap();
    tcp.write_all(&[9; 20]).await.unwrap();
    match accepted.transport.next().await {
        Some(Err(crate::TransportError::Io(error))) => {
            assert!(error.to_string().contains("decrypt"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_no_goodbye() {
    let server = Server::new().await;
    let key = SecretKey::generate();
    let ticket = server.ticket();
    let (accepted, connected) = tokio::join!(server.accept(), connect(&ticket, &key, LIMIT));
    let mut accepted = accepted.unwrap();
    drop(connected);
    match accepted.transport.next().await {
        Some(Err(crate::TransportError::Io(_))) => {}
        other => panic!("{other:?}"),
    }
}

/// A peer that speaks TLS as it should and then says `bytes`.
async fn saying(bytes: &[u8]) -> AcceptError {
    let server = Server::new().await;
    let config = client_config(&SecretKey::generate(), server.door.key()).unwrap();
    let speaking = async {
        let tcp = TcpStream::connect(server.addr()).await.unwrap();
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        let mut tls = connector.connect(nobody(), tcp).await.unwrap();
        tls.write_all(bytes).await.unwrap();
        tls.shutdown().await.unwrap();
        tls
    };
    let (accepted, _tls) = tokio::join!(server.accept(), speaking);
    accepted.unwrap_err()
}

#[tokio::test]
async fn the_first_record_is_a_ticket_and_nothing_else() {
    for len in [0_u32, 31, 33, u32::MAX] {
        let record = [&len.to_be_bytes()[..], &[7; 64]].concat();
        match saying(&record).await {
            AcceptError::NoTicket(said) => assert_eq!(said, len),
            other => panic!("{other}"),
        }
    }
    for cut in [&b""[..], &[0, 0], &[0, 0, 0, 32, 1, 2, 3]] {
        assert!(matches!(saying(cut).await, AcceptError::Tls(_)));
    }
}

#[tokio::test]
async fn whoever_shows_no_key_or_speaks_no_tls_is_not_let_in() {
    let server = Server::new().await;
    let strangers = async {
        let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        tcp
    };
    let (accepted, _tcp) = tokio::join!(server.accept(), strangers);
    assert!(matches!(accepted, Err(AcceptError::Tls(_))));

    // A client as browsers are: certificates, no key of its own.
    let ordinary = crate::ws::client_config(None);
    let Ok(config) = ordinary else { return };
    let browser = async {
        let tcp = TcpStream::connect(server.addr()).await.unwrap();
        let connector = TlsConnector::from(config);
        connector.connect(nobody(), tcp).await
    };
    let (accepted, shaken) = tokio::join!(server.accept(), browser);
    assert!(accepted.is_err() && shaken.is_err());
}

#[tokio::test]
async fn a_ticket_that_cannot_be_used_says_what_is_wrong_with_it() {
    let server = Server::new().await;
    let key = SecretKey::generate();
    let mut nowhere = server.ticket();
    nowhere.address = "no address".to_owned();
    let mut weak = server.ticket();
    weak.public_key = [0; 32];
    let mut unheard = server.ticket();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    unheard.address = free.local_addr().unwrap().to_string();
    drop(free);
    for (ticket, why) in [
        (nowhere, "its address is wrong"),
        (weak, "its public_key is"),
        (
            unheard,
            "cannot connect to the server's channel at 127.0.0.1:",
        ),
    ] {
        let error = connect(&ticket, &key, LIMIT).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_channel_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new().await;
    let ticket = server.ticket_at(silent.local_addr().unwrap());
    let limit = Duration::from_millis(50);
    let error = connect(&ticket, &SecretKey::generate(), limit).await;
    assert!(matches!(
        error.unwrap_err(),
        ChannelError::TimedOut { after, .. } if after == limit
    ));
}
