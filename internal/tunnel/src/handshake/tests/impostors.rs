//! Those who are not who they say, and signatures that are shown where they were not meant.

use super::*;

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
        let jws = sign_registration(&key, &wish().claims(&key, &hello));
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
