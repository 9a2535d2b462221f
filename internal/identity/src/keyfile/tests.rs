mod openssl;
mod rotating;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use tempfile::TempDir;

use super::disk::MAX_FILE_LEN;
use super::*;
use crate::key::PublicKey;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_key_is_made_at_first_use_and_the_same_ever_after() {
    let directory = directory();
    let path = directory.path().join("config/adit/key.pem");
    let (made, created) = SecretKey::load_or_create(&path).unwrap();
    assert!(created);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let (loaded, created) = SecretKey::load_or_create(&path).unwrap();
    assert!(!created);
    assert_eq!(loaded.public(), made.public());
    assert_eq!(SecretKey::load(&path).unwrap().public(), made.public());
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    fs::write(&path, "precious").unwrap();
    let error = SecretKey::create_new(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "no temporary file stays behind"
    );
}

#[test]
fn of_many_that_come_first_one_makes_the_key_and_all_have_it() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let start = Barrier::new(8);
    let first_use = || {
        start.wait();
        let (key, created) = SecretKey::load_or_create(&path).unwrap();
        (key.public(), created)
    };
    let outcomes: Vec<(PublicKey, bool)> = std::thread::scope(|scope| {
        let users: Vec<_> = (0..8).map(|_| scope.spawn(first_use)).collect();
        users.into_iter().map(|user| user.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|(_, created)| *created).count(), 1);
    assert!(outcomes.iter().all(|(key, _)| *key == outcomes[0].0));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_others_may_touch_is_refused_with_the_cure() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    SecretKey::create_new(&path).unwrap();
    for open in [0o644, 0o640, 0o604, 0o620, 0o602, 0o601] {
        set_mode(&path, open);
        let error = SecretKey::load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::NotPrivate { .. }), "{error}");
        let cure = format!("(mode {open:04o}); run: chmod 600 {}", path.display());
        assert!(error.to_string().ends_with(&cure), "{error}");
    }
    for private in [0o600, 0o400] {
        set_mode(&path, private);
        SecretKey::load(&path).unwrap();
    }
}

#[test]
fn what_is_no_key_file_is_named_for_what_it_is() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    let write = |name: &str, content: &[u8]| {
        fs::write(at(name), content).unwrap();
        set_mode(&at(name), 0o600);
        SecretKey::load(at(name)).unwrap_err()
    };
    let missing = SecretKey::load(at("missing")).unwrap_err();
    assert!(matches!(missing, KeyFileError::NotFound { .. }));
    let folder = SecretKey::load(directory.path()).unwrap_err();
    assert!(matches!(folder, KeyFileError::NotAKeyFile { .. }));
    let device = SecretKey::load("/dev/null").unwrap_err();
    assert!(matches!(device, KeyFileError::NotAKeyFile { .. }));
    let binary = write("binary", b"\xff\xfe");
    assert!(matches!(binary, KeyFileError::NotAKeyFile { .. }));
    let large = write("large", &[b'a'; MAX_FILE_LEN + 1]);
    assert!(matches!(large, KeyFileError::NotAKeyFile { .. }));
    let text = write("text", b"my key is under the mat");
    assert!(matches!(text, KeyFileError::Content { .. }));
}

#[test]
fn a_key_that_cannot_be_made_is_an_error_that_names_the_file() {
    let directory = directory();
    fs::write(directory.path().join("file"), "").unwrap();
    let path = directory.path().join("file/key.pem");
    let error = SecretKey::create_new(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file/key.pem"), "{error}");
}

#[test]
fn a_linked_key_file_is_followed() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let key = SecretKey::create_new(&path).unwrap();
    let link = directory.path().join("link.pem");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(SecretKey::load(&link).unwrap().public(), key.public());
}
