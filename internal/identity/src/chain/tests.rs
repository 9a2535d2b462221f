use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::*;
use crate::jws;
use crate::key::KeyError;

const DOMAIN: &str = "tunnel.example";
const NOW: u64 = 1_800_000_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// Keys 1, 2, … handed on in turn.
fn handed_on(times: u8) -> SecretKey {
    (2..=times + 1).fold(key(1), |old, seed| {
        old.hand_on(key(seed), DOMAIN, NOW).unwrap()
    })
}

/// Statements of the chain 1 → 2 → 3 whose second one was changed before key 2 signed it.
fn with_second(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let good = handed_on(2).chain().statements().to_vec();
    let mut claims = claims_of(&good[1]);
    change(&mut claims);
    let second = jws::sign(&key(2), ROTATE_TYP, claims.to_string().as_bytes());
    vec![good[0].clone(), second]
}

fn payload_of(statement: &str) -> String {
    let payload = statement.split('.').nth(1).unwrap();
    String::from_utf8(BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

fn claims_of(statement: &str) -> Value {
    serde_json::from_str(&payload_of(statement)).unwrap()
}

fn refusal(statements: Vec<String>) -> ChainError {
    Chain::read(statements).expect_err("the chain is refused")
}

fn second(rule: impl Into<StatementError>) -> ChainError {
    ChainError::Statement {
        number: 2,
        rule: rule.into(),
    }
}

#[test]
fn a_key_that_was_never_rotated_is_its_own_root() {
    let key = key(1);
    let chain = key.chain();
    assert_eq!(chain.root(), key.public().tunnel_id(None));
    assert_eq!(chain.keys(), [key.public()]);
    assert_eq!((chain.sequence(), chain.tip()), (0, [0; 32]));
    assert_eq!((chain.domain(), chain.statements().len()), (None, 0));
    assert_eq!(chain.check_domain("anywhere.example"), Ok(()));
    assert_eq!(
        Chain::leading_to(key.public(), Vec::new()),
        Ok(chain.clone())
    );
}

#[test]
fn a_name_goes_from_key_to_key_and_stays_that_of_the_first() {
    let last = handed_on(3);
    let chain = Chain::leading_to(key(4).public(), last.chain().statements().to_vec()).unwrap();
    assert_eq!(&chain, last.chain());
    assert_eq!(chain.root(), key(1).public().tunnel_id(None));
    let keys: Vec<_> = (1..=4).map(|seed| key(seed).public()).collect();
    assert_eq!(chain.keys(), keys);
    assert_eq!(chain.sequence(), 3);
    assert_eq!(chain.domain(), Some(DOMAIN));
    assert_eq!(
        last.tunnel_id(Some("web")),
        key(1).public().tunnel_id(Some("web"))
    );
}

#[test]
fn a_rotation_makes_a_new_key_each_time() {
    let old = key(1);
    let (one, other) = (
        old.rotate(DOMAIN, NOW).unwrap(),
        old.rotate(DOMAIN, NOW).unwrap(),
    );
    assert_ne!(one.public(), other.public());
    assert_eq!(one.chain().root(), other.chain().root());
    assert_eq!(one.chain().sequence(), other.chain().sequence());
    assert_ne!(
        one.chain().tip(),
        other.chain().tip(),
        "a fork is seen by its tip"
    );
}

#[test]
fn a_name_is_handed_on_four_times_at_most() {
    let last = handed_on(4);
    assert_eq!(last.rotate(DOMAIN, NOW).unwrap_err(), ChainError::TooLong);
    let mut five = last.chain().statements().to_vec();
    five.push(five[0].clone());
    assert_eq!(refusal(five), ChainError::TooLong);
}

#[test]
fn a_chain_holds_for_one_domain() {
    let once = handed_on(1);
    assert_eq!(once.chain().check_domain("Tunnel.Example"), Ok(()));
    for elsewhere in ["rogue.example", "a.tunnel.example", ""] {
        assert_eq!(
            once.chain().check_domain(elsewhere),
            Err(ChainError::OtherDomain)
        );
    }
    assert_eq!(
        once.rotate("rogue.example", NOW).unwrap_err(),
        ChainError::OtherDomain
    );
    assert!(once.rotate("TUNNEL.example.", NOW).is_ok(), "spelled anew");
    assert!(matches!(
        key(1).rotate("no domain", NOW).unwrap_err(),
        ChainError::BadDomain(_)
    ));
}

#[test]
fn a_chain_that_leads_to_another_key_is_refused() {
    let statements = handed_on(2).chain().statements().to_vec();
    for other in [1, 2, 9] {
        assert_eq!(
            Chain::leading_to(key(other).public(), statements.clone()),
            Err(ChainError::OtherKey)
        );
    }
    assert_eq!(refusal(Vec::new()), ChainError::OtherKey);
}

#[test]
fn each_rule_of_a_statement_is_named_when_it_is_broken() {
    let thumbprint = |seed| key(seed).public().thumbprint().to_string();
    for (claim, value, rule) in [
        ("seq", json!(1), StatementError::Sequence),
        ("seq", json!(3), StatementError::Sequence),
        ("root", json!(thumbprint(2)), StatementError::Root),
        ("from", json!(thumbprint(1)), StatementError::From),
        ("to", json!(key(1).public().x()), StatementError::Repeated),
        ("to", json!(key(2).public().x()), StatementError::Repeated),
        ("to", json!("x"), StatementError::To(KeyError::Jwk)),
        (
            "to",
            json!("A".repeat(43)),
            StatementError::To(KeyError::Weak),
        ),
        ("domain", json!("rogue.example"), StatementError::Domain),
        ("domain", json!("TUNNEL.example"), StatementError::Domain),
        ("domain", json!("x".repeat(300)), StatementError::Domain),
        (
            "seq",
            json!("2"),
            JwsError::Malformed("a claim is missing or of the wrong type").into(),
        ),
        (
            "padding",
            json!("x".repeat(1000)),
            JwsError::TooLarge.into(),
        ),
    ] {
        let error = refusal(with_second(|claims| claims[claim] = value.clone()));
        assert_eq!(error, second(rule), "{claim} {value}");
    }
    for claim in ["seq", "root", "from", "to", "domain", "iat"] {
        let without = with_second(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
        assert!(Chain::read(without).is_err(), "{claim}");
    }
    let newer = with_second(|claims| claims["colour"] = json!("green"));
    assert!(Chain::read(newer).is_ok(), "unknown claims are ignored");
}

#[test]
fn the_first_statement_is_number_one_about_its_own_signer() {
    let good = handed_on(2).chain().statements().to_vec();
    let error = refusal(vec![good[1].clone()]);
    assert_eq!(
        error,
        ChainError::Statement {
            number: 1,
            rule: StatementError::Sequence
        }
    );
    let swapped = refusal(vec![good[1].clone(), good[0].clone()]);
    assert_eq!(swapped, error);
}

/// The story: a thief of key 1 hands the name on as if key 2 had never been.
#[test]
fn only_the_key_that_holds_the_name_hands_it_on() {
    let good = handed_on(2).chain().statements().to_vec();
    let forged = jws::sign(
        &key(1),
        ROTATE_TYP,
        claims_of(&good[1]).to_string().as_bytes(),
    );
    assert_eq!(
        refusal(vec![good[0].clone(), forged]),
        second(StatementError::From)
    );
    // A branch of their own is a good chain, which is why directories remember tips.
    let branch = key(1).hand_on(key(9), DOMAIN, NOW).unwrap();
    assert!(Chain::read(branch.chain().statements().to_vec()).is_ok());
}

#[test]
fn a_signature_for_another_purpose_or_bent_is_no_statement() {
    let good = handed_on(2).chain().statements().to_vec();
    let payload = claims_of(&good[1]).to_string();
    let registered = jws::sign(&key(2), crate::REGISTER_TYP, payload.as_bytes());
    assert_eq!(
        refusal(vec![good[0].clone(), registered]),
        second(JwsError::WrongType)
    );
    let mut bent = good[1].clone();
    let last_but_two = bent.len() - 3;
    let other = if bent.as_bytes()[last_but_two] == b'A' {
        "B"
    } else {
        "A"
    };
    bent.replace_range(last_but_two..=last_but_two, other);
    assert_eq!(
        refusal(vec![good[0].clone(), bent]),
        second(JwsError::BadSignature)
    );
}

/// The story: key 1 is stolen when the name is key 2's already, and its thief hands on twice, to be one ahead.
#[test]
fn a_fork_that_is_longer_is_known_by_the_tip_it_does_not_have() {
    let pinned = handed_on(1).chain().clone();
    let place = pinned.statements().len() - 1;
    let honest = handed_on(3).chain().tips();
    assert_eq!(honest.len(), 3);
    assert_eq!(honest[place], pinned.tip());
    let thief = key(1).hand_on(key(8), DOMAIN, NOW).unwrap();
    let thief = thief.hand_on(key(9), DOMAIN, NOW).unwrap();
    assert!(thief.chain().sequence() > pinned.sequence());
    assert_ne!(thief.chain().tips()[place], pinned.tip());
    assert!(key(1).chain().tips().is_empty());
}

#[test]
fn a_chain_can_be_cut_back_to_any_of_its_keys() {
    let whole = handed_on(3).chain().clone();
    for seed in 1..=4 {
        let part = whole.clone().up_to(key(seed).public()).unwrap();
        assert_eq!(&part, handed_on(seed - 1).chain());
    }
    assert_eq!(whole.up_to(key(9).public()), None);
}

/// For those who write an agent in another language: the statement by which the key whose seed is 32 bytes of 1 hands its
/// name to the key whose seed is 32 bytes of 2. Ed25519 has one signature of a text, so it is the same for everybody who
/// orders the members alike.
#[test]
fn the_vector_of_the_specification() {
    let chain = handed_on(1).chain().clone();
    let spec = include_str!("../../../../messages/SPEC.md");
    let shown = |text: &str| assert!(spec.contains(text), "{text} is not in SPEC.md");
    let statement = &chain.statements()[0];
    statement.split_inclusive('.').for_each(shown);
    shown(&data_encoding::HEXLOWER.encode(&chain.tip()));
    shown(&chain.root().label());
    shown(&payload_of(statement));
}
