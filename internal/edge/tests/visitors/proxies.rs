//! What proxies in front say of visitors, and who is believed.

use std::{num::NonZeroU32, time::Duration};

use adit_edge::{Config, ProxyProtocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::house::{House, PATIENCE, get, read};

const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";

/// The same in version 2, with an extension that nobody reads.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\
    \xc0\0\x02\x07\xc0\0\x02\x01\x12\x67\x01\xbb\x01\0\x02h2";

/// A proxy that checks whether the server is well.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn trusting(proxy_protocol: ProxyProtocol) -> Config {
    Config {
        proxy_protocol,
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Config::default()
    }
}

fn after(header: &[u8], fields: &str) -> Vec<u8> {
    [header, get(&House::key_host(), "/", fields).as_bytes()].concat()
}

#[tokio::test]
async fn a_trusted_proxy_names_the_visitor_of_a_connection() {
    for mode in [ProxyProtocol::Accept, ProxyProtocol::Require] {
        let house = House::with_key(trusting(mode)).await;
        for header in [TEXT, BINARY] {
            let answer = house.say(after(header, "")).await;
            assert_eq!(answer.body(), "link 1: 192.0.2.7 by http");
            let page = [header, get("adit.example", "/_adit/connect", "").as_bytes()].concat();
            let page = house.say(page).await;
            assert_eq!(page.body(), "the server's /_adit/connect for 192.0.2.7");
        }
        let answer = house.say(after(LOCAL, "")).await;
        assert_eq!(answer.body(), "link 1: 127.0.0.1 by http");
    }
}

#[tokio::test]
async fn a_visitor_who_was_named_is_no_proxy_himself() {
    let house = House::with_key(trusting(ProxyProtocol::Accept)).await;
    let lies = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\n";
    let answer = house.say(after(TEXT, lies)).await;
    assert_eq!(answer.body(), "link 1: 192.0.2.7 by http");
    // The one that checks speaks for itself, so what it says of others counts.
    let answer = house.say(after(LOCAL, lies)).await;
    assert_eq!(answer.body(), "link 1: 6.6.6.6 by https");
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_before_http_2() {
    let house = House::with_key(trusting(ProxyProtocol::Require)).await;
    for header in [TEXT, BINARY] {
        let mut connection = house.connect().await;
        connection.set_nodelay(true).unwrap();
        for byte in after(header, "") {
            connection.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = read(connection).await;
        assert_eq!(answer.body(), "link 1: 192.0.2.7 by http");
    }
    let mut connection = house.connect().await;
    let preface = [
        BINARY,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ]
    .concat();
    connection.write_all(&preface).await.unwrap();
    let mut settings = [0; 9];
    connection.read_exact(&mut settings).await.unwrap();
    assert_eq!(settings[3], 4, "it answers with its SETTINGS");
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let house = House::with_key(Config {
        header_timeout: Duration::from_millis(100),
        ..trusting(ProxyProtocol::Accept)
    });
    let house = house.await;
    for (header, len) in [(TEXT, TEXT.len() - 1), (BINARY, 20), (TEXT, 0)] {
        let mut connection = house.connect().await;
        connection.write_all(&header[..len]).await.unwrap();
        let mut nothing = Vec::new();
        let ended = timeout(PATIENCE, connection.read_to_end(&mut nothing)).await;
        assert_eq!(ended.expect("it ends").unwrap(), 0);
    }
}

#[tokio::test]
async fn where_a_header_is_accepted_there_may_be_none_and_where_it_is_required_not() {
    let accepting = House::with_key(trusting(ProxyProtocol::Accept)).await;
    let answer = accepting.say(after(b"", "X-Real-IP: 192.0.2.9\r\n")).await;
    assert_eq!(answer.body(), "link 1: 192.0.2.9 by http");
    let requiring = House::with_key(trusting(ProxyProtocol::Require)).await;
    let answer = requiring.say(after(b"", "")).await;
    assert_eq!((answer.status(), answer.error()), (400, "bad-request"));
}

#[tokio::test]
async fn a_header_that_breaks_the_rules_is_a_bad_request() {
    let house = House::with_key(trusting(ProxyProtocol::Accept)).await;
    for header in [
        &b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n"[..],
        b"PROXY TCP4 nobody 192.0.2.1 4711 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        assert_eq!(house.say(after(header, "")).await.status(), 400);
    }
}

#[tokio::test]
async fn from_a_stranger_it_is_no_http_and_from_nobody_where_it_is_off() {
    let strangers = Config {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..trusting(ProxyProtocol::Accept)
    };
    for config in [strangers, trusting(ProxyProtocol::Off)] {
        let house = House::with_key(config).await;
        for header in [TEXT, BINARY] {
            assert_eq!(house.say(after(header, "")).await.status(), 400);
        }
        assert_eq!(house.say(after(b"", "")).await.status(), 200);
    }
}

#[tokio::test]
async fn visitors_behind_a_proxy_are_turned_away_each_for_himself() {
    let house = House::with_key(Config {
        max_connections_per_address: NonZeroU32::new(1),
        ..trusting(ProxyProtocol::Accept)
    });
    let house = house.await;
    let mut first = house.connect().await;
    first.write_all(TEXT).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // The first one's header may be read after the second's: whichever it is.
    let mut second = house.connect().await;
    second.write_all(TEXT).await.unwrap();
    let rest = format!("Host: {}\r\nConnection: close\r\n\r\n", House::key_host());
    let turned_away = async {
        tokio::select! {
            readable = first.readable() => readable.map(|()| true),
            readable = second.readable() => readable.map(|()| false),
        }
    };
    let first_was = turned_away.await.unwrap();
    let (stays, goes) = if first_was {
        (second, first)
    } else {
        (first, second)
    };
    assert_eq!(read(goes).await.status(), 429);
    let mut stays = stays;
    if first_was {
        stays.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    }
    stays.write_all(rest.as_bytes()).await.unwrap();
    assert_eq!(read(stays).await.body(), "link 1: 192.0.2.7 by http");
    let other = TEXT.to_vec();
    let other = String::from_utf8(other).unwrap().replace("0.2.7", "0.2.8");
    let answer = house.say(after(other.as_bytes(), "")).await;
    assert_eq!(answer.body(), "link 1: 192.0.2.8 by http");
}
