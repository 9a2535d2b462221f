//! A registration that is good, and everything that makes one bad.

mod names;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::claims::Mode;
use crate::jws::JwsError;
use crate::names::NameError;
use crate::policy_id;

const NOW: u64 = 1_800_000_000;
const NONCE: [u8; 32] = [0xab; 32];

/// The server `tunnel.example`, which greeted this link with [`NONCE`] at [`NOW`].
const SERVER: Expectation<'static> = Expectation {
    audiences: &|host| host == "tunnel.example",
    domain: "tunnel.example",
    nonce: &NONCE,
    now: NOW,
    channel: None,
};

fn claims() -> Claims {
    Claims {
        aud: "tunnel.example".to_owned(),
        nonce: NONCE,
        iat: NOW,
        exp: NOW + 60,
        name: None,
        host: None,
        auto: false,
        session: "00112233445566778899aabbccddeeff".to_owned(),
        generation: None,
        mode: Mode::Exclusive,
        agent: "adit/0.1.0".to_owned(),
        versions: vec![1],
        policy: None,
        channel: None,
        join: None,
        chain: Vec::new(),
    }
}

/// What the server says to claims that the agent changed before it signed them.
fn outcome(change: impl FnOnce(&mut Claims)) -> Result<VerifiedRegistration, VerifyError> {
    let mut claims = claims();
    change(&mut claims);
    let jws = sign_registration(&SecretKey::generate(), &claims);
    verify_registration(jws.as_bytes(), &SERVER)
}

fn refusal(change: impl FnOnce(&mut Claims)) -> VerifyError {
    outcome(change).expect_err("the registration is refused")
}

fn malformed(error: VerifyError) -> bool {
    matches!(error, VerifyError::Jws(JwsError::Malformed(_)))
}

/// What the server says to a payload that no [`Claims`] would give.
fn raw_refusal(payload: &str) -> VerifyError {
    let jws = jws::sign(&SecretKey::generate(), REGISTER_TYP, payload.as_bytes());
    verify_registration(jws.as_bytes(), &SERVER).expect_err("the registration is refused")
}

fn claims_json() -> Value {
    serde_json::to_value(claims()).unwrap()
}

#[test]
fn a_registration_for_this_link_proves_its_key_and_its_claims() {
    let key = SecretKey::generate();
    let verified =
        verify_registration(sign_registration(&key, &claims()).as_bytes(), &SERVER).unwrap();
    assert_eq!(verified.key(), key.public());
    assert_eq!(verified.claims(), &claims());
    assert_eq!(verified.tunnel_id(), key.public().tunnel_id(None));
    assert_eq!(verified.label(), key.public().label(None));
}

#[test]
fn a_named_registration_is_for_the_named_tunnel() {
    let key = SecretKey::generate();
    let mut claims = claims();
    claims.name = Some("web".to_owned());
    let jws = sign_registration(&key, &claims);
    let verified = verify_registration(jws.as_bytes(), &SERVER).unwrap();
    assert_eq!(verified.tunnel_id(), key.public().tunnel_id(Some("web")));
    assert_ne!(verified.tunnel_id(), key.public().tunnel_id(None));
}

/// The spelling on the wire, which agents in other languages are written against.
#[test]
fn the_claims_are_spelled_as_the_specification_says() {
    let full = Claims {
        name: Some("web".to_owned()),
        generation: Some(7),
        mode: Mode::Shared,
        policy: Some(json!({"ip": ["10.0.0.0/8"]})),
        channel: Some("AAAA".to_owned()),
        host: Some("blog.example".to_owned()),
        auto: true,
        join: Some(NONCE),
        chain: vec!["a.b.c".to_owned()],
        ..claims()
    };
    assert_eq!(
        serde_json::to_value(full).unwrap(),
        json!({
            "aud": "tunnel.example",
            "nonce": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s",
            "iat": NOW, "exp": NOW + 60,
            "name": "web",
            "session": "00112233445566778899aabbccddeeff",
            "generation": 7, "mode": "shared",
            "agent": "adit/0.1.0", "versions": [1],
            "policy": {"ip": ["10.0.0.0/8"]},
            "channel": "AAAA",
            "host": "blog.example", "auto": true,
            "join": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s",
            "chain": ["a.b.c"],
        })
    );
    let object = claims_json();
    for absent in [
        "name",
        "generation",
        "policy",
        "channel",
        "host",
        "auto",
        "join",
        "chain",
    ] {
        assert_eq!(object.get(absent), None);
    }
}

