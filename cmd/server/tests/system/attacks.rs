//! Attacks that must fail.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::Full;
use identity::{SecretKey, sign_registration};
use messages::{Frame, Message, RefusalCode, RegistrationResponse, ResetCode};
use testkit::{
    hostile::{HostileAgent, dial, wish},
    origin::{Origin, full},
    process::{Agent, Key, Program, Server, binary},
    visitor::PATIENCE,
};
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tunnel::{
    handshake::{RegisterError, register},
    ws::{ConnectOptions, Endpoint, connect},
};

fn refused(result: Result<HostileAgent, RegisterError>) -> RefusalCode {
    match result {
        Err(RegisterError::Refused(refused)) => refused.code,
        Ok(_) => panic!("the server granted it"),
        Err(other) => panic!("not the server's refusal: {other}"),
    }
}

#[tokio::test]
async fn a_registration_for_another_domain_is_refused() {
    let server = Server::start(&[]).await;
    let result =
        HostileAgent::register_with(&server, &SecretKey::generate(), &wish("tunnels.example"))
            .await;
    assert_eq!(refused(result), RefusalCode::WrongAudience);
}

#[tokio::test]
async fn a_rogue_server_that_relays_hello_and_answer_gets_nothing() {
    let server = Server::start(&[]).await;
    let addr = server.addr;
    // It relays every byte, so that its victim proves itself to the real server without knowing. But an agent signs
    // the name that it was told to dial.
    let rogue = Origin::accepting(move |mut tcp| async move {
        let mut real = TcpStream::connect(addr).await.unwrap();
        drop(copy_bidirectional(&mut tcp, &mut real).await);
    })
    .await;
    let mut link = dial(&format!("http://{}", rogue.addr)).await;
    let told_to_dial = wish("rogue.example");
    let result = register(&mut link.transport, &SecretKey::generate(), &told_to_dial).await;
    match result {
        Err(RegisterError::Refused(refused)) => {
            assert_eq!(refused.code, RefusalCode::WrongAudience);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_that_pins_its_domain_signs_nothing_for_another() {
    let server = Server::start(&[]).await;
    let key = Key::fresh();
    let args = Agent::args(
        &server,
        "9",
        &key.path(),
        &["--expect-domain", "tunnels.example"],
    );
    let mut agent = Program::start(binary("adit"), args);
    assert!(!agent.ended().await.success());
    assert!(agent.said("tunnels.example") > 0, "{:?}", agent.output());
}

#[tokio::test]
async fn a_replayed_registration_is_refused() {
    let server = Server::start(&[]).await;
    let key = SecretKey::generate();
    let mut first = dial(&server.url()).await;
    let mut second = dial(&server.url()).await;
    let hello = async |link: &mut tunnel::ws::Connected| {
        let frame = Frame::decode(link.transport.next().await.unwrap().unwrap()).unwrap();
        match Message::decode(&frame).unwrap() {
            Message::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    };
    let (captured, _fresh) = (hello(&mut first).await, hello(&mut second).await);
    let claims = identity::Claims {
        aud: "127.0.0.1".to_owned(),
        nonce: captured.nonce,
        iat: captured.time,
        exp: captured.time + 30,
        name: None,
        host: None,
        auto: false,
        session: "00".repeat(16),
        generation: None,
        mode: identity::Mode::Exclusive,
        agent: "replay".to_owned(),
        versions: vec![1],
        policy: None,
        channel: None,
        join: None,
        chain: Vec::new(),
    };
    let jws = Bytes::from(sign_registration(&key, &claims));
    second
        .transport
        .send(Frame::registration_request(jws))
        .await
        .unwrap();
    let frame = Frame::decode(second.transport.next().await.unwrap().unwrap()).unwrap();
    match Message::decode(&frame).unwrap() {
        Message::RegistrationResponse(RegistrationResponse::Refused(refused)) => {
            assert_eq!(refused.code, RefusalCode::WrongNonce);
        }
        other => panic!("{other:?}"),
    }
    assert!(
        timeout(Duration::from_secs(5), second.transport.next())
            .await
            .unwrap()
            .is_none_or(|end| end.is_err())
    );
}

#[tokio::test]
async fn registration_garbage_gets_a_code_and_a_close() {
    let server = Server::start(&[]).await;
    let mut link = dial(&server.url()).await;
    link.transport.next().await.unwrap().unwrap();
    link.transport
        .send(Frame::registration_request(Bytes::from_static(
            b"not.a.token",
        )))
        .await
        .unwrap();
    let frame = Frame::decode(link.transport.next().await.unwrap().unwrap()).unwrap();
    assert!(matches!(
        Message::decode(&frame).unwrap(),
        Message::RegistrationResponse(RegistrationResponse::Refused(_))
    ));
    assert!(
        timeout(Duration::from_secs(5), link.transport.next())
            .await
            .unwrap()
            .is_none_or(|end| end.is_err())
    );
}

#[tokio::test]
async fn an_agent_cannot_answer_for_another_tunnel() {
    let server = Server::start(&[]).await;
    let origin = Origin::serving(|_| async { http::Response::new(full("honest")) }).await;
    let honest = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let mut hostile = HostileAgent::register(&server).await;
    let (stream, _) = {
        let visitor = hostile.visitor();
        let (asked, request) = tokio::join!(
            timeout(
                Duration::from_millis(300),
                async move { visitor.get("/").await }
            ),
            hostile.request(),
        );
        assert!(asked.is_err(), "the hostile agent has not answered");
        request
    };
    for guess in [stream.0, stream.0 + 1, 1, 2, 7] {
        if !hostile.send(response_on(guess)).await {
            break;
        }
    }
    for _ in 0..5 {
        assert_eq!(honest.visitor().get("/").await.text(), "honest");
    }
}

fn response_on(stream: u32) -> Frame {
    let head = messages::ResponseHead {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::new(),
    };
    head.encode(messages::StreamId(stream), b"forged", true)
        .unwrap()
}

/// What a visitor gets when the agent answers like this.
async fn answered(
    fields: &[(&str, &str)],
    body: &'static str,
    status: u16,
) -> testkit::visitor::Answer {
    let server = Server::start(&[]).await;
    let mut hostile = HostileAgent::register(&server).await;
    let visitor = hostile.visitor();
    let answering = async {
        let (stream, _) = hostile.request().await;
        hostile.answer(stream, status, fields, body, true).await;
        hostile
    };
    let (answer, _hostile) = tokio::join!(visitor.get("/"), answering);
    answer
}

#[tokio::test]
async fn responses_with_framing_of_their_own_are_a_502() {
    for fields in [
        &[("transfer-encoding", "chunked")][..],
        &[("content-length", "3"), ("content-length", "4")],
        &[("content-length", "-3")],
    ] {
        let answer = answered(fields, "abc", 200).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error()),
            (502, Some("bad-response")),
            "{fields:?}"
        );
    }
    let upgraded = answered(&[("upgrade", "websocket")], "", 204).await;
    assert_eq!(upgraded.status, 204);
    assert!(!upgraded.headers.contains_key("upgrade"));
}

#[tokio::test]
async fn a_101_nobody_asked_for_and_a_flood_of_interim_heads_are_a_502() {
    for (status, count) in [(101, 1), (103, 1_000)] {
        let server = Server::start(&[]).await;
        let mut hostile = HostileAgent::register(&server).await;
        let visitor = hostile.visitor();
        let answering = async {
            let (stream, _) = hostile.request().await;
            for _ in 0..count {
                hostile
                    .answer(stream, status, &[("link", "</a>")], "", false)
                    .await;
            }
            hostile
        };
        let (answer, _hostile) = tokio::join!(visitor.get("/"), answering);
        assert_eq!(
            (answer.status.as_u16(), answer.error()),
            (502, Some("bad-response")),
            "{status}"
        );
    }
}

#[tokio::test]
async fn fewer_bytes_than_announced_cut_the_visitor_off() {
    let server = Server::start(&[]).await;
    let mut hostile = HostileAgent::register(&server).await;
    let mut raw = hostile.visitor().raw().await;
    raw.say("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").await;
    let (stream, _) = hostile.request().await;
    hostile
        .answer(stream, 200, &[("content-length", "10")], "abc", false)
        .await;
    hostile.send(Frame::body(stream, Bytes::new(), true)).await;
    let (answer, _) = raw.rest().await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        text.contains("content-length: 10") && text.ends_with("abc"),
        "{text}"
    );
}

#[tokio::test]
async fn cookies_for_the_shared_domain_do_not_pass() {
    let fields = [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2; Domain=localhost"),
        ("set-cookie", "c=3; Path=/"),
    ];
    let answer = answered(&fields, "", 200).await;
    let cookies: Vec<_> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(cookies, ["a=1", "c=3; Path=/"]);
}

/// A connection from one of many loopback addresses: a single one may hold only a part of all connections.
async fn connect_from(last: u8, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = Ipv4Addr::new(127, 0, 0, last);
    socket.bind((from, 0).into()).unwrap();
    socket.connect(server.addr).await.unwrap()
}

#[tokio::test]
async fn ten_thousand_silent_connections_do_not_keep_others_out() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let server = Server::configured("[visitors]\nheader_timeout = \"2s\"").await;
    let mut silent = Vec::new();
    for last in 10..20 {
        for _ in 0..1000 {
            silent.push(connect_from(last, &server).await);
        }
    }
    let origin = Origin::serving(|_| async { http::Response::new(full("served")) }).await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    assert_eq!(agent.visitor().get("/").await.text(), "served");
    // And they are closed on time.
    for mut tcp in silent {
        let closed = timeout(PATIENCE, tcp.read(&mut [0; 1]))
            .await
            .expect("closed in time");
        assert!(matches!(closed, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn agents_that_never_register_are_capped_by_address_and_closed_on_time() {
    let server = Server::configured("[admission]\nhandshake_timeout = \"500ms\"").await;
    let endpoint: Endpoint = server.url().parse().unwrap();
    let (mut pending, mut turned_away) = (Vec::new(), 0);
    for _ in 0..40 {
        match connect(&endpoint, &ConnectOptions::default()).await {
            Ok(link) => pending.push(link),
            Err(_) => turned_away += 1,
        }
    }
    assert!(
        pending.len() <= 16 && turned_away >= 24,
        "{} pending, {turned_away} turned away",
        pending.len()
    );
    for mut link in pending {
        let closing = async { while let Some(Ok(_)) = link.transport.next().await {} };
        timeout(PATIENCE, closing).await.expect("closed in time");
    }
    HostileAgent::register(&server).await;
}

#[tokio::test]
async fn an_agent_that_overruns_its_credit_loses_that_stream_and_nothing_else() {
    let server = Server::start(&["--max-body", "unlimited"]).await;
    let mut hostile = HostileAgent::register(&server).await;
    let mut stuck = hostile.visitor().raw().await;
    stuck
        .say("GET /stuck HTTP/1.1\r\nHost: {host}\r\n\r\n")
        .await;
    let (stream, _) = hostile.request().await;
    hostile.answer(stream, 200, &[], "", false).await;
    // The visitor does not read: soon there is no credit, and this agent does not care.
    let mut code = None;
    for _ in 0..2_000 {
        hostile
            .send(Frame::body(stream, Bytes::from(vec![0; 60_000]), false))
            .await;
        if let Ok(Some((_, Message::Reset(reset)))) =
            timeout(Duration::from_millis(1), hostile.hear()).await
        {
            code = Some(reset.code);
            break;
        }
    }
    assert_eq!(code, Some(ResetCode::Overrun));
    let visitor = hostile.visitor();
    let answering = async {
        let (stream, _) = hostile.request().await;
        hostile.answer(stream, 200, &[], "alive", true).await;
    };
    let (answer, ()) = tokio::join!(visitor.get("/"), answering);
    assert_eq!(answer.text(), "alive");
}

#[tokio::test]
async fn a_cut_http_1_0_response_ends_in_a_reset_not_in_an_end() {
    let server = Server::start(&[]).await;
    let mut hostile = HostileAgent::register(&server).await;
    let mut raw = hostile.visitor().raw().await;
    raw.say("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").await;
    let (stream, _) = hostile.request().await;
    hostile.answer(stream, 200, &[], "half of it", false).await;
    raw.until("half of it").await;
    drop(hostile);
    let (_, reset) = raw.rest().await;
    assert!(reset, "a clean end would pass for the end of the body");
}

#[tokio::test]
async fn a_cut_chunked_response_is_left_unterminated() {
    let server = Server::start(&[]).await;
    let mut hostile = HostileAgent::register(&server).await;
    let mut raw = hostile.visitor().raw().await;
    raw.say("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").await;
    let (stream, _) = hostile.request().await;
    hostile.answer(stream, 200, &[], "half of it", false).await;
    raw.until("half of it").await;
    drop(hostile);
    let (rest, _) = raw.rest().await;
    assert!(
        !rest.ends_with(b"0\r\n\r\n"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[tokio::test]
async fn an_oversize_head_is_refused_and_the_next_visitor_served() {
    let server = Server::start(&[]).await;
    let origin = Origin::echo().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    // Above the limit of the server, and above what the library reads ahead.
    for len in [60_000, 200_000] {
        let request = Request::get("/")
            .header("x-large", "x".repeat(len))
            .body(Full::new(Bytes::new()))
            .unwrap();
        let refused = agent.visitor().request(request).await;
        assert_eq!(refused.status, 431, "{len} bytes");
    }
    assert_eq!(agent.visitor().get("/").await.status, 200);
}
