//! `adit key` as a person or a script meets it: the built binary, its files, and openssl's opinion of them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test that panics has failed, says what it left out, and has no users"
)]

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use assert_cmd::Command;
use tempfile::TempDir;

const PASSPHRASE: &str = "ADIT_KEY_PASSPHRASE";
const PASSPHRASE_FILE: &str = "ADIT_KEY_PASSPHRASE_FILE";

/// Somebody's home directory, with or without a key in it.
struct Home(TempDir);

impl Home {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with_key() -> Self {
        let home = Self::empty();
        home.adit(&["key", "new"]).assert().success();
        home
    }

    /// `adit`, without variables of ours.
    fn adit(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("adit"));
        command
            .env_clear()
            .env("HOME", self.0.path())
            .timeout(std::time::Duration::from_secs(30))
            .args(args);
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(".config/adit").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.file(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn shown(&self) -> String {
        succeeds(&mut self.adit(&["key", "show"])).0
    }

    fn rotate(&self) -> (String, String) {
        succeeds(&mut self.adit(&["key", "rotate", "--domain", "T.Example"]))
    }
}

/// What it says on stdout and on stderr.
fn succeeds(command: &mut Command) -> (String, String) {
    let (code, out, err) = said(&command.output().unwrap());
    assert_eq!(code, Some(0), "{err}");
    (out, err)
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// One line on stderr that says this, nothing on stdout, and this exit code.
fn refuses(command: &mut Command, code: i32, words: &[&str]) {
    let (exit, out, err) = said(&command.output().unwrap());
    assert_eq!(
        (exit, out.as_str(), err.lines().count()),
        (Some(code), "", 1),
        "{err}"
    );
    for word in words {
        assert!(err.contains(word), "{word:?} is not in {err:?}");
    }
}

fn fact(shown: &str, name: &str) -> String {
    let line = shown.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {shown}"));
    line.strip_prefix(name).unwrap().trim().to_owned()
}

/// The output of a tool of the system; none on a machine that has none.
fn tool(name: &str, args: &[&str], input: &str) -> Option<Output> {
    let child = std::process::Command::new(name)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("no {name} on this machine: not compared with it");
            return None;
        }
        child => child.unwrap(),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    Some(child.wait_with_output().unwrap())
}

/// The public key as openssl sees it, in the base64url of a JWK.
fn by_openssl(key: &Path, passphrase: &str) -> Option<String> {
    let pass = format!("pass:{passphrase}");
    let path = key.to_str().unwrap();
    let args = ["pkey", "-in", path, "-passin", &pass, "-pubout"];
    let output = tool("openssl", &args, "")?;
    assert!(output.status.success(), "{output:?}");
    let pem = String::from_utf8(output.stdout).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    // 12 bytes in front of the 32 are 16 characters of base64.
    let key = base64.get(16..).unwrap().trim_end_matches('=');
    Some(key.replace('+', "-").replace('/', "_"))
}

#[test]
fn the_line_for_the_keys_file_is_the_public_key() {
    let home = Home::with_key();
    let shown = home.shown();
    let x = fact(&shown, "keys file")
        .strip_prefix("ed25519:")
        .unwrap()
        .to_owned();
    assert!(
        fact(&shown, "jwk").contains(&format!(r#""x":"{x}""#)),
        "{shown}"
    );
    if let Some(public) = by_openssl(&home.file("key.pem"), "") {
        assert_eq!(public, x);
    }
    assert!(!shown.contains("rotated"), "{shown}");
}

#[test]
fn a_key_made_with_a_passphrase_opens_with_nothing_else() {
    let home = Home::empty();
    let secret = home.0.path().join("passphrase");
    fs::write(&secret, "open sesame\n").unwrap();
    succeeds(home.adit(&["key", "new"]).env(PASSPHRASE_FILE, &secret));
    assert!(
        home.read("key.pem")
            .starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    );

    let (shown, _) = succeeds(home.adit(&["key", "show"]).env(PASSPHRASE, "open sesame"));
    if let Some(public) = by_openssl(&home.file("key.pem"), "open sesame") {
        assert!(shown.contains(&public), "{public} is not in {shown}");
    }
    refuses(
        home.adit(&["key", "show"]).env(PASSPHRASE, "open barley"),
        78,
        &["the passphrase does not open", "key.pem"],
    );
    for args in [
        &["key", "show"][..],
        &["http", "3000"],
        &["key", "export-jwk"],
    ] {
        refuses(
            &mut home.adit(args),
            78,
            &["key.pem wants a passphrase", "no terminal", PASSPHRASE_FILE],
        );
    }
    let blank = &mut home.adit(&["key", "show"]);
    refuses(blank.env(PASSPHRASE, ""), 78, &["wants a passphrase"]);
}

#[test]
fn a_first_use_with_a_passphrase_set_makes_a_protected_key() {
    let home = Home::empty();
    let args = ["http", "1", "--no-retry", "--server", "http://127.0.0.1:1"];
    home.adit(&args)
        .env(PASSPHRASE, "open sesame")
        .assert()
        .code(1);
    assert!(home.read("key.pem").contains("ENCRYPTED"));
}

#[test]
fn a_passphrase_that_cannot_be_had_is_a_setting_that_is_wrong() {
    let home = Home::empty();
    let empty = home.0.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let large = home.0.path().join("large");
    fs::write(&large, "x".repeat(5000)).unwrap();
    let mut both = home.adit(&["key", "new"]);
    both.env(PASSPHRASE, "a").env(PASSPHRASE_FILE, &empty);
    refuses(&mut both, 78, &["are both set"]);
    for (file, why) in [
        (&empty, "does not hold a passphrase"),
        (&large, "does not hold a passphrase"),
        (&home.0.path().join("missing"), "cannot read"),
    ] {
        let mut new = home.adit(&["key", "new"]);
        refuses(new.env(PASSPHRASE_FILE, file), 78, &[why, PASSPHRASE_FILE]);
    }
    refuses(
        &mut home.adit(&["key", "new", "--passphrase"]),
        78,
        &["no terminal", PASSPHRASE],
    );
    assert!(!home.file("key.pem").exists(), "nothing was made meanwhile");
}

#[test]
fn a_rotated_key_is_another_key_with_the_same_hostname() {
    let home = Home::with_key();
    let (before, old) = (home.shown(), home.read("key.pem"));
    let (after, words) = home.rotate();
    assert_eq!(home.files(), ["key.chain", "key.pem", "key.pem.old-1"]);
    assert_eq!(home.read("key.pem.old-1"), old);
    for name in home.files() {
        let mode = fs::metadata(home.file(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_ne!(fact(&before, "thumbprint"), fact(&after, "thumbprint"));
    assert_eq!(fact(&before, "label"), fact(&after, "label"));
    assert_eq!(fact(&before, "keys file"), fact(&after, "keys file"));
    assert_eq!(
        fact(&after, "hostname"),
        format!("{}.t.example", fact(&before, "label"))
    );
    assert_eq!(
        fact(&after, "rotated"),
        "1 time of at most 4, for t.example"
    );
    for word in [
        "Protected: ",
        "Not protected: ",
        "key.pem.old-1",
        "key.chain",
    ] {
        assert!(words.contains(word), "{word:?} is not in {words}");
    }
    assert_eq!(home.shown(), after);
    home.rotate();
    assert_eq!(
        fact(&home.shown(), "rotated"),
        "2 times of at most 4, for t.example"
    );
    assert_eq!(fact(&home.shown(), "label"), fact(&before, "label"));
}

#[test]
fn a_rotation_that_cannot_be_changes_nothing() {
    let home = Home::with_key();
    let rotate = |domain| home.adit(&["key", "rotate", "--domain", domain]);
    refuses(
        &mut rotate("https://t.example"),
        2,
        &["--domain", "host name"],
    );
    assert_eq!(home.files(), ["key.pem"]);
    home.rotate();
    let before = home.read("key.pem");
    refuses(
        &mut rotate("other.example"),
        78,
        &["cannot be rotated", "another domain"],
    );
    for _ in 2..=4 {
        home.rotate();
    }
    let last = home.read("key.pem");
    refuses(&mut rotate("t.example"), 78, &["4 times at most"]);
    assert_ne!(before, last);
    assert_eq!(home.read("key.pem"), last);
    assert_eq!(home.files().len(), 6);
    let (code, _, err) = said(&home.adit(&["key", "rotate"]).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(err.contains("--domain"), "{err}");
}

#[test]
fn a_key_that_was_rotated_for_one_server_has_no_hostname_at_another() {
    let home = Home::with_key();
    home.rotate();
    refuses(
        &mut home.adit(&["key", "show", "--domain", "other.example"]),
        2,
        &["rotated for t.example", "other.example", "another key file"],
    );
}

#[test]
fn a_protected_key_stays_protected_when_it_is_rotated_and_another_can_become_so() {
    let home = Home::with_key();
    let rotate = || {
        let mut command = home.adit(&["key", "rotate", "--domain", "t.example"]);
        command.env(PASSPHRASE, "open sesame");
        command
    };
    succeeds(&mut rotate());
    assert!(home.read("key.pem").contains("ENCRYPTED"));
    assert!(
        !home.read("key.pem.old-1").contains("ENCRYPTED"),
        "it is as it was"
    );
    succeeds(&mut rotate());
    assert!(home.read("key.pem").contains("ENCRYPTED"));
    assert!(home.read("key.pem.old-2").contains("ENCRYPTED"));
    refuses(
        &mut home.adit(&["key", "rotate", "--domain", "t.example"]),
        78,
        &["wants a passphrase"],
    );
}

#[test]
fn a_chain_without_its_key_is_not_given_to_a_new_one() {
    let home = Home::with_key();
    home.rotate();
    fs::remove_file(home.file("key.pem")).unwrap();
    for args in [&["key", "new"][..], &["http", "1", "--no-retry"]] {
        refuses(
            &mut home.adit(args),
            78,
            &["there is no key file", "key.chain"],
        );
    }
    fs::rename(home.file("key.pem.old-1"), home.file("key.pem")).unwrap();
    assert!(
        !home.shown().contains("rotated"),
        "the old key is itself again"
    );
}

#[test]
fn a_jwk_is_the_public_half_unless_the_secret_is_asked_for() {
    let home = Home::with_key();
    let (public, _) = succeeds(&mut home.adit(&["key", "export-jwk"]));
    assert_eq!(public.trim_end(), fact(&home.shown(), "jwk"));
    let (secret, _) = succeeds(&mut home.adit(&["key", "export-jwk", "--private"]));
    let x = public.split('"').nth(11).unwrap();
    assert!(secret.starts_with(r#"{"crv":"Ed25519","d":""#), "{secret}");
    assert!(secret.contains(x) && secret.trim_end().len() > public.trim_end().len() + 40);
    let (code, _, err) = said(
        &home
            .adit(&["key", "export-jwk", "--force"])
            .output()
            .unwrap(),
    );
    assert_eq!(code, Some(2));
    assert!(err.contains("--private"), "{err}");
}

/// At a pseudo-terminal, where one can be had.
fn at_a_terminal(home: &Home, args: &str, typed: &str) -> Option<(bool, String)> {
    let program = assert_cmd::cargo::cargo_bin!("adit");
    let home = home.0.path().display();
    let line = format!("env -i HOME={home} {} {args}", program.display());
    let output = tool("script", &["-qec", &line, "/dev/null"], typed)?;
    Some((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    ))
}

#[test]
fn a_secret_is_not_shown_on_a_terminal_unless_it_must() {
    let home = Home::with_key();
    let Some((done, said)) = at_a_terminal(&home, "key export-jwk --private", "") else {
        return;
    };
    assert!(
        !done && said.contains("--force") && !said.contains(r#""d""#),
        "{said}"
    );
    let (done, said) = at_a_terminal(&home, "key export-jwk --private --force", "").unwrap();
    assert!(done && said.contains(r#""d":"#), "{said}");
    let (done, said) = at_a_terminal(&home, "key export-jwk", "").unwrap();
    assert!(done && said.contains("Ed25519"), "{said}");
}

#[test]
fn at_a_terminal_a_passphrase_is_asked_for() {
    let home = Home::empty();
    let new = "key new --passphrase";
    let Some((done, said)) = at_a_terminal(&home, new, "sesame\nbarley\n") else {
        return;
    };
    assert!(!done && said.contains("differ"), "{said}");
    assert!(!home.file("key.pem").exists());
    let (done, said) = at_a_terminal(&home, new, "sesame\nsesame\n").unwrap();
    assert!(done && said.contains("The same again"), "{said}");
    assert!(home.read("key.pem").contains("ENCRYPTED"));
    let (done, said) = at_a_terminal(&home, "key show", "sesame\n").unwrap();
    assert!(
        done && said.contains("Passphrase of") && said.contains("thumbprint"),
        "{said}"
    );
    let (done, said) = at_a_terminal(&home, "key show", "barley\n").unwrap();
    assert!(!done && said.contains("does not open"), "{said}");
}
