//! Which tunnel a registration is for: of a granted host, of a readable name, of the root of a chain.

use super::*;
use crate::chain::{ChainError, StatementError};
use crate::names::{HostError, granted_host_id, wildcard_host_id};

#[test]
fn a_granted_host_is_a_tunnel_of_its_own_whoever_asks() {
    for (host, id) in [
        (
            "blog.tunnel.example",
            granted_host_id("blog.tunnel.example"),
        ),
        ("tunnel.example", granted_host_id("tunnel.example")),
        ("app.example.org", granted_host_id("app.example.org")),
        ("*.blog.example", wildcard_host_id("blog.example")),
    ] {
        let verified = outcome(|claims| claims.host = Some(host.to_owned())).unwrap();
        assert_eq!(Ok(verified.tunnel_id()), id, "{host}");
        assert_eq!(verified.wanted_host(), Some(host));
        assert_eq!(verified.root(), verified.key().tunnel_id(None));
    }
    assert_eq!(outcome(|_| ()).unwrap().wanted_host(), None);
}

#[test]
fn a_readable_name_is_made_of_the_root_under_the_domain() {
    let verified = outcome(|claims| claims.auto = true).unwrap();
    let host = verified.wanted_host().unwrap();
    assert_eq!(
        host,
        format!("{}.tunnel.example", auto_name(verified.root()))
    );
    assert_eq!(Ok(verified.tunnel_id()), granted_host_id(host));
}

#[test]
fn a_host_has_one_spelling_and_is_no_address() {
    for host in ["Blog.example", "blog.example.", "*.Blog.example"] {
        assert!(
            malformed(refusal(|claims| claims.host = Some(host.to_owned()))),
            "{host}"
        );
    }
    for (host, why) in [
        ("", HostError::Length),
        ("a..b", HostError::Label),
        ("*", HostError::Label),
        ("blog.example:80", HostError::Label),
        ("127.0.0.1", HostError::Address),
    ] {
        let error = refusal(|claims| claims.host = Some(host.to_owned()));
        assert_eq!(error, VerifyError::BadHost(why), "{host}");
    }
}

#[test]
fn one_tunnel_is_asked_for_in_one_way() {
    let ask = |name: bool, host: bool, auto| {
        outcome(|claims| {
            claims.name = name.then(|| "web".to_owned());
            claims.host = host.then(|| "blog.example".to_owned());
            claims.auto = auto;
        })
        .map(drop)
    };
    for (name, host, auto) in [
        (true, false, false),
        (false, true, false),
        (false, false, true),
    ] {
        assert_eq!(ask(name, host, auto), Ok(()));
    }
    for (name, host, auto) in [
        (true, true, false),
        (true, false, true),
        (false, true, true),
        (true, true, true),
    ] {
        assert_eq!(ask(name, host, auto), Err(VerifyError::TwoNames));
    }
}

#[test]
fn a_key_that_was_rotated_registers_under_the_name_of_its_root() {
    let first = SecretKey::generate();
    let second = first.rotate("tunnel.example", NOW).unwrap();
    let third = second.rotate("tunnel.example", NOW).unwrap();
    let claims = Claims {
        name: Some("web".to_owned()),
        chain: third.chain().statements().to_vec(),
        ..claims()
    };
    let jws = sign_registration(&third, &claims);
    let verified = verify_registration(jws.as_bytes(), &SERVER).unwrap();
    assert_eq!(verified.key(), third.public());
    assert_eq!(verified.root(), first.public().tunnel_id(None));
    assert_eq!(verified.tunnel_id(), first.public().tunnel_id(Some("web")));
    assert_eq!(verified.keys(), third.chain().keys());
    assert_eq!(
        (verified.sequence(), verified.tip()),
        (2, third.chain().tip())
    );

    let unrotated = outcome(|_| ()).unwrap();
    assert_eq!(unrotated.keys(), [unrotated.key()]);
    assert_eq!((unrotated.sequence(), unrotated.tip()), (0, [0; 32]));
}

#[test]
fn a_chain_is_worth_nothing_to_another_key_or_server() {
    let old = SecretKey::generate();
    let new = old.rotate("tunnel.example", NOW).unwrap();
    let chain = new.chain().statements().to_vec();
    let verify = |key: &SecretKey, chain: &[String], server: &Expectation<'_>| {
        let claims = Claims {
            chain: chain.to_vec(),
            ..claims()
        };
        verify_registration(sign_registration(key, &claims).as_bytes(), server).map(drop)
    };
    assert_eq!(verify(&new, &chain, &SERVER), Ok(()));
    for thief in [&old, &SecretKey::generate()] {
        assert_eq!(
            verify(thief, &chain, &SERVER),
            Err(ChainError::OtherKey.into())
        );
    }
    let elsewhere = Expectation {
        domain: "other.example",
        ..SERVER
    };
    let error = verify(&new, &chain, &elsewhere).unwrap_err();
    assert_eq!(error, ChainError::OtherDomain.into());
    assert_eq!(error.refusal(), messages::RefusalCode::Rotated);
    assert_eq!(
        verify(&new, &vec![chain[0].clone(); 5], &SERVER),
        Err(ChainError::TooLong.into())
    );
    let garbage = verify(&new, &["a.b.c".to_owned()], &SERVER).unwrap_err();
    assert!(matches!(
        garbage,
        VerifyError::Chain(ChainError::Statement {
            number: 1,
            rule: StatementError::Jws(_)
        })
    ));
}

#[test]
fn the_longest_chain_fits_into_a_registration() {
    // 253 bytes, the longest domain there is.
    let domain = format!(
        "{}.{}.{}.{}",
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(61)
    );
    let key = (0..4).fold(SecretKey::generate(), |key, _| {
        key.rotate(&domain, NOW).unwrap()
    });
    let claims = Claims {
        chain: key.chain().statements().to_vec(),
        host: Some(domain.clone()),
        join: Some(NONCE),
        ..claims()
    };
    let server = Expectation {
        domain: &domain,
        ..SERVER
    };
    let jws = sign_registration(&key, &claims);
    assert!(
        verify_registration(jws.as_bytes(), &server).is_ok(),
        "{}",
        jws.len()
    );
}