#[test]
fn claims_from_a_newer_agent_are_ignored_and_the_mode_may_be_left_out() {
    let key = SecretKey::generate();
    let mut newer = claims_json();
    newer["favourite_colour"] = json!("green");
    newer.as_object_mut().unwrap().remove("mode");
    let jws = jws::sign(&key, REGISTER_TYP, newer.to_string().as_bytes());
    let verified = verify_registration(jws.as_bytes(), &SERVER).unwrap();
    assert_eq!(verified.claims(), &claims());
}

#[test]
fn a_registration_for_another_server_is_refused() {
    for aud in ["rogue.example", "tunnel.example.", "TUNNEL.example", ""] {
        let error = refusal(|claims| claims.aud = aud.to_owned());
        assert_eq!(error, VerifyError::WrongAudience, "{aud}");
    }
}

#[test]
fn a_replayed_registration_answers_another_greeting() {
    let captured = sign_registration(&SecretKey::generate(), &claims());
    assert!(verify_registration(captured.as_bytes(), &SERVER).is_ok());
    let next_link = Expectation {
        nonce: &[0xcd; 32],
        ..SERVER
    };
    assert_eq!(
        verify_registration(captured.as_bytes(), &next_link).unwrap_err(),
        VerifyError::WrongNonce
    );
}

#[test]
fn time_is_judged_with_five_seconds_of_slack() {
    let at = |iat, exp| {
        outcome(|claims| {
            claims.iat = iat;
            claims.exp = exp;
        })
        .map(drop)
    };
    assert_eq!(at(NOW, NOW), Ok(()));
    assert_eq!(at(NOW - 65, NOW - 5), Ok(()));
    assert_eq!(at(NOW - 66, NOW - 6), Err(VerifyError::Stale));
    assert_eq!(at(0, 0), Err(VerifyError::Stale));
    assert_eq!(at(NOW + 5, NOW + 65), Ok(()));
    assert_eq!(at(NOW + 6, NOW + 66), Err(VerifyError::NotYet));
    assert_eq!(at(u64::MAX, u64::MAX), Err(VerifyError::NotYet));
    assert_eq!(at(NOW, NOW + 61), Err(VerifyError::Lifetime));
    assert_eq!(at(0, u64::MAX), Err(VerifyError::Lifetime));
    assert_eq!(at(NOW, NOW - 1), Err(VerifyError::Lifetime));
}

#[test]
fn where_tls_ends_here_the_claims_are_bound_to_the_connection() {
    let signed = |channel: Option<&str>| {
        let claims = Claims {
            channel: channel.map(str::to_owned),
            ..claims()
        };
        sign_registration(&SecretKey::generate(), &claims)
    };
    let over_tls = Expectation {
        channel: Some("this-connection"),
        ..SERVER
    };
    let verify = |jws: String, server: &Expectation<'_>| {
        verify_registration(jws.as_bytes(), server).map(drop)
    };
    assert_eq!(verify(signed(Some("this-connection")), &over_tls), Ok(()));
    assert_eq!(
        verify(signed(Some("another")), &over_tls),
        Err(VerifyError::WrongChannel)
    );
    assert_eq!(
        verify(signed(None), &over_tls),
        Err(VerifyError::WrongChannel)
    );
    // A proxy in front ended TLS: the agent cannot know that, and the server cannot check.
    assert_eq!(verify(signed(Some("another")), &SERVER), Ok(()));
}

#[test]
fn a_name_that_is_no_tunnel_name_is_refused() {
    for (name, why) in [
        ("", NameError::Length),
        ("Web", NameError::Character('W')),
        ("a.b", NameError::Character('.')),
        ("web-", NameError::EdgeHyphen),
    ] {
        let error = refusal(|claims| claims.name = Some(name.to_owned()));
        assert_eq!(error, VerifyError::BadName(why), "{name}");
    }
}

