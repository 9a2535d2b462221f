//! Both ends talk over an in-memory pipe: the good conversation first, then everybody who tries something else.

use std::future::Future;

use futures_util::{SinkExt, StreamExt};
use messages::{Disconnect, DisconnectCode, Flags, StreamId, Tag};

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
        name: None,
        session: [0xab; 16],
        generation: None,
        mode: Mode::Exclusive,
        agent: "adit-agent/test".to_owned(),
        channel: None,
        timeout: HANDSHAKE_TIMEOUT,
    }
}

fn grant_for(registration: &VerifiedRegistration) -> Granted {
    let hostname = format!("{}.{DOMAIN}", registration.label());
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
        name: Some("web".to_owned()),
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
async fn an_agent_that_says_nothing_is_given_ten_seconds() {
    let began = Instant::now();
    let (error, refused) = greeted(|link| async { link }).await;
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::TimedOut)),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(refused, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_ten_seconds() {
    let (_server, mut agent) = pipe::pair();
    let began = Instant::now();
    let error = register(&mut agent, &SecretKey::generate(), &wish())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegisterError::Handshake(HandshakeError::TimedOut)),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn skipped_frames_do_not_buy_time() {
    let unknown = Bytes::from_static(&[0x77, 0, 0, 0, 0, 0]);
    let (error, _) = greeted(|mut link| async {
        for _ in 0..=MAX_SKIPPED {
            link.send_raw(unknown.clone()).await.unwrap();
        }
        link
    })
    .await;
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::OutOfTurn)),
        "{error:?}"
    );
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

