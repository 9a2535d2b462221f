//! What an agent may ask for beside its own label, and what it takes for that.

use identity::{auto_name, grant_id, join};

use super::*;

fn wanting(wanted: Wanted) -> Registration {
    Registration { wanted, ..wish() }
}

/// What an agent says to a grant that the server changed.
async fn granted(
    wanted: Wanted,
    spoil: impl FnOnce(&mut Granted),
) -> Result<Granted, RegisterError> {
    let (server, mut agent) = pipe::pair();
    let (key, wish) = (SecretKey::generate(), wanting(wanted));
    tokio::join!(admit(server, spoil), register(&mut agent, &key, &wish)).1
}

/// A grant of this host, consistent in itself.
fn moved_to(host: &str) -> impl FnOnce(&mut Granted) {
    let (tunnel, hostname) = (grant_id(host).unwrap().label(), host.to_owned());
    move |granted| {
        granted.tunnel = tunnel;
        granted.url = format!("https://{hostname}");
        granted.hostname = hostname;
    }
}

#[tokio::test(start_paused = true)]
async fn a_granted_host_is_taken_wherever_it_is() {
    for host in [
        "blog.tunnels.example",
        DOMAIN,
        "app.example.org",
        "*.blog.tunnels.example",
    ] {
        let granted = granted(Wanted::Host(host.to_owned()), |_| ())
            .await
            .unwrap();
        assert_eq!(granted.hostname, host);
        assert_eq!(granted.tunnel, grant_id(host).unwrap().label());
    }
}

#[tokio::test(start_paused = true)]
async fn another_host_than_the_one_asked_for_is_refused() {
    let blog = || Wanted::Host("blog.tunnels.example".to_owned());
    for other in [
        "bank.tunnels.example",
        "*.tunnels.example",
        "blog.example.org",
    ] {
        let error = granted(blog(), moved_to(other)).await.unwrap_err();
        let RegisterError::ForeignGrant { own, .. } = error else {
            panic!("{other}: {error:?}")
        };
        assert_eq!(own, "blog.tunnels.example");
    }
    let own_label = |granted: &mut Granted| {
        granted.tunnel = SecretKey::generate().public().label(None);
    };
    let error = granted(blog(), own_label).await.unwrap_err();
    assert!(
        matches!(error, RegisterError::ForeignGrant { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_readable_name_is_the_servers_choice_within_its_domain() {
    let (server, mut agent) = pipe::pair();
    let (key, wish) = (SecretKey::generate(), wanting(Wanted::Auto));
    let (_, own) = tokio::join!(admit(server, |_| ()), register(&mut agent, &key, &wish));
    let words = auto_name(key.tunnel_id(None));
    assert_eq!(own.unwrap().hostname, format!("{words}.{DOMAIN}"));
    let other = granted(Wanted::Auto, moved_to("any-other-words.tunnels.example")).await;
    assert!(other.is_ok(), "{other:?}");

    let foreign = SecretKey::generate().public().label(None);
    for bad in [
        "words.example.org",
        "a.words.tunnels.example",
        "words-tunnels.example",
        "*.tunnels.example",
        DOMAIN,
        &format!("{foreign}.{DOMAIN}"),
    ] {
        let error = granted(Wanted::Auto, moved_to(bad)).await.unwrap_err();
        assert!(
            matches!(error, RegisterError::ForeignGrant { .. }),
            "{bad}: {error:?}"
        );
    }
    let error = granted(Wanted::Auto, |granted| {
        granted.tunnel = SecretKey::generate().public().label(None);
    });
    assert!(matches!(
        error.await,
        Err(RegisterError::ForeignGrant { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_granted_the_name_of_its_root() {
    let (server, mut agent) = pipe::pair();
    let first = SecretKey::generate();
    let key = first.rotate(DOMAIN, NOW).unwrap();
    let wish = wish();
    let (admitted, granted) =
        tokio::join!(admit(server, |_| ()), register(&mut agent, &key, &wish));
    let admitted = admitted.unwrap();
    assert_eq!((admitted.key(), admitted.sequence()), (key.public(), 1));
    let hostname = format!("{}.{DOMAIN}", first.public().label(None));
    assert_eq!(granted.unwrap().hostname, hostname);
}

/// Without its chain the key would be somebody else there, and with it nobody.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_rotated_for_another_domain_signs_nothing_here() {
    let (server, agent) = pipe::pair();
    let key = SecretKey::generate().rotate("other.example", NOW).unwrap();
    let wish = wish();
    let agent = async {
        let mut link = agent;
        register(&mut link, &key, &wish).await
    };
    let (admitted, registered) = tokio::join!(admit(server, |_| ()), agent);
    assert!(
        matches!(admitted, Err(GreetError::Handshake(_))),
        "{admitted:?}"
    );
    let Err(RegisterError::WrongDomain { expected, got }) = registered else {
        panic!("{registered:?}")
    };
    assert_eq!((expected.as_str(), got.as_str()), ("other.example", DOMAIN));
}

#[tokio::test(start_paused = true)]
async fn the_join_token_is_proved_and_stays_at_home() {
    let wish = Registration {
        token: Some(Secret::new("open sesame")),
        policy: Some(Policy {
            https_only: true,
            ..Policy::default()
        }),
        ..wish()
    };
    let (admitted, _) = meet(&wish).await;
    let admitted = admitted.unwrap();
    let claims = admitted.claims();
    let proof = claims.join.expect("it is proved");
    assert!(join::verify(
        &proof,
        b"open sesame",
        &claims.nonce,
        &claims.aud
    ));
    assert!(!format!("{claims:?}").contains("sesame"));
    assert_eq!(claims.policy, Some(serde_json::json!({"https_only": true})));
    assert_eq!(meet(&super::wish()).await.0.unwrap().claims().join, None);
}
