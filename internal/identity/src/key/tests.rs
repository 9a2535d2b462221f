use data_encoding::HEXLOWER;
use ed25519_dalek::Verifier;

use super::*;

/// RFC 8037 appendix A.1.
fn rfc_key() -> SecretKey {
    let d = b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    SecretKey::from_seed(&BASE64URL_NOPAD.decode(d).unwrap().try_into().unwrap())
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn the_public_jwk_is_that_of_rfc_8037_a_2() {
    assert_eq!(
        rfc_key().public().jwk_json(),
        r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
    );
}

#[test]
fn the_thumbprint_is_that_of_rfc_8037_a_3() {
    let thumbprint = rfc_key().public().thumbprint();
    assert_eq!(
        thumbprint.to_string(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    assert_eq!(
        HEXLOWER.encode(thumbprint.as_bytes()),
        "90facafea9b1556698540f70c0117a22ea37bd5cf3ed3c47093c1707282b4b89"
    );
}

/// Made with Python's hashlib and base64 from the thumbprint of RFC 8037 A.3.
#[test]
fn the_labels_can_be_computed_by_anyone_from_the_public_key() {
    let key = rfc_key().public();
    assert_eq!(
        key.label(None),
        "sd5mv7vjwfkwngcub5ymael2elvdppk46pwtyryjhqlqokbljoeq"
    );
    assert_eq!(
        key.label(Some("web")),
        "2be4zekw5bfo766lxp45cnq55iajchs5oyg5jdswuucl5usv3ycq"
    );
    let own = key.tunnel_id(None);
    assert_eq!(own.0, *key.thumbprint().as_bytes());
    assert_eq!(TunnelId::from_label(&key.label(None)), Ok(own));
}

#[test]
fn a_secret_key_does_not_show_itself() {
    let key = rfc_key();
    assert_eq!(
        format!("{key:?}"),
        "SecretKey(of kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k)"
    );
}

/// RFC 8037 appendix A.1, with its members in the order of RFC 7638.
#[test]
fn the_secret_jwk_is_that_of_rfc_8037_a_1() {
    assert_eq!(
        rfc_key().secret_jwk_json().as_str(),
        r#"{"crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
    );
}

#[test]
fn a_public_key_is_written_and_read_as_one_word() {
    let key = rfc_key().public();
    let text = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(key.to_string(), text);
    assert_eq!(text.parse(), Ok(key));
    for (bad, why) in [
        ("", KeyError::Text),
        (
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            KeyError::Text,
        ),
        ("ed25519:", KeyError::Text),
        (
            "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            KeyError::Text,
        ),
        (
            "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp",
            KeyError::Text,
        ),
        (
            "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            KeyError::Weak,
        ),
    ] {
        assert_eq!(bad.parse::<PublicKey>(), Err(why), "{bad}");
    }
}

#[test]
fn two_keys_are_never_the_same() {
    assert_ne!(
        SecretKey::generate().public(),
        SecretKey::generate().public()
    );
}

/// All 14 encodings, canonical and not, of the eight points whose order divides 8.
#[test]
fn points_of_small_order_are_weak_in_every_spelling() {
    let short = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03",
        "00000000000000000000000000000000000000000000000000000000000000",
        "01000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    let ends = [
        ["05", "85"],
        ["7a", "fa"],
        ["00", "80"],
        ["00", "80"],
        ["7f", "ff"],
        ["7f", "ff"],
        ["7f", "ff"],
    ];
    for (front, ends) in short.iter().zip(ends) {
        for end in ends {
            let point = format!("{front}{end}");
            assert_eq!(
                PublicKey::from_bytes(&bytes(&point)),
                Err(KeyError::Weak),
                "{point}"
            );
        }
    }
}

/// A = aB + T with T of order 8. The message was searched until k was a multiple of 8, so that T drops out of the
/// equation and even strict verification is content: only a check of the key itself sees it.
#[test]
fn a_key_with_a_component_of_small_order_is_weak() {
    let key = bytes("9158312a9a8d6e3b34c891d6d61444f8b8211c5117ebad15bdb0bd68b07e0245");
    let signature = bytes(
        "ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a081\
         ea15759881a302cda79c0e2b90d55d8975c032078509cb6d8117f8dd16a04908",
    );
    let unchecked = PublicKey(VerifyingKey::from_bytes(&key).unwrap());
    assert!(unchecked.verifies(b"a forged registration 5", &signature));
    assert_eq!(PublicKey::from_bytes(&key), Err(KeyError::Weak));
}

/// y = p + 3: the same point as y = 3, which is a good one.
#[test]
fn a_second_spelling_of_a_point_is_no_key() {
    let second = bytes("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    assert!(VerifyingKey::from_bytes(&second).is_ok());
    assert_eq!(PublicKey::from_bytes(&second), Err(KeyError::NonCanonical));
}

#[test]
fn bytes_off_the_curve_are_no_key() {
    let mut y_is_2 = [0; 32];
    y_is_2[0] = 2;
    assert_eq!(PublicKey::from_bytes(&y_is_2), Err(KeyError::NotAPoint));
}

/// Signatures by the holder of the RFC's key with S = k·a and R the identity, which the plain equation satisfies.
#[test]
fn a_signature_whose_r_is_of_small_order_or_not_canonical_is_refused() {
    let message = b"a forged registration";
    let key = rfc_key().public();
    let small = bytes(
        "0100000000000000000000000000000000000000000000000000000000000000\
         64c078b929b6033442065e848f3a9f49921637fbbfdf3b9a277ae8842bca6401",
    );
    let small_second_spelling = bytes(
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f\
         8741924fe696a73e33ca78b74c245cb0c3a7ff8d706eaca86ded4738dd144f0c",
    );
    let plainly = key.0.verify(message, &Signature::from_bytes(&small));
    assert!(plainly.is_ok(), "the vector is forged as it should be");
    assert!(!key.verifies(message, &small));
    assert!(!key.verifies(message, &small_second_spelling));
}

/// R = rB + T with T of order 8: only a verifier that multiplies by the cofactor takes it.
#[test]
fn a_signature_that_only_the_cofactored_equation_satisfies_is_refused() {
    let signature = bytes(
        "40a4cf5c611d737a2f1c6fcca84d9cabfed80987f186a5a6c57e629bff1af27f\
         faeca9a7a266896f2c1b56aeacd2cd0ab82fc213103ec2cb88f4d3c7e831cf01",
    );
    assert!(
        !rfc_key()
            .public()
            .verifies(b"a forged registration", &signature)
    );
}
