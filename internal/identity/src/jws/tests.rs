use proptest::prelude::*;

use super::*;

const TYP: &str = "adit-test+jwt";

/// RFC 8037 appendix A.1.
fn rfc_key() -> SecretKey {
    let d = b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    SecretKey::from_seed(&BASE64URL_NOPAD.decode(d).unwrap().try_into().unwrap())
}

/// A JWS that is right in all but its header, where `from` reads `to`.
fn with_header_changed(from: &str, to: &str) -> String {
    let key = rfc_key();
    let jwk = key.public().jwk_json();
    let good = format!(r#"{{"alg":"EdDSA","typ":"{TYP}","jwk":{jwk}}}"#);
    assert!(good.contains(from), "{good} has {from}");
    sign_with_header(&key, good.replace(from, to).as_bytes(), b"payload")
}

fn refusal(jws: impl AsRef<[u8]>) -> JwsError {
    open(jws.as_ref(), TYP).expect_err("the JWS is refused")
}

/// The parts of a good JWS, to be put together otherwise.
fn parts() -> [String; 3] {
    let jws = sign(&rfc_key(), TYP, b"payload");
    let parts: Vec<String> = jws.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

const RFC_JWS: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
     hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

#[test]
fn the_signature_is_that_of_rfc_8037_a_4() {
    let jws = sign_with_header(
        &rfc_key(),
        br#"{"alg":"EdDSA"}"#,
        b"Example of Ed25519 signing",
    );
    assert_eq!(jws, RFC_JWS);
}

#[test]
fn the_signature_of_rfc_8037_a_5_verifies() {
    let parts = Parts::split(RFC_JWS.as_bytes()).unwrap();
    assert!(rfc_key().public().verifies(parts.signed, &parts.signature));
    assert_eq!(parts.payload, b"Example of Ed25519 signing");
    // As a whole it is nothing for us: it has no purpose.
    assert_eq!(refusal(RFC_JWS), JwsError::WrongType);
}

#[test]
fn what_was_signed_comes_out_with_the_key() {
    let opened = open(sign(&rfc_key(), TYP, b"payload").as_bytes(), TYP).unwrap();
    assert_eq!(opened.key, rfc_key().public());
    assert_eq!(opened.payload, b"payload");
}

#[test]
fn a_header_member_that_is_not_understood_is_ignored() {
    let jws = with_header_changed(r#"{"alg""#, r#"{"kid":"of another key","alg""#);
    assert_eq!(open(jws.as_bytes(), TYP).unwrap().key, rfc_key().public());
}

#[test]
fn only_eddsa_by_that_spelling_is_an_algorithm() {
    let spellings = [
        "none", "None", "", "HS256", "ES256", "RS256", "eddsa", "EDDSA", "EdDSA ", "Ed25519",
        "Ed448",
    ];
    for alg in spellings {
        let jws = with_header_changed("EdDSA", alg);
        assert_eq!(refusal(jws), JwsError::WrongAlgorithm, "{alg}");
    }
    for alg in ["null", "1", r#"["EdDSA"]"#] {
        let jws = with_header_changed(r#""EdDSA""#, alg);
        assert_eq!(refusal(jws), JwsError::WrongAlgorithm, "{alg}");
    }
    let missing = with_header_changed(r#""alg":"EdDSA","#, "");
    assert_eq!(refusal(missing), JwsError::WrongAlgorithm);
}

#[test]
fn an_unsecured_jws_is_refused_for_its_algorithm_or_its_shape() {
    let [_, payload, signature] = parts();
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
    let with_signature = format!("{header}.{payload}.{signature}");
    assert_eq!(refusal(with_signature), JwsError::WrongAlgorithm);
    let without = format!("{header}.{payload}.");
    assert!(matches!(refusal(without), JwsError::Malformed(_)));
}

#[test]
fn a_signature_for_another_purpose_is_worth_nothing() {
    for typ in ["adit-rotate+jwt", "JWT", "ADIT-TEST+JWT", ""] {
        let jws = sign(&rfc_key(), typ, b"payload");
        assert_eq!(refusal(jws), JwsError::WrongType, "{typ}");
    }
    let missing = with_header_changed(&format!(r#""typ":"{TYP}","#), "");
    assert_eq!(refusal(missing), JwsError::WrongType);
}

#[test]
fn critical_extensions_are_not_understood() {
    let jws = with_header_changed(r#"{"alg""#, r#"{"crit":["b64"],"b64":false,"alg""#);
    assert!(matches!(refusal(jws), JwsError::Malformed(_)));
}

#[test]
fn a_jwk_that_is_not_exactly_a_public_ed25519_key_is_refused() {
    let bad = JwsError::BadKey(KeyError::Jwk);
    for (from, to) in [
        (r#""kty":"OKP""#, r#""kty":"EC""#),
        (r#""kty":"OKP","#, ""),
        ("Ed25519", "X25519"),
        ("Ed25519", "ed25519"),
        (r#""crv""#, r#""d":"nWGx","crv""#),
        (r#""crv""#, r#""use":"sig","crv""#),
        (r#""crv":"Ed25519""#, r#""y":"Ed25519""#),
        (r#""x":"11qY"#, r#""x":"11q"#),
        (r#""x":"11qY"#, r#""x":"11qYAAAA"#),
        // Spare bits, the other alphabet, padding.
        (r#"HURo"}"#, r#"HURp"}"#),
        ("VS_7", "VS/7"),
        (r#"HURo"}"#, r#"HURo="}"#),
        (r#""jwk":"#, r#""jwk":[1],"other":"#),
        (r#""jwk":"#, r#""other":"#),
    ] {
        assert_eq!(refusal(with_header_changed(from, to)), bad, "{to}");
    }
}

#[test]
fn weak_keys_and_bytes_that_are_no_key_are_told_apart() {
    let with_x = |x: &[u8; 32]| {
        let honest = BASE64URL_NOPAD.encode(rfc_key().public().as_bytes());
        refusal(with_header_changed(&honest, &BASE64URL_NOPAD.encode(x)))
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(with_x(&[0; 32]), JwsError::WeakKey);
    assert_eq!(with_x(&identity), JwsError::WeakKey);
    let mut off_the_curve = [0; 32];
    off_the_curve[0] = 2;
    assert_eq!(
        with_x(&off_the_curve),
        JwsError::BadKey(KeyError::NotAPoint)
    );
    let mut second_spelling = [0xff; 32];
    second_spelling[0] = 0xf0;
    second_spelling[31] = 0x7f;
    assert_eq!(
        with_x(&second_spelling),
        JwsError::BadKey(KeyError::NonCanonical)
    );
}

#[test]
fn members_named_twice_are_refused() {
    let jws = with_header_changed(r#"{"alg""#, r#"{"alg":"none","alg""#);
    assert_eq!(refusal(jws), JwsError::RepeatedMember);
    let jws = with_header_changed(r#"{"crv""#, r#"{"kty":"OKP","crv""#);
    assert_eq!(refusal(jws), JwsError::RepeatedMember);
}

#[test]
fn another_payload_header_or_key_does_not_verify() {
    let [header, payload, signature] = parts();
    let other = BASE64URL_NOPAD.encode(b"Payload");
    let jws = format!("{header}.{other}.{signature}");
    assert_eq!(refusal(jws), JwsError::BadSignature);

    let mut header = BASE64URL_NOPAD.decode(header.as_bytes()).unwrap();
    header.push(b' ');
    let jws = format!("{}.{payload}.{signature}", BASE64URL_NOPAD.encode(&header));
    assert_eq!(refusal(jws), JwsError::BadSignature);

    let honest = rfc_key().public().jwk_json();
    let other = SecretKey::generate().public().jwk_json();
    assert_eq!(
        refusal(with_header_changed(&honest, &other)),
        JwsError::BadSignature
    );
}

/// The order of the group, little endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// S + L satisfies the same equation as S; a verifier that does not compare S with L takes both.
#[test]
fn a_signature_with_the_group_order_added_is_refused() {
    let [header, payload, signature] = parts();
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let mut carry = 0;
    for (digit, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*digit) + u16::from(order) + carry;
        [*digit, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let jws = format!("{header}.{payload}.{}", BASE64URL_NOPAD.encode(&bytes));
    assert_eq!(refusal(jws), JwsError::BadSignature);
}

#[test]
fn a_text_has_one_encoding_and_three_parts() {
    let [header, payload, signature] = parts();
    let spare_bits = signature.get(..85).unwrap();
    for jws in [
        String::new(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}.{signature}\n"),
        format!("{header}.{payload} .{signature}"),
        format!("{header}=.{payload}.{signature}"),
        // 64 bytes leave four spare bits in the last character; none may be set.
        format!("{header}.{payload}.{spare_bits}B"),
        format!("{header}.{payload}.{spare_bits}"),
        format!("{header}.{payload}.{signature}AAAA"),
        format!("é.{payload}.{signature}"),
    ] {
        assert!(matches!(refusal(&jws), JwsError::Malformed(_)), "{jws}");
    }
    let no_object = sign_with_header(&rfc_key(), b"\"EdDSA\"", b"payload");
    assert!(matches!(refusal(no_object), JwsError::Malformed(_)));
}

#[test]
fn the_size_is_looked_at_before_anything_else() {
    let overhead = sign(&rfc_key(), TYP, b"").len();
    let largest = vec![b'a'; (MAX_JWS_LEN - overhead) / 4 * 3];
    let jws = sign(&rfc_key(), TYP, &largest);
    assert!(jws.len() > MAX_JWS_LEN - 4 && jws.len() <= MAX_JWS_LEN);
    assert_eq!(open(jws.as_bytes(), TYP).unwrap().payload, largest);

    let larger = vec![b'a'; largest.len() + 3];
    let jws = sign(&rfc_key(), TYP, &larger);
    assert!(jws.len() > MAX_JWS_LEN);
    assert_eq!(refusal(jws), JwsError::TooLarge);
    assert_eq!(refusal(vec![0; MAX_JWS_LEN + 1]), JwsError::TooLarge);
    assert!(matches!(
        refusal(vec![0; MAX_JWS_LEN]),
        JwsError::Malformed(_)
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(open(&bytes, TYP).is_err());
    }

    /// Well-formed on the outside, so that the parts are reached.
    #[test]
    fn arbitrary_parts_never_open(
        header in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        signature in prop::array::uniform32(any::<u8>()),
    ) {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let signature = [signature, signature].concat();
        let jws = format!("{}.{}.{}", encode(&header), encode(&payload), encode(&signature));
        prop_assert!(open(jws.as_bytes(), TYP).is_err());
    }

    #[test]
    fn whatever_is_signed_comes_out(payload in prop::collection::vec(any::<u8>(), 0..600)) {
        let jws = sign(&rfc_key(), TYP, &payload);
        prop_assert_eq!(open(jws.as_bytes(), TYP).unwrap().payload, payload);
    }

    /// No byte of a JWS may be changed: there is no second text for one signature.
    #[test]
    fn one_changed_byte_spoils_it(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut jws = sign(&rfc_key(), TYP, b"payload").into_bytes();
        let at = at.index(jws.len());
        prop_assume!(jws[at] != byte);
        jws[at] = byte;
        prop_assert!(open(&jws, TYP).is_err());
    }
}
