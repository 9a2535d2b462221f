//! Keys that follow each other in one file, and everything that may happen in between.

use super::*;
use crate::chain::MAX_CHAIN;

const DOMAIN: &str = "tunnel.example";
const NOW: u64 = 1_800_000_000;

struct Home {
    directory: TempDir,
    key: PathBuf,
    chain: PathBuf,
}

impl Home {
    fn with_key() -> (Self, SecretKey) {
        let directory = directory();
        let home = Self {
            key: directory.path().canonicalize().unwrap().join("key.pem"),
            chain: directory.path().canonicalize().unwrap().join("key.chain"),
            directory,
        };
        let key = SecretKey::create_new(&home.key).unwrap();
        (home, key)
    }

    fn rotate(&self) -> Result<Rotated, KeyFileError> {
        SecretKey::rotate_file(&self.key, None, DOMAIN, NOW)
    }

    fn old(&self, number: u8) -> PathBuf {
        self.key.with_file_name(format!("key.pem.old-{number}"))
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_new_key_takes_the_place_and_the_name_of_the_old_one() {
    let (home, first) = Home::with_key();
    let rotated = home.rotate().unwrap();
    assert_eq!(home.files(), ["key.chain", "key.pem", "key.pem.old-1"]);
    assert_eq!(rotated.old_file, home.old(1));
    assert_eq!(rotated.chain_file, home.chain);
    for file in [&home.key, &home.chain, &home.old(1)] {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    let loaded = SecretKey::load(&home.key).unwrap();
    assert_eq!(loaded.public(), rotated.key.public());
    assert_ne!(loaded.public(), first.public());
    assert_eq!(loaded.chain(), rotated.key.chain());
    assert_eq!(loaded.tunnel_id(None), first.tunnel_id(None));
    // The old file is a key of its own again, whose chain is not that of its neighbour.
    assert_eq!(
        SecretKey::load(home.old(1)).unwrap().public(),
        first.public()
    );
}

#[test]
fn a_key_is_rotated_until_the_chain_is_full_and_then_left_alone() {
    let (home, first) = Home::with_key();
    for number in 1..=MAX_CHAIN as u64 {
        assert_eq!(home.rotate().unwrap().key.chain().sequence(), number);
    }
    let last = fs::read_to_string(&home.key).unwrap();
    let error = home.rotate().unwrap_err();
    let full = ChainError::TooLong;
    assert!(
        matches!(error, KeyFileError::Rotation { source, .. } if source == full),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&home.key).unwrap(), last);
    assert_eq!(home.files().len(), 2 + MAX_CHAIN);
    assert_eq!(
        SecretKey::load(&home.key).unwrap().chain().root(),
        first.tunnel_id(None)
    );
}

/// As after a crash between the third step and the fourth.
#[test]
fn a_rotation_that_did_not_come_to_its_end_is_as_if_it_had_not_begun() {
    let (home, first) = Home::with_key();
    let before = fs::read(&home.key).unwrap();
    home.rotate().unwrap();
    fs::write(&home.key, before).unwrap();

    let loaded = SecretKey::load(&home.key).unwrap();
    assert_eq!(loaded.public(), first.public());
    assert_eq!(loaded.chain(), first.chain());

    let again = home.rotate().unwrap();
    assert_eq!(again.key.chain().sequence(), 1);
    let loaded = SecretKey::load(&home.key).unwrap();
    assert_eq!(loaded.chain(), again.key.chain());
    assert_eq!(home.files(), ["key.chain", "key.pem", "key.pem.old-1"]);
}

#[test]
fn an_old_key_that_is_another_is_not_overwritten() {
    let (home, first) = Home::with_key();
    SecretKey::create_new(home.old(1)).unwrap();
    let error = home.rotate().unwrap_err();
    assert!(
        matches!(&error, KeyFileError::Exists { path } if *path == home.old(1)),
        "{error}"
    );
    let loaded = SecretKey::load(&home.key).unwrap();
    assert_eq!(loaded.chain(), first.chain());
    assert_eq!(
        home.files(),
        ["key.pem", "key.pem.old-1"],
        "nothing else was left"
    );
}

#[test]
fn a_chain_that_does_not_fit_is_refused_with_both_names() {
    let (home, _) = Home::with_key();
    home.rotate().unwrap();
    let chain = fs::read_to_string(&home.chain).unwrap();
    for (content, why) in [
        ("", "no list"),
        ("{}", "no list"),
        ("[1]", "no list"),
        ("[]", "does not lead"),
        (r#"["a.b.c"]"#, "rotation 1 is malformed"),
    ] {
        fs::write(&home.chain, content).unwrap();
        let error = SecretKey::load(&home.key).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(
            error.contains("key.chain") && error.contains("key.pem"),
            "{error}"
        );
    }
    fs::write(&home.chain, chain).unwrap();
    SecretKey::load(&home.key).unwrap();
    fs::remove_file(&home.key).unwrap();
    let stranger = SecretKey::load_or_create(&home.key).unwrap_err();
    assert!(
        matches!(stranger, KeyFileError::Orphan { .. }),
        "{stranger}"
    );
    fs::copy(home.old(1), &home.key).unwrap();
    fs::write(&home.key, SecretKey::generate().to_pem()).unwrap();
    let error = SecretKey::load(&home.key).unwrap_err().to_string();
    assert!(error.contains("does not lead to this key"), "{error}");
}

#[test]
fn a_link_to_a_key_is_a_link_to_its_chain() {
    let (home, first) = Home::with_key();
    let elsewhere = directory();
    let link = elsewhere.path().join("mine.pem");
    std::os::unix::fs::symlink(&home.key, &link).unwrap();
    let rotated = SecretKey::rotate_file(&link, None, DOMAIN, NOW).unwrap();
    assert_eq!(rotated.key_file, home.key);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let loaded = SecretKey::load(&link).unwrap();
    assert_eq!(loaded.chain(), rotated.key.chain());
    assert_eq!(loaded.tunnel_id(None), first.tunnel_id(None));
}

#[test]
fn of_many_that_rotate_at_once_each_does_it_whole_or_not_at_all() {
    let (home, first) = Home::with_key();
    let start = Barrier::new(4);
    let done = std::thread::scope(|scope| {
        let rotating: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    match home.rotate() {
                        Ok(_) => 1,
                        Err(KeyFileError::Busy { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        rotating
            .into_iter()
            .map(|one| one.join().unwrap())
            .sum::<u64>()
    });
    let last = SecretKey::load(&home.key).unwrap();
    assert!(done >= 1);
    assert_eq!(last.chain().sequence(), done);
    assert_eq!(last.chain().root(), first.tunnel_id(None));
}

#[test]
fn a_protected_key_is_followed_by_a_protected_one() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let passphrase = Passphrase::new("open sesame").unwrap();
    SecretKey::create_new_protected(&path, &passphrase).unwrap();
    let locked = SecretKey::rotate_file(&path, None, DOMAIN, NOW).unwrap_err();
    assert!(matches!(locked, KeyFileError::Locked { .. }), "{locked}");
    let rotated = SecretKey::rotate_file(&path, Some(&passphrase), DOMAIN, NOW).unwrap();
    for file in [&path, &rotated.old_file] {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    }
    let (loaded, made) = SecretKey::load_or_create_protected(&path, &passphrase).unwrap();
    assert_eq!((loaded.public(), made), (rotated.key.public(), false));
}

#[test]
fn a_protected_key_needs_its_passphrase() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let passphrase = |text| Passphrase::new(text).unwrap();
    let (_, made) = SecretKey::load_or_create_protected(&path, &passphrase("open sesame")).unwrap();
    assert!(made);
    let locked = SecretKey::load_or_create(&path).unwrap_err();
    assert!(matches!(locked, KeyFileError::Locked { .. }), "{locked}");
    let wrong = SecretKey::load_protected(&path, &passphrase("open barley")).unwrap_err();
    assert!(
        matches!(wrong, KeyFileError::WrongPassphrase { .. }),
        "{wrong}"
    );
}
