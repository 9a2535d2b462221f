//! Both ends talk over an in-memory pipe: the good conversation first, then everybody who tries something else.

mod impostors;
mod time;
mod wanted;

use std::future::Future;

use futures_util::{SinkExt, StreamExt};
use identity::{Claims, Mode, VerifyError};
use messages::{Disconnect, DisconnectCode, Flags, Policy, RefusalCode, Secret, StreamId, Tag};

use super::words::MAX_SKIPPED;
use super::*;
use crate::pipe::{self, Pipe};

const NOW: u64 = 1_800_000_000;
const DOMAIN: &str = "tunnels.example";
const LIMITS: fn() -> LinkLimits = LinkLimits::default;

fn is_relay(host: &str) -> bool {
    host == "relay.example"
}

fn terms(limits: &LinkLimits) -> ServerTerms<'_> {
    ServerTerms {
        node: NodeId([7; 16]),
        domain: DOMAIN,
        time: NOW,
        limits,
        accepts_audience: &is_relay,
        channel: None,
        timeout: HANDSHAKE_TIMEOUT,
    }
}

fn wish() -> Registration {
    Registration {
        audience: "relay.example".to_owned(),
        expect_domain: None,
        wanted: Wanted::Own,
        token: None,
        policy: None,
        session: [0xab; 16],
        generation: None,
        mode: Mode::Exclusive,
        agent: "adit-agent/test".to_owned(),
        channel: None,
        timeout: HANDSHAKE_TIMEOUT,
    }
}

fn grant_for(registration: &VerifiedRegistration) -> Granted {
    let own = || format!("{}.{DOMAIN}", registration.label());
    let hostname = registration.wanted_host().map_or_else(own, str::to_owned);
    Granted {
        key_id: registration.key().thumbprint().to_string(),
        tunnel: registration.label(),
        url: format!("https://{hostname}:8443"),
        hostname,
        node: NodeId([7; 16]),
        generation: 42,
        links: 1,
        limits: LinkLimits::default(),
    }
}

/// What a server does to a grant before it sends it.
type Spoil = Box<dyn FnOnce(&mut Granted)>;

/// A server that admits whoever proves a key; `spoil` changes what it grants.
async fn admit(
    mut link: Pipe,
    spoil: impl FnOnce(&mut Granted),
) -> Result<VerifiedRegistration, GreetError> {
    let limits = LIMITS();
    let claimant = greet(&mut link, &terms(&limits)).await?;
    let mut granted = grant_for(claimant.registration());
    spoil(&mut granted);
    Ok(claimant.grant(granted).await?)
}

/// What an agent with this wish and the admitting server come to.
async fn meet(
    wish: &Registration,
) -> (
    Result<VerifiedRegistration, GreetError>,
    Result<Granted, RegisterError>,
) {
    let (server, agent) = pipe::pair();
    let key = SecretKey::generate();
    let agent = async {
        // An agent that fails hangs up.
        let mut link = agent;
        register(&mut link, &key, wish).await
    };
    tokio::join!(admit(server, |_| ()), agent)
}

/// What a server that greets says of an agent that behaves as given, and the refusal that the agent reads.
async fn greeted<F: Future<Output = Pipe>>(
    agent: impl FnOnce(Pipe) -> F,
) -> (GreetError, Option<Refused>) {
    let (mut server, link) = pipe::pair();
    let limits = LIMITS();
    let terms = terms(&limits);
    let (greeted, mut link) = tokio::join!(greet(&mut server, &terms), agent(link));
    let error = greeted.unwrap_err();
    drop(server);
    loop {
        match hear(&mut link, Instant::now()).await {
            Ok(Message::Hello(_)) => {}
            Ok(Message::RegistrationResponse(RegistrationResponse::Refused(refused))) => {
                return (error, Some(refused));
            }
            _ => return (error, None),
        }
    }
}