/// The story: a rogue server is dialled by an agent, dials the real server itself, and relays the real Hello to the
/// agent and the agent's signed answer to the real server, to be granted the agent's name.
#[tokio::test(start_paused = true)]
async fn a_rogue_server_cannot_relay_a_registration() {
    let (real_server, mut rogue_dials) = pipe::pair();
    let (mut rogue_listens, mut agent) = pipe::pair();
    let key = SecretKey::generate();
    let lured = Registration {
        audience: "rogue.example".to_owned(),
        ..wish()
    };
    let relay = async {
        let greeting = rogue_dials.next().await.unwrap().unwrap();
        rogue_listens.send_raw(greeting).await.unwrap();
        let signed = rogue_listens.next().await.unwrap().unwrap();
        rogue_dials.send_raw(signed).await.unwrap();
        let verdict = rogue_dials.next().await.unwrap().unwrap();
        rogue_listens.send_raw(verdict).await.unwrap();
    };
    let (admitted, (), registered) = tokio::join!(
        admit(real_server, |_| ()),
        relay,
        register(&mut agent, &key, &lured)
    );
    assert!(
        matches!(
            admitted,
            Err(GreetError::Unproven(VerifyError::WrongAudience))
        ),
        "{admitted:?}"
    );
    let Err(RegisterError::Refused(refused)) = registered else {
        panic!("{registered:?}")
    };
    assert_eq!(refused.code, RefusalCode::WrongAudience);
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_pinned_the_domain_signs_nothing_for_a_relay() {
    let pinned = Registration {
        expect_domain: Some("mine.example".to_owned()),
        ..wish()
    };
    let (admitted, registered) = meet(&pinned).await;
    assert!(
        matches!(admitted, Err(GreetError::Handshake(_))),
        "nothing was signed: {admitted:?}"
    );
    let Err(RegisterError::WrongDomain { expected, got }) = registered else {
        panic!("{registered:?}")
    };
    assert_eq!((expected.as_str(), got.as_str()), ("mine.example", DOMAIN));

    let right = Registration {
        expect_domain: Some("Tunnels.Example".to_owned()),
        ..wish()
    };
    assert!(meet(&right).await.1.is_ok(), "a domain has no case");
}

/// The story: somebody reads the signed registration of one link and presents it on another link of the same server.
#[tokio::test(start_paused = true)]
async fn a_captured_registration_is_worthless_on_another_link() {
    let (server, mut agent) = pipe::pair();
    let limits = LIMITS();
    let key = SecretKey::generate();
    let capture = async {
        let hello = hello(&mut agent).await;
        let jws = sign_registration(&key, &wish().claims(&hello));
        answer(&mut agent, jws.clone()).await;
        jws
    };
    let (admitted, captured) = tokio::join!(admit(server, |_| ()), capture);
    assert!(admitted.is_ok(), "the first use is good");

    let (mut server, mut thief) = pipe::pair();
    let replay = async {
        hello(&mut thief).await;
        answer(&mut thief, captured).await;
        hear(&mut thief, Instant::now() + HANDSHAKE_TIMEOUT).await
    };
    let terms = terms(&limits);
    let (greeted, told) = tokio::join!(greet(&mut server, &terms), replay);
    assert!(
        matches!(greeted, Err(GreetError::Unproven(VerifyError::WrongNonce))),
        "{greeted:?}"
    );
    let Ok(Message::RegistrationResponse(RegistrationResponse::Refused(refused))) = told else {
        panic!("{told:?}")
    };
    assert_eq!(refused.code, RefusalCode::WrongNonce);
}

#[tokio::test(start_paused = true)]
async fn no_two_links_are_greeted_with_the_same_nonce() {
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let (server, mut agent) = pipe::pair();
        let (_, hello) = tokio::join!(
            async {
                // Hung up on as soon as the greeting was read.
                drop(admit(server, |_| ()).await);
            },
            async {
                let hello = hello(&mut agent).await;
                drop(agent);
                hello
            }
        );
        nonces.push(hello.nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test(start_paused = true)]
async fn time_spent_answering_counts_against_the_signature() {
    let (error, refused) = greeted(|mut link| async {
        let greeting = hello(&mut link).await;
        let mut claims = wish().claims(&greeting);
        (claims.iat, claims.exp) = (NOW - 60, NOW);
        tokio::time::sleep(Duration::from_secs(9)).await;
        answer(
            &mut link,
            sign_registration(&SecretKey::generate(), &claims),
        )
        .await;
        link
    })
    .await;
    assert!(
        matches!(error, GreetError::Unproven(VerifyError::Stale)),
        "{error:?}"
    );
    assert_eq!(code(refused), RefusalCode::Stale);
}

#[tokio::test(start_paused = true)]
async fn where_tls_ends_in_the_server_the_signature_must_be_bound_to_it() {
    let limits = LIMITS();
    for (claimed, admitted) in [
        (Some("our-connection"), true),
        (Some("another-one"), false),
        (None, false),
    ] {
        let (mut server, mut agent) = pipe::pair();
        let terms = ServerTerms {
            channel: Some("our-connection"),
            ..terms(&limits)
        };
        let key = SecretKey::generate();
        let wish = Registration {
            channel: claimed.map(str::to_owned),
            ..wish()
        };
        let (greeted, _) = tokio::join!(
            async {
                greet(&mut server, &terms)
                    .await
                    .map(|claimant| drop(claimant.registration().clone()))
            },
            async {
                register(
                    &mut agent,
                    &key,
                    &Registration {
                        timeout: Duration::from_secs(1),
                        ..wish
                    },
                )
                .await
            },
        );
        assert_eq!(greeted.is_ok(), admitted, "{claimed:?}: {greeted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn versions_must_meet_and_each_side_says_so() {
    let (error, refused) = greeted(|mut link| async {
        let greeting = hello(&mut link).await;
        let claims = Claims {
            versions: vec![2, 3],
            ..wish().claims(&greeting)
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
async fn an_agent_refuses_a_name_that_is_not_its_own() {
    let foreign = SecretKey::generate().public().label(None);
    let spoils: [(&str, Spoil); 5] = [
        (
            "another key's label",
            Box::new({
                let foreign = foreign.clone();
                move |granted| granted.tunnel = foreign
            }),
        ),
        (
            "another key's host",
            Box::new({
                let foreign = foreign.clone();
                move |granted| granted.hostname = format!("{foreign}.{DOMAIN}")
            }),
        ),
        (
            "a host under another domain",
            Box::new(|granted| granted.hostname = format!("{}.evil.example", granted.tunnel)),
        ),
        (
            "a URL that leads elsewhere",
            Box::new(move |granted| granted.url = format!("https://{foreign}.{DOMAIN}")),
        ),
        (
            "a URL that a terminal would obey",
            Box::new(|granted| granted.url.push_str("/\u{1b}[2J")),
        ),
    ];
    for (what, spoil) in spoils {
        let (server, mut agent) = pipe::pair();
        let key = SecretKey::generate();
        let wish = wish();
        let (_, registered) = tokio::join!(admit(server, spoil), register(&mut agent, &key, &wish));
        assert!(
            matches!(registered, Err(RegisterError::ForeignGrant { .. })),
            "{what}: {registered:?}"
        );
    }
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

/// An agent that never reads must not hold the server's answer for ever.
#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_read_is_given_up() {
    let (mut server, _agent) = pipe::pair_holding(1);
    server.send(Frame::ping([0; 8])).await.unwrap();
    let limits = LIMITS();
    let began = Instant::now();
    let error = greet(&mut server, &terms(&limits)).await.unwrap_err();
    assert!(
        matches!(error, GreetError::Handshake(HandshakeError::TimedOut)),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), HANDSHAKE_TIMEOUT);
}
