//! The channel over real sockets: tickets given and taken, and every way in which they let nobody in.

use std::{net::SocketAddr, time::Duration};

use adit_uplink::{Channel, Config, Rules};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use identity::{Claims, SecretKey, sign_ticket_request};
use messages::{
    Disconnect, DisconnectCode, Frame, Granted, Hello, Message, RefusalCode, Refused,
    RegistrationResponse, Tag, Ticket,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tunnel::{
    channel::{Connected, connect},
    handshake::{HandshakeError, RegisterError, Registration, register},
};

use crate::house::{DOMAIN, House, claims, wish};

const LIMIT: Duration = Duration::from_secs(20);

/// Who asks for tickets, as the listener for HTTP sees it.
const PEER: &str = "127.0.0.1:4000";

/// A node with a channel.
struct Place {
    house: House,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Place {
    async fn new() -> Self {
        Self::with(|_| {}, false).await
    }

    async fn with(change: impl FnOnce(&mut Config), bind_address: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let channel = Channel::new(&SecretKey::generate(), &address, bind_address);
        let mut config = Config {
            channel: Some(channel.expect("the key is good")),
            ..Config::new(DOMAIN)
        };
        change(&mut config);
        let house = House::with(config);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (uplink, stopped) = (house.uplink.clone(), stop.clone());
        tasks.spawn(async move { uplink.serve_channel(listener, stopped).await });
        Self { house, stop, tasks }
    }

    async fn http(
        &self,
        method: Method,
        body: impl Into<Bytes>,
        peer: &str,
    ) -> (StatusCode, Bytes) {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        let peer: SocketAddr = peer.parse().expect("an address with a port");
        let answer = self.house.uplink.clone().ticket(request, peer).await;
        read(answer).await
    }

    async fn hello(&self) -> Hello {
        let (status, body) = self.http(Method::GET, "", PEER).await;
        assert_eq!(status, StatusCode::OK);
        match heard(Tag::Hello, body) {
            Message::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    /// A request that is good, unless `change` spoils it.
    async fn request(&self, key: &SecretKey, change: impl FnOnce(&mut Claims)) -> String {
        let hello = self.hello().await;
        let mut claims = claims(&hello);
        change(&mut claims);
        sign_ticket_request(key, &claims)
    }

    async fn ticket(&self, key: &SecretKey) -> Ticket {
        self.ticket_from(key, PEER).await
    }

    async fn ticket_from(&self, key: &SecretKey, peer: &str) -> Ticket {
        let request = self.request(key, |_| {}).await;
        let (status, body) = self.http(Method::POST, request, peer).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        Ticket::from_json(&body).expect("a ticket")
    }

    async fn refused(&self, request: String) -> (StatusCode, Refused) {
        let (status, body) = self.http(Method::POST, request, PEER).await;
        match heard(Tag::RegistrationResponse, body) {
            Message::RegistrationResponse(RegistrationResponse::Refused(refused)) => {
                (status, refused)
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn read(answer: Response<Full<Bytes>>) -> (StatusCode, Bytes) {
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("it is whole");
    (status, body.to_bytes())
}

fn heard(tag: Tag, body: Bytes) -> Message {
    let frame = Frame::new(tag, messages::Flags::NONE, messages::StreamId::LINK, body);
    Message::decode(&frame).expect("a message")
}

async fn registered(
    connected: &mut Connected,
    key: &SecretKey,
    channel: Option<String>,
) -> Result<Granted, RegisterError> {
    let wish = Registration {
        channel,
        ..wish([1; 16])
    };
    register(&mut connected.transport, key, &wish).await
}

/// What the server says to whoever gives this ticket.
async fn last_word(ticket: &Ticket, key: &SecretKey) -> Disconnect {
    let mut connected = connect(ticket, key, LIMIT).await.expect("TLS is agreed");
    let channel = Some(connected.channel.clone());
    match registered(&mut connected, key, channel).await {
        Err(RegisterError::Handshake(HandshakeError::Disconnected(last))) => last,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_ticket_leads_to_a_link() {
    let place = Place::new().await;
    let key = SecretKey::generate();
    let ticket = place.ticket(&key).await;
    assert_eq!(ticket.thumbprint, key.public().thumbprint().to_string());
    let mut connected = connect(&ticket, &key, LIMIT).await.unwrap();
    let channel = Some(connected.channel.clone());
    let granted = registered(&mut connected, &key, channel).await.unwrap();
    assert_eq!(granted.tunnel, key.public().label(None));
    assert_eq!(place.house.uplink.link_count(), 1);
    let stats = place.house.uplink.stats();
    assert_eq!((stats.tickets, stats.granted_over_tcp), (1, 1));
    assert_eq!((stats.tickets_refused, stats.granted), (0, 1));
}

#[tokio::test]
async fn a_ticket_is_good_once() {
    let place = Place::new().await;
    let key = SecretKey::generate();
    let ticket = place.ticket(&key).await;
    let mut first = connect(&ticket, &key, LIMIT).await.unwrap();
    let hello = first.transport.next().await.unwrap().unwrap();
    let last = last_word(&ticket, &key).await;
    assert_eq!(last.code, DisconnectCode::Protocol);
    assert!(last.reason.contains("ask for another"), "{}", last.reason);
    // The connection that it was good for does not mind.
    let hello = Message::decode(&Frame::decode(hello).unwrap()).unwrap();
    assert!(matches!(hello, Message::Hello(_)));
    assert_eq!(place.house.uplink.stats().tickets_refused, 1);
}

#[tokio::test]
async fn a_ticket_is_good_for_one_key_and_gone_when_another_shows_it() {
    let place = Place::new().await;
    let (key, thief) = (SecretKey::generate(), SecretKey::generate());
    let ticket = place.ticket(&key).await;
    let last = last_word(&ticket, &thief).await;
    assert!(last.reason.contains("another key"), "{}", last.reason);
    let last = last_word(&ticket, &key).await;
    assert!(last.reason.contains("unknown"), "{}", last.reason);
    assert_eq!(place.house.uplink.link_count(), 0);
}

#[tokio::test]
async fn a_ticket_that_nobody_gave_lets_nobody_in() {
    let place = Place::new().await;
    let key = SecretKey::generate();
    let mut ticket = place.ticket(&key).await;
    ticket.ticket = [0; 32];
    assert!(last_word(&ticket, &key).await.reason.contains("unknown"));
}

#[tokio::test]
async fn where_tickets_are_bound_to_addresses_another_one_is_of_no_use() {
    let key = SecretKey::generate();
    let bound = Place::with(|_| {}, true).await;
    let ticket = bound.ticket(&key).await;
    connect(&ticket, &key, LIMIT).await.unwrap();
    // The loopback name that is dialled is for agents on this machine.
    let elsewhere = bound.ticket_from(&key, "127.0.0.9:4000").await;
    let last = last_word(&elsewhere, &key).await;
    assert!(last.reason.contains("another address"), "{}", last.reason);

    let loose = Place::new().await;
    let elsewhere = loose.ticket_from(&key, "192.0.2.7:4000").await;
    let mut connected = connect(&elsewhere, &key, LIMIT).await.unwrap();
    let channel = Some(connected.channel.clone());
    registered(&mut connected, &key, channel).await.unwrap();
}

#[tokio::test]
async fn the_registration_is_the_channels_own_and_of_its_key() {
    let place = Place::new().await;
    let (key, other) = (SecretKey::generate(), SecretKey::generate());
    for (signer, channel, why) in [
        (&key, None, "another TLS connection"),
        (&key, Some("A".repeat(43)), "another TLS connection"),
        (&other, Some(String::new()), "another key than the channel"),
    ] {
        let ticket = place.ticket(&key).await;
        let mut connected = connect(&ticket, &key, LIMIT).await.unwrap();
        let own = connected.channel.clone();
        let channel = channel.map(|said| if said.is_empty() { own } else { said });
        match registered(&mut connected, signer, channel).await {
            Err(RegisterError::Refused(refused)) => {
                assert_eq!(refused.code, RefusalCode::WrongAudience);
                assert!(refused.message.contains(why), "{}", refused.message);
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(place.house.uplink.link_count(), 0);
}

#[tokio::test]
async fn a_request_that_proves_nothing_earns_no_ticket() {
    let place = Place::new().await;
    let key = SecretKey::generate();
    let foreign = place.request(&key, |claims| claims.nonce = [7; 32]).await;
    let rogue = place
        .request(&key, |claims| claims.aud = "rogue.example".to_owned())
        .await;
    let late = place
        .request(&key, |claims| claims.exp = claims.iat - 1)
        .await;
    let future = place
        .request(&key, |claims| claims.versions = vec![9])
        .await;
    for (request, status, code) in [
        (foreign, 403, RefusalCode::WrongNonce),
        (rogue, 403, RefusalCode::WrongAudience),
        (late, 403, RefusalCode::Stale),
        (future, 403, RefusalCode::UnsupportedVersion),
        ("no request".to_owned(), 400, RefusalCode::BadRequest),
        ("a".repeat(9000), 413, RefusalCode::TooLarge),
    ] {
        let (said, refused) = place.refused(request).await;
        assert_eq!(
            (said.as_u16(), refused.code),
            (status, code),
            "{}",
            refused.message
        );
    }
    assert_eq!(place.house.uplink.stats().tickets, 0);
}

#[tokio::test]
async fn rules_are_asked_before_a_ticket_is_given() {
    let listed = |config: &mut Config| {
        config.rules = Rules {
            mode: adit_uplink::AdmissionMode::Listed,
            ..Rules::default()
        };
    };
    let place = Place::with(listed, false).await;
    let key = SecretKey::generate();
    let request = place.request(&key, |_| {}).await;
    let (status, refused) = place.refused(request).await;
    assert_eq!(
        (status.as_u16(), refused.code),
        (403, RefusalCode::NotAllowed)
    );

    let open = Place::new().await;
    let wanting = |claims: &mut Claims| claims.host = Some(format!("blog.{DOMAIN}"));
    let request = open.request(&key, wanting).await;
    let (_, refused) = open.refused(request).await;
    assert_eq!(refused.code, RefusalCode::NameNotGranted);
}

#[tokio::test]
async fn over_a_cap_no_ticket_is_given_and_no_connection_taken() {
    let few = |config: &mut Config| {
        config.registrations_per_minute_per_address = std::num::NonZeroU32::new(2);
    };
    let place = Place::with(few, false).await;
    let key = SecretKey::generate();
    let (first, second) = (place.ticket(&key).await, place.ticket(&key).await);
    let request = place.request(&key, |_| {}).await;
    let (status, refused) = place.refused(request).await;
    assert_eq!(
        (status, refused.code),
        (
            StatusCode::TOO_MANY_REQUESTS,
            RefusalCode::TooManyRegistrations
        )
    );
    assert!(refused.retry_after_ms.is_some());
    for ticket in [&first, &second] {
        connect(ticket, &key, LIMIT).await.unwrap();
    }
    connect(&first, &key, LIMIT).await.unwrap_err();
}

#[tokio::test]
async fn links_over_a_cap_are_refused_with_a_reason_before_they_are_tried() {
    let place = Place::with(|config| config.max_links_per_address = 1, false).await;
    let key = SecretKey::generate();
    let ticket = place.ticket(&key).await;
    let mut connected = connect(&ticket, &key, LIMIT).await.unwrap();
    let channel = Some(connected.channel.clone());
    registered(&mut connected, &key, channel).await.unwrap();
    let request = place.request(&key, |_| {}).await;
    let (_, refused) = place.refused(request).await;
    assert_eq!(refused.code, RefusalCode::TooManyLinks);
}

#[tokio::test]
async fn a_silent_peer_is_let_go_wherever_it_falls_silent() {
    let hasty = |config: &mut Config| config.handshake_timeout = Duration::from_millis(200);
    let place = Place::with(hasty, false).await;
    let key = SecretKey::generate();
    let ticket = place.ticket(&key).await;
    // Before the first byte of TLS, in the middle of a record of it, and behind the ticket.
    for bytes in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let mut tcp = TcpStream::connect(&ticket.address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut end = Vec::new();
        drop(tcp.read_to_end(&mut end).await);
    }
    let mut connected = connect(&ticket, &key, LIMIT).await.unwrap();
    while let Some(Ok(_)) = connected.transport.next().await {}
    while place.house.uplink.stats().pending > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_record_that_is_no_frame_ends_the_link() {
    let place = Place::new().await;
    let key = SecretKey::generate();
    let ticket = place.ticket(&key).await;
    let mut connected = connect(&ticket, &key, LIMIT).await.unwrap();
    let channel = Some(connected.channel.clone());
    registered(&mut connected, &key, channel).await.unwrap();
    // A tag of the server's own, from an agent.
    let wrong = Frame::new(
        Tag::Hello,
        messages::Flags::NONE,
        messages::StreamId::LINK,
        Bytes::from_static(b"{}"),
    );
    connected.transport.send(wrong).await.unwrap();
    let mut last = None;
    while let Some(Ok(word)) = connected.transport.next().await {
        last = Some(Message::decode(&Frame::decode(word).unwrap()).unwrap());
    }
    assert!(matches!(
        last,
        Some(Message::Disconnect(Disconnect {
            code: DisconnectCode::Protocol,
            ..
        }))
    ));
}

#[tokio::test]
async fn a_node_that_leaves_gives_no_tickets_and_tells_its_agents() {
    let mut place = Place::new().await;
    let key = SecretKey::generate();
    let ticket = place.ticket(&key).await;
    let unused = place.ticket(&key).await;
    let mut connected = connect(&ticket, &key, LIMIT).await.unwrap();
    let channel = Some(connected.channel.clone());
    registered(&mut connected, &key, channel).await.unwrap();
    place.house.uplink.prepare_to_leave().await;

    let (status, body) = place.http(Method::GET, "", PEER).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(String::from_utf8_lossy(&body).contains("draining"));
    connect(&unused, &key, LIMIT).await.unwrap_err();
    let word = connected.transport.next().await.unwrap().unwrap();
    assert!(matches!(
        Message::decode(&Frame::decode(word).unwrap()).unwrap(),
        Message::Disconnect(Disconnect {
            code: DisconnectCode::Draining,
            ..
        })
    ));

    place.stop.cancel();
    let deadline = tokio::time::Instant::now() + LIMIT;
    let uplink = place.house.uplink.clone();
    let draining = uplink.drain(deadline);
    let leaving = async {
        while let Some(Ok(_)) = connected.transport.next().await {}
        connected.transport.close().await.ok();
    };
    let (cut, ()) = tokio::join!(draining, leaving);
    assert_eq!(cut, 0);
    while place.tasks.join_next().await.is_some() {}
}

#[tokio::test]
async fn without_a_channel_there_are_no_tickets() {
    let house = House::new();
    for method in [Method::GET, Method::POST] {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method;
        let peer = PEER.parse().unwrap();
        let (status, text) = read(house.uplink.clone().ticket(request, peer).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text.starts_with(b"This server has no channel"));
    }
    let place = Place::new().await;
    let (status, _) = place.http(Method::DELETE, "", PEER).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}