async fn hello(link: &mut Pipe) -> Hello {
    match hear(link, Instant::now() + HANDSHAKE_TIMEOUT).await {
        Ok(Message::Hello(hello)) => hello,
        other => panic!("instead of Hello: {other:?}"),
    }
}

async fn answer(link: &mut Pipe, message: impl Into<Bytes>) {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    say(link, Frame::registration_request(message.into()), deadline)
        .await
        .unwrap();
}

fn code(refused: Option<Refused>) -> RefusalCode {
    refused.expect("the agent is told").code
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_proves_its_key_is_granted_its_own_name() {
    let (server, mut agent) = pipe::pair();
    let key = SecretKey::generate();
    let wish = Registration {
        wanted: Wanted::Named("web".to_owned()),
        generation: Some(9),
        ..wish()
    };
    let (admitted, granted) =
        tokio::join!(admit(server, |_| ()), register(&mut agent, &key, &wish));
    let (admitted, granted) = (admitted.unwrap(), granted.unwrap());
    assert_eq!(admitted.key(), key.public());
    assert_eq!(admitted.label(), key.public().label(Some("web")));
    assert_eq!(admitted.claims().session, "ab".repeat(16));
    assert_eq!(admitted.claims().generation, Some(9));
    assert_eq!(
        granted.hostname,
        format!("{}.{DOMAIN}", key.public().label(Some("web")))
    );
    assert_eq!(granted.generation, 42);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_would_rather_be_elsewhere_leaves_after_hello_and_has_signed_nothing() {
    let (mut server, mut agent) = pipe::pair();
    let limits = LIMITS();
    let (terms, wish) = (terms(&limits), wish());
    let leave = async {
        let node = be_greeted(&mut agent, &wish).await.unwrap().node();
        drop(agent);
        node
    };
    let (greeted, node) = tokio::join!(greet(&mut server, &terms), leave);
    assert_eq!(node, NodeId([7; 16]));
    assert!(
        matches!(
            greeted.unwrap_err(),
            GreetError::Handshake(HandshakeError::Closed)
        ),
        "nothing was said"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_reaches_the_agent_with_code_and_sentence() {
    let (mut server, mut agent) = pipe::pair();
    let key = SecretKey::generate();
    let limits = LIMITS();
    let refuse = async {
        let claimant = greet(&mut server, &terms(&limits)).await.unwrap();
        let refused = Refused {
            code: RefusalCode::Draining,
            message: "going \u{1b}[31mdown".to_owned(),
            retry_after_ms: Some(1500),
        };
        claimant.refuse(refused).await.unwrap();
    };
    let wish = wish();
    let ((), refused) = tokio::join!(refuse, register(&mut agent, &key, &wish));
    let Err(RegisterError::Refused(refused)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refused.code, RefusalCode::Draining);
    assert_eq!(
        refused.message, "going \u{fffd}[31mdown",
        "a server cannot write to the agent's terminal"
    );
    assert_eq!(refused.retry_after_ms, Some(1500));
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_future_before_the_answer_is_skipped() {
    let (server, mut agent) = pipe::pair();
    let key = SecretKey::generate();
    let wish = wish();
    agent
        .send_raw(Bytes::from_static(&[0x77, 0, 0, 0, 0, 0]))
        .await
        .unwrap();
    let (admitted, granted) =
        tokio::join!(admit(server, |_| ()), register(&mut agent, &key, &wish));
    assert!(admitted.is_ok() && granted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_by_the_kind_of_garbage() {
    let frame = |tag: u8, payload: &[u8]| Bytes::from([&[tag, 0, 0, 0, 0, 0], payload].concat());
    for (garbage, expected) in [
        (Bytes::from_static(b"GET"), RefusalCode::BadRequest),
        (Bytes::new(), RefusalCode::BadRequest),
        (
            frame(0x02, b"{\"not\": \"a JWS\"}"),
            RefusalCode::BadRequest,
        ),
        (frame(0x02, b"eyJ.eyJ.sig"), RefusalCode::BadRequest),
        (frame(0x02, b""), RefusalCode::BadRequest),
        (frame(0x30, b"pingping"), RefusalCode::BadRequest),
        (
            Bytes::from_static(&[0x12, 0, 0, 0, 0, 1]),
            RefusalCode::BadRequest,
        ),
        (
            Bytes::from_static(&[0x77, 0x80, 0, 0, 0, 0]),
            RefusalCode::BadRequest,
        ),
        (frame(0x02, &[b'a'; 8 * 1024 + 1]), RefusalCode::TooLarge),
        (frame(0x02, &[b'a'; 60_000]), RefusalCode::TooLarge),
    ] {
        let (_, refused) = greeted(|mut link| async {
            link.send_raw(garbage.clone()).await.unwrap();
            link
        })
        .await;
        assert_eq!(code(refused), expected, "{garbage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_is_not_answered() {
    let (mut server, agent) = pipe::pair();
    drop(agent);
    let limits = LIMITS();
    let error = greet(&mut server, &terms(&limits)).await.unwrap_err();
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::Transport(_))),
        "{error:?}"
    );

    let (server, mut agent) = pipe::pair();
    drop(server);
    let error = register(&mut agent, &SecretKey::generate(), &wish())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegisterError::Handshake(HandshakeError::Closed)),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_leaving_may_say_so_instead() {
    let (mut server, mut agent) = pipe::pair();
    let goodbye = Disconnect::new(DisconnectCode::ShuttingDown, "restarting");
    server.send(goodbye.encode()).await.unwrap();
    let error = register(&mut agent, &SecretKey::generate(), &wish())
        .await
        .unwrap_err();
    let RegisterError::Handshake(HandshakeError::Disconnected(told)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(told, goodbye);
}

#[tokio::test(start_paused = true)]
async fn versions_must_meet_and_each_side_says_so() {
    let (error, refused) = greeted(|mut link| async {
        let greeting = hello(&mut link).await;
        let claims = Claims {
            versions: vec![2, 3],
            ..wish().claims(&SecretKey::generate(), &greeting)
        };
        answer(
            &mut link,
            sign_registration(&SecretKey::generate(), &claims),
        )
        .await;
        link
    })
    .await;
    assert!(
        matches!(&error, GreetError::Version(versions) if versions == &[2, 3]),
        "{error:?}"
    );
    assert_eq!(code(refused), RefusalCode::UnsupportedVersion);

    let (mut server, mut agent) = pipe::pair();
    let limits = LIMITS();
    let greeting = Hello {
        versions: vec![2],
        ..terms(&limits).hello([0; 32])
    };
    server.send(greeting.encode()).await.unwrap();
    let error = register(&mut agent, &SecretKey::generate(), &wish())
        .await
        .unwrap_err();
    assert!(matches!(error, RegisterError::Version(versions) if versions == [2]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_skips_its_turn_is_no_server() {
    let reset = Frame::new(Tag::Body, Flags::NONE, StreamId(1), Bytes::new());
    let limits = LIMITS();
    for (words, why) in [
        (vec![reset.clone()], "data before Hello"),
        (
            vec![
                terms(&limits).hello([0; 32]).encode(),
                terms(&limits).hello([1; 32]).encode(),
            ],
            "two Hellos",
        ),
        (
            vec![terms(&limits).hello([0; 32]).encode(), reset],
            "data before the answer",
        ),
    ] {
        let (mut server, mut agent) = pipe::pair();
        for word in words {
            server.send(word).await.unwrap();
        }
        let error = register(&mut agent, &SecretKey::generate(), &wish())
            .await
            .unwrap_err();
        assert!(
            matches!(error, RegisterError::Handshake(HandshakeError::OutOfTurn)),
            "{why}: {error:?}"
        );
    }
}
