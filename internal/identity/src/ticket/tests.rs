//! Requests that earn a ticket, and everything that spoils one.

use serde_json::{Value, json};

use super::*;
use crate::claims::Mode;
use crate::{HostError, REGISTER_TYP, grant_id, sign_registration, verify_registration};

const NOW: u64 = 1_800_000_000;

fn server() -> TicketNonces {
    TicketNonces::of(&SecretKey::from_seed(&[1; 32]))
}

/// The server `tunnel.example`; what it expects of the nonce is its own affair.
fn expectation(now: u64) -> Expectation<'static> {
    Expectation {
        audiences: &|host| host == "tunnel.example",
        domain: "tunnel.example",
        nonce: &[0; 32],
        now,
        channel: None,
    }
}

fn claims(nonce: [u8; 32]) -> Claims {
    Claims {
        aud: "tunnel.example".to_owned(),
        nonce,
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

fn judged_at(jws: &str, now: u64) -> Result<TicketRequest, VerifyError> {
    verify_ticket_request(jws.as_bytes(), &server(), &expectation(now))
}

/// What the server says to claims with these members more.
fn with(members: &Value) -> Result<TicketRequest, VerifyError> {
    let mut said = serde_json::to_value(claims(server().mint(NOW))).unwrap();
    for (name, value) in members.as_object().unwrap() {
        said[name] = value.clone();
    }
    let jws = jws::sign(
        &SecretKey::generate(),
        TICKET_TYP,
        said.to_string().as_bytes(),
    );
    judged_at(&jws, NOW)
}

#[test]
fn a_request_proves_whose_ticket_it_will_be_and_what_it_is_for() {
    let key = SecretKey::generate();
    let mut wish = claims(server().mint(NOW));
    wish.host = Some("blog.example".to_owned());
    let request = judged_at(&sign_ticket_request(&key, &wish), NOW).unwrap();
    assert_eq!(request.key(), key.public());
    assert_eq!(request.asked().wanted_host(), Some("blog.example"));
    assert_eq!(request.username(), None);
}

#[test]
fn a_nonce_is_the_servers_own_and_half_a_minute_old_at_most() {
    let key = SecretKey::generate();
    let jws = sign_ticket_request(&key, &claims(server().mint(NOW)));
    assert!(judged_at(&jws, NOW + NONCE_LIFETIME).is_ok());
    assert_eq!(
        judged_at(&jws, NOW + NONCE_LIFETIME + 1).unwrap_err(),
        VerifyError::Stale
    );
    let other = TicketNonces::of(&SecretKey::generate()).mint(NOW);
    let jws = sign_ticket_request(&key, &claims(other));
    assert_eq!(judged_at(&jws, NOW).unwrap_err(), VerifyError::WrongNonce);
}

#[test]
fn a_request_registers_nothing_and_a_registration_earns_no_ticket() {
    let key = SecretKey::generate();
    let nonce = server().mint(NOW);
    let request = sign_ticket_request(&key, &claims(nonce));
    let link = Expectation {
        nonce: &nonce,
        ..expectation(NOW)
    };
    let wrong = VerifyError::Jws(JwsError::WrongType);
    assert_eq!(
        verify_registration(request.as_bytes(), &link).unwrap_err(),
        wrong
    );
    let registration = sign_registration(&key, &claims(nonce));
    assert_eq!(judged_at(&registration, NOW).unwrap_err(), wrong);
    assert_ne!(TICKET_TYP, REGISTER_TYP);
}

#[test]
fn what_spoils_a_registration_spoils_a_request() {
    let refused = |members| with(&members).unwrap_err();
    assert_eq!(
        refused(json!({"aud": "rogue.example"})),
        VerifyError::WrongAudience
    );
    assert_eq!(refused(json!({"exp": NOW + 61})), VerifyError::Lifetime);
    assert!(matches!(
        refused(json!({"session": "x"})),
        VerifyError::Jws(JwsError::Malformed(_))
    ));
    let large = "a".repeat(crate::MAX_JWS_LEN + 1);
    assert_eq!(
        judged_at(&large, NOW).unwrap_err(),
        VerifyError::Jws(JwsError::TooLarge)
    );
}

#[test]
fn a_subdomain_is_the_host_of_that_label_under_the_domain() {
    let request = with(&json!({"subdomain": "blog", "username": "ada"})).unwrap();
    let host = "blog.tunnel.example";
    assert_eq!(request.asked().wanted_host(), Some(host));
    assert_eq!(request.asked().tunnel_id(), grant_id(host).unwrap());
    assert_eq!(request.username(), Some("ada"));
    let nobody = with(&json!({"subdomain": null, "username": null})).unwrap();
    assert_eq!(
        (nobody.asked().wanted_host(), nobody.username()),
        (None, None)
    );
}

#[test]
fn a_subdomain_is_one_name_in_one_spelling() {
    let refused = |members| with(&members).unwrap_err();
    for other in [
        json!({"host": "blog.tunnel.example"}),
        json!({"name": "blog"}),
        json!({"auto": true}),
    ] {
        let mut both = json!({"subdomain": "blog"});
        both.as_object_mut()
            .unwrap()
            .extend(other.as_object().unwrap().clone());
        assert_eq!(refused(both), VerifyError::TwoNames);
    }
    for odd in ["Blog", "blog.", ""] {
        let error = refused(json!({"subdomain": odd}));
        assert!(
            matches!(
                error,
                VerifyError::Jws(JwsError::Malformed(_)) | VerifyError::BadHost(HostError::Label)
            ),
            "{odd:?}: {error:?}"
        );
    }
    for members in [
        json!({"subdomain": 1}),
        json!({"username": ["ada"]}),
        json!({"username": "a\u{1b}"}),
        json!({"username": "a".repeat(MAX_USERNAME + 1)}),
    ] {
        let error = refused(members);
        assert!(matches!(error, VerifyError::Jws(JwsError::Malformed(_))));
    }
}

/// The vector of SPEC.md.
#[test]
fn the_request_of_the_specification_is_signed_and_verified() {
    let spec = include_str!("../../../../messages/SPEC.md");
    let mut nonce = [0; 32];
    data_encoding::HEXLOWER
        .decode_mut(
            b"000000006b49d2000202020202020202a7acc1e162f3cc79101dc6918003c90a",
            &mut nonce,
        )
        .unwrap();
    let request = sign_ticket_request(&SecretKey::from_seed(&[2; 32]), &claims(nonce));
    for part in request.split('.') {
        assert!(spec.contains(part), "{part}");
    }
    assert!(judged_at(&request, NOW).is_ok());
}
