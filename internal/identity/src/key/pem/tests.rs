use super::*;

fn rfc_key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

#[test]
fn a_key_survives_its_pem() {
    let key = SecretKey::generate();
    let pem = key.to_pem();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let read = SecretKey::from_pem(&pem).unwrap();
    assert_eq!(read.public(), key.public());
    assert_eq!(*read.to_pem(), *pem);
}

#[test]
fn pkcs8_version_2_is_read_when_its_public_key_fits() {
    let key = rfc_key();
    let with = |public: &SecretKey| {
        KeypairBytes {
            secret_key: key.signing.to_bytes(),
            public_key: Some(public.public().0.into()),
        }
        .to_pkcs8_pem(LineEnding::CRLF)
        .unwrap()
    };
    let read = SecretKey::from_pem(&with(&key)).unwrap();
    assert_eq!(read.public(), key.public());
    let other = with(&SecretKey::generate());
    assert_eq!(SecretKey::from_pem(&other).unwrap_err(), KeyError::Pem);
}

#[test]
fn text_that_is_no_ed25519_pem_is_no_key() {
    let pem = rfc_key().to_pem();
    // The same 48 bytes with the object identifier of X25519, 1.3.101.110 instead of .112.
    let x25519 = pem.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu");
    assert_ne!(x25519, *pem);
    let public_label = pem.replace("PRIVATE", "PUBLIC");
    let cut = pem.get(..60).unwrap();
    for text in ["", "key", &x25519, &public_label, cut] {
        assert_eq!(SecretKey::from_pem(text).unwrap_err(), KeyError::Pem);
    }
}

#[test]
fn a_protected_key_opens_with_its_passphrase_alone() {
    let key = SecretKey::generate();
    let pem = key.to_protected_pem(&passphrase("open sesame"));
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(SecretKey::from_pem(&pem).unwrap_err(), KeyError::Protected);
    let opened = SecretKey::from_protected_pem(&pem, &passphrase("open sesame")).unwrap();
    assert_eq!(opened.public(), key.public());
    let wrong = SecretKey::from_protected_pem(&pem, &passphrase("open barley"));
    assert_eq!(wrong.unwrap_err(), KeyError::Passphrase);
    let again = key.to_protected_pem(&passphrase("open sesame"));
    assert_ne!(*again, *pem, "salted");
}

#[test]
fn a_key_without_protection_is_read_whatever_the_passphrase() {
    let key = SecretKey::generate();
    let read = SecretKey::from_protected_pem(&key.to_pem(), &passphrase("unused")).unwrap();
    assert_eq!(read.public(), key.public());
}

#[test]
fn damage_to_a_protected_key_is_seen() {
    let pem = rfc_key().to_protected_pem(&passphrase("open sesame"));
    let cut: String = pem.lines().take(3).collect::<Vec<_>>().join("\n");
    for text in [cut.as_str(), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"] {
        assert_eq!(
            SecretKey::from_protected_pem(text, &passphrase("open sesame")).unwrap_err(),
            KeyError::Pem
        );
    }
}

#[test]
fn a_passphrase_is_not_empty_and_not_shown() {
    assert!(Passphrase::new("").is_err());
    assert_eq!(format!("{:?}", passphrase("secret")), "Passphrase(hidden)");
}