#[test]
fn a_policy_is_named_by_its_hash_and_no_policy_by_zeros() {
    assert_eq!(policy_id(b""), messages::PolicyId::NONE);
    // Made with Python's hashlib.
    assert_eq!(
        data_encoding::HEXLOWER.encode(&policy_id(b"{}").0),
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}

#[test]
fn fields_that_would_be_stored_or_logged_have_bounds() {
    let malformed = |error| assert!(malformed(error), "{error}");
    for session in [
        "",
        "0011",
        &"g".repeat(32),
        &"A".repeat(32),
        &"0".repeat(33),
    ] {
        malformed(refusal(|claims| claims.session = session.to_owned()));
    }
    for agent in ["a\nb", "\u{1b}[2J", "ü", &"a".repeat(129)] {
        malformed(refusal(|claims| claims.agent = agent.to_owned()));
    }
    malformed(refusal(|claims| claims.versions = vec![1; 17]));
}

#[test]
fn claims_that_are_missing_or_of_another_type_are_malformed() {
    for name in ["aud", "nonce", "iat", "exp", "session", "agent", "versions"] {
        let mut without = claims_json();
        without.as_object_mut().unwrap().remove(name);
        let error = raw_refusal(&without.to_string());
        assert!(malformed(error), "{name}");
    }
    for (name, value) in [
        ("aud", json!(["tunnel.example"])),
        ("nonce", json!("q6s")),
        (
            "nonce",
            json!("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="),
        ),
        ("iat", json!(1.5)),
        ("iat", json!(-1)),
        ("exp", json!("1800000000")),
        ("mode", json!("greedy")),
        ("versions", json!([256])),
        ("generation", json!(-1)),
        ("host", json!(["blog.example"])),
        ("auto", json!("yes")),
        ("join", json!("q6s")),
        ("join", json!(null)),
        ("chain", json!("a.b.c")),
        ("chain", json!([1])),
    ] {
        let mut odd = claims_json();
        odd[name] = value.clone();
        let error = raw_refusal(&odd.to_string());
        assert!(malformed(error), "{name} {value}");
    }
    assert!(malformed(raw_refusal("[]")));
    assert!(malformed(raw_refusal("")));
}

#[test]
fn a_claim_made_twice_is_refused_wherever_it_stands() {
    let text = claims_json().to_string();
    let twice = text.replacen('{', r#"{"aud":"rogue.example","#, 1);
    assert_eq!(raw_refusal(&twice), JwsError::RepeatedMember.into());
    let inside = text.replacen('{', r#"{"policy":{"a":{"b":1,"b":2}},"#, 1);
    assert_eq!(raw_refusal(&inside), JwsError::RepeatedMember.into());
}

#[test]
fn a_signature_made_for_another_purpose_does_not_register() {
    let payload = serde_json::to_vec(&claims()).unwrap();
    let jws = jws::sign(&SecretKey::generate(), "adit-rotate+jwt", &payload);
    let error = verify_registration(jws.as_bytes(), &SERVER).unwrap_err();
    assert_eq!(error, JwsError::WrongType.into());
}

#[test]
fn claims_that_do_not_fit_are_refused_unread() {
    let error = refusal(|claims| claims.policy = Some(json!("x".repeat(9000))));
    assert_eq!(error, JwsError::TooLarge.into());
}

/// Nothing that a bad signature covers is believed, not even enough to complain about it.
#[test]
fn the_signature_is_checked_before_the_claims() {
    let payload = b"{\"aud\":\"rogue.example\"}";
    let mut jws = jws::sign(&SecretKey::generate(), REGISTER_TYP, payload).into_bytes();
    let second_dot = jws.iter().rposition(|&byte| byte == b'.').unwrap();
    let first = &mut jws[second_dot + 1];
    *first = if *first == b'A' { b'B' } else { b'A' };
    assert_eq!(
        verify_registration(&jws, &SERVER).unwrap_err(),
        JwsError::BadSignature.into()
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_register(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(verify_registration(&bytes, &SERVER).is_err());
    }

    /// Behind a good signature anything may stand: a hostile agent signs what it likes.
    #[test]
    fn arbitrary_claims_under_a_good_signature_never_register(payload in "\\PC{0,200}") {
        let jws = jws::sign(&SecretKey::generate(), REGISTER_TYP, payload.as_bytes());
        prop_assert!(verify_registration(jws.as_bytes(), &SERVER).is_err());
    }

    /// Claims within their bounds come back as they were made.
    #[test]
    fn good_claims_survive_the_wire(
        name in prop::option::of("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
        session in "[0-9a-f]{32}",
        agent in "[ -~]{0,128}",
        generation in any::<Option<u64>>(),
        versions in prop::collection::vec(any::<u8>(), 0..=16),
        age in 0_u64..=65,
    ) {
        let iat = NOW - age;
        let claims = Claims { name, session, agent, generation, versions, iat, exp: iat + 60, ..claims() };
        let jws = sign_registration(&SecretKey::generate(), &claims);
        let verified = verify_registration(jws.as_bytes(), &SERVER);
        prop_assert_eq!(verified.map(|v| v.claims().clone()), Ok(claims));
    }
}
