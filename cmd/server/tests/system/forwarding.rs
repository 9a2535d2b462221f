//! What proxies tell of visitors, in front of the server and behind the agent, and which host a service is told.

use std::net::Ipv4Addr;

use http::Response;
use testkit::{
    origin::{Log, Origin, full, read_head},
    process::{Agent, Key, Server},
    visitor::Visitor,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tunnel::Tunnel;

const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\x12\x67\x01\xbb";

/// What comes back for a request behind that header.
async fn behind(header: &[u8], visitor: &Visitor) -> String {
    let mut raw = visitor.raw().await;
    assert!(raw.try_send(header).await);
    raw.say(
        "GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n",
    )
    .await;
    String::from_utf8_lossy(&raw.rest().await.0).into_owned()
}

#[tokio::test]
async fn a_trusted_peer_names_the_visitor_by_the_proxy_protocol_in_either_version() {
    let settings = "trusted_proxies = ['loopback']\n[visitors]\nproxy_protocol = 'require'\n";
    let server = Server::configured(settings).await;
    // Agents come by the same door, so this one is behind the proxy too.
    let door = proxy(server.addr).await;
    let origin = Origin::echo().await;
    let key = Key::fresh();
    let agent = Agent::dial(door.addr, &origin.port(), &key, &["-q"]).await;
    let visitor = agent.visitor_at(server.addr);
    for header in [TEXT, BINARY] {
        let answer = behind(header, &visitor).await;
        assert!(answer.contains("x-forwarded-for: 192.0.2.7\n"), "{answer}");
    }
    let bare = behind(b"", &visitor).await;
    assert!(bare.starts_with("HTTP/1.1 400"), "{bare}");
}

/// A proxy that speaks for itself.
async fn proxy(to: std::net::SocketAddr) -> Origin {
    Origin::accepting(move |mut from| async move {
        let Ok(mut onwards) = tokio::net::TcpStream::connect(to).await else {
            return;
        };
        if onwards.write_all(b"PROXY UNKNOWN\r\n").await.is_ok() {
            drop(tokio::io::copy_bidirectional(&mut from, &mut onwards).await);
        }
    })
    .await
}

#[tokio::test]
async fn a_stranger_who_begins_with_a_proxy_header_is_no_visitor() {
    let settings = "trusted_proxies = ['192.0.2.1']\n[visitors]\nproxy_protocol = 'accept'\n";
    let tunnel = Tunnel::configured(settings, Origin::echo().await).await;
    for header in [TEXT, BINARY] {
        let answer = behind(header, &tunnel.visitor()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let answer = behind(b"", &tunnel.visitor()).await;
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\n"), "{answer}");
}

#[tokio::test]
async fn a_trusted_proxys_word_on_address_and_scheme_reaches_the_service() {
    let server = Server::configured("trusted_proxies = ['private', 'loopback']").await;
    let tunnel = Tunnel::through(server, &[], Origin::echo().await).await;
    let fields = [
        ("x-forwarded-for", "6.6.6.6, nonsense, 192.0.2.9, 10.0.0.3"),
        ("x-forwarded-proto", "https"),
    ];
    let answer = tunnel.visitor().get_with("/", &fields).await;
    for line in ["x-forwarded-for: 192.0.2.9\n", "x-forwarded-proto: https\n"] {
        assert!(answer.text().contains(line), "{line} in {}", answer.text());
    }
    let real = tunnel
        .visitor()
        .get_with("/", &[("x-real-ip", "192.0.2.8")])
        .await;
    assert!(
        real.text().contains("x-forwarded-for: 192.0.2.8\n"),
        "{}",
        real.text()
    );
}

#[tokio::test]
async fn the_host_that_was_asked_for_decides_and_not_what_a_proxy_says_of_another() {
    let server = Server::configured("trusted_proxies = ['loopback']").await;
    let tunnel = Tunnel::through(server, &[], Origin::echo().await).await;
    let host = tunnel.agent.host().to_owned();
    let other = [("x-forwarded-host", "other.example")];
    let answer = tunnel.visitor().get_with("/", &other).await;
    let line = format!("x-forwarded-host: {host}\n");
    assert!(answer.text().contains(&line), "{}", answer.text());
    let inside = tunnel.visitor().asking_for("inside.example");
    let answer = inside.get_with("/", &[("x-forwarded-host", &host)]).await;
    assert_eq!(answer.error(), Some("unknown-host"));
}

#[tokio::test]
async fn a_service_learns_the_visitors_address_by_the_proxy_protocol() {
    for (version, length) in [("v1", 0), ("v2", 28)] {
        let log = Log::default();
        let server = Server::configured("trusted_proxies = ['loopback']").await;
        let target = recording(log.clone(), length).await;
        let options = ["--send-proxy-protocol", version];
        let tunnel = Tunnel::through(server, &options, target).await;
        for address in ["192.0.2.7", "192.0.2.8"] {
            let fields = [("x-forwarded-for", address)];
            assert_eq!(tunnel.visitor().get_with("/", &fields).await.status, 200);
            let head = log.requests().pop().unwrap();
            assert!(named(&head, length, address), "{version}: {head:?}");
        }
    }
}

/// A service that keeps what comes before the end of the first request's head, after so many bytes of which the end may
/// not be.
async fn recording(log: Log, binary: usize) -> Origin {
    Origin::accepting(move |mut tcp| {
        let log = log.clone();
        async move {
            let mut head = vec![0; binary];
            if tcp.read_exact(&mut head).await.is_err() {
                return;
            }
            head.extend(read_head(&mut tcp).await);
            log.write(
                head.iter()
                    .map(|byte| char::from(*byte))
                    .collect::<String>(),
            );
            drop(
                tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await,
            );
        }
    })
    .await
}

/// Whether a connection began with a header that names that address.
fn named(head: &str, binary: usize, address: &str) -> bool {
    if binary == 0 {
        return head.starts_with(&format!("PROXY TCP4 {address} "))
            && head.contains("\r\nGET / HTTP/1.1\r\n");
    }
    let bytes: Vec<u8> = head
        .chars()
        .map(|char| u8::try_from(char).unwrap())
        .collect();
    let address: Ipv4Addr = address.parse().unwrap();
    bytes.starts_with(&BINARY[..14]) && bytes[16..20] == address.octets()
}

#[tokio::test]
async fn a_service_is_told_the_public_host_unless_its_agent_says_otherwise() {
    let tell = || async {
        Origin::serving(|request| async move {
            let field = |name| request.headers().get(name).unwrap().to_str().unwrap();
            Response::new(full(format!(
                "{} {}",
                field("host"),
                field("x-forwarded-host")
            )))
        })
        .await
    };
    for (option, host) in [
        ("preserve", None),
        ("rewrite", Some("itself")),
        ("app.local:3000", Some("app.local:3000")),
    ] {
        let tunnel = Tunnel::asking(&["--host-header", option], tell().await).await;
        let public = tunnel.agent.host();
        let own = format!("localhost:{}", tunnel.origin.addr.port());
        let told = match host {
            None => public,
            Some("itself") => &own,
            Some(fixed) => fixed,
        };
        let answer = tunnel.visitor().get("/").await;
        assert_eq!(answer.text(), format!("{told} {public}"), "{option}");
    }
}
