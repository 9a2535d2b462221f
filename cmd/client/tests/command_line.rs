//! The built binary as a person or a script meets it, without a server.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that panics has failed, and has no users"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// `adit` in a home of its own, without variables of ours.
fn adit(home: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("adit"));
    command
        .env_clear()
        .env("HOME", home)
        .timeout(std::time::Duration::from_secs(30));
    command
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
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

#[test]
fn help_has_examples_and_the_exit_codes() {
    let home = home();
    for (args, wanted) in [
        (
            &["--help"][..],
            &["adit http 3000", "Exit codes: 0", "4 another agent"][..],
        ),
        (
            &["http", "--help"],
            &["ADIT_SERVER", "--expect-domain", "Exit codes: 0", "78 a"],
        ),
        (
            &["http", "--help"],
            &["ADIT_TOKEN", "Who may call", "--verify-webhook", "unix:/"],
        ),
        (&["--version"], &["adit 0.", "(protocol adit.v1)"]),
    ] {
        let (code, out, _) = said(&adit(home.path()).args(args).output().unwrap());
        assert_eq!(code, Some(0));
        for word in wanted {
            assert!(
                out.contains(word),
                "{word:?} is not in the output of {args:?}:\n{out}"
            );
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_to_write() {
    let home = home();
    for (args, word) in [
        (&["http"][..], "<TARGET>"),
        (&["http", "https://localhost"], "only plain http services"),
        (&["http", "localhost"], "it has no port"),
        (&["http", "99999"], "ports are 1 to 65535"),
        (&["http", "3000", "-q", "-v"], "cannot be used with"),
        (&["http", "abc"], "give a port such as 3000"),
        (&["http", "unix:app.sock"], "unix:/path/of.sock"),
        (
            &["http", "3000", "--name", "a", "--subdomain", "b"],
            "cannot be used with",
        ),
        (
            &["http", "3000", "--root", "--auto-name"],
            "cannot be used with",
        ),
        (&["http", "3000", "--subdomain", ""], "a value is required"),
        (&["http", "3000", "--token", "x"], "unexpected argument"),
        (
            &["http", "3000", "--basic-auth-password", "x"],
            "unexpected argument",
        ),
        (
            &["http", "3000", "--request-header", "X: 1\nY: 2"],
            "one line without control characters",
        ),
        (&["publish"], "unrecognized subcommand"),
    ] {
        let (code, out, err) = said(&adit(home.path()).args(args).output().unwrap());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains(word), "{word:?} is not in {err:?}");
    }
}

#[test]
fn a_bad_setting_is_one_line_with_its_field_and_where_it_came_from() {
    let home = home();
    let file = home.path().join("adit.toml");
    fs::write(&file, "servr = 'x'").unwrap();
    let mut flag = adit(home.path());
    refuses(
        flag.args(["http", "1", "--server", "http://a/b"]),
        78,
        &["error: server (from --server)", "without a path"],
    );
    let mut variable = adit(home.path());
    refuses(
        variable.args(["http", "1"]).env("ADIT_NAME", "A"),
        78,
        &["name (from ADIT_NAME)"],
    );
    let mut in_file = adit(home.path());
    refuses(
        in_file.args(["http", "1", "--config"]).arg(&file),
        78,
        &["servr", "adit.toml", "expected"],
    );
    for (flags, words) in [
        (
            &["--subdomain", "a.b"][..],
            &["subdomain (from --subdomain)", "one DNS label"][..],
        ),
        (
            &["--domain", "127.0.0.1"],
            &["custom_domain (from --domain)", "not an IP address"],
        ),
        (
            &["--basic-auth-file", "/nowhere"],
            &["policy.basic_auth_file (from --basic-auth-file)"],
        ),
        (
            &["--token-file", "/nowhere"],
            &["token_file (from --token-file)", "cannot read /nowhere"],
        ),
        (
            &["--response-header", "Via: x"],
            &["policy.response_headers.set (from --response-header)"],
        ),
        (
            &["--deny-ip", "localhost"],
            &["policy.deny_ips (from --deny-ip)", "10.0.0.0/8"],
        ),
        (
            &["--host-header", "a b"],
            &["host_header (from --host-header)", "preserve, rewrite"],
        ),
        (
            &["--send-proxy-protocol", "3"],
            &[
                "send_proxy_protocol (from --send-proxy-protocol)",
                "v1 or v2",
            ],
        ),
    ] {
        let mut wrong = adit(home.path());
        refuses(wrong.args(["http", "1"]).args(flags), 78, words);
    }
    let mut no_home = Command::new(assert_cmd::cargo::cargo_bin!("adit"));
    refuses(
        no_home.env_clear().args(["http", "1"]),
        78,
        &["key (the default)", "write the path"],
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let home = home();
    let key = home.path().join("key.pem");
    adit(home.path())
        .args(["key", "new", "--key"])
        .arg(&key)
        .assert()
        .success();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for args in [&["http", "1", "--key"][..], &["key", "show", "--key"]] {
        refuses(
            adit(home.path()).args(args).arg(&key),
            78,
            &["chmod 600", "key.pem"],
        );
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "no key").unwrap();
    refuses(
        adit(home.path()).args(["http", "1", "--key"]).arg(&key),
        78,
        &["no usable key"],
    );
}

#[test]
fn a_key_is_made_once_and_shown_without_its_secret() {
    let home = home();
    let show = || {
        said(
            &adit(home.path())
                .args(["key", "show", "--domain", "T.Example"])
                .output()
                .unwrap(),
        )
    };
    let (code, _, err) = show();
    assert_eq!(code, Some(78));
    assert!(err.contains("adit key new"), "{err}");
    adit(home.path()).args(["key", "new"]).assert().success();
    let file = home.path().join(".config/adit/key.pem");
    let secret = fs::read_to_string(&file).unwrap();
    let (code, out, _) = show();
    assert_eq!(code, Some(0));
    let field = |name: &str| {
        let line = out
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {out}"));
        line.split_once(' ').unwrap().1.trim().to_owned()
    };
    assert_eq!(field("file"), file.display().to_string());
    assert!(field("jwk").starts_with(r#"{"crv":"Ed25519","kty":"OKP","x":""#));
    assert_eq!((field("thumbprint").len(), field("label").len()), (43, 52));
    assert_eq!(field("hostname"), format!("{}.t.example", field("label")));
    for line in secret.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!out.contains(line), "the secret stays in its file");
    }
    refuses(
        adit(home.path()).args(["key", "new"]),
        78,
        &["exists already and is not overwritten"],
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);
}

#[test]
fn another_name_is_another_hostname_of_the_same_key() {
    let home = home();
    adit(home.path()).args(["key", "new"]).assert().success();
    let show = |args: &[&str]| {
        said(
            &adit(home.path())
                .args(["key", "show"])
                .args(args)
                .output()
                .unwrap(),
        )
        .1
    };
    let (own, photos) = (show(&[]), show(&["--name", "photos"]));
    let line = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert_eq!(line(&own, "thumbprint"), line(&photos, "thumbprint"));
    assert_ne!(line(&own, "label"), line(&photos, "label"));
}

#[test]
fn a_first_connection_that_fails_says_why_and_ends_only_when_asked_to() {
    let home = home();
    let server = format!("http://127.0.0.1:{}", free_port());
    let mut once = adit(home.path());
    once.args(["http", "3000", "--no-retry", "--server", &server]);
    let (code, out, err) = said(&once.output().unwrap());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<_> = err.lines().collect();
    assert!(lines[0].starts_with("made a new key, "), "{err}");
    assert!(
        lines[1].starts_with(&format!(
            "error: cannot connect to {server}: Connection refused"
        )),
        "{err}"
    );
    let mut again = adit(home.path());
    again
        .args(["http", "3000", "--server", &server])
        .timeout(std::time::Duration::from_millis(700));
    let ended = again.output().unwrap();
    let (code, _, err) = said(&ended);
    assert_eq!(code, None, "it was killed while it was trying: {err}");
    assert!(
        err.contains("Connection refused") && err.contains("trying again in "),
        "{err}"
    );
}

#[test]
fn a_service_may_be_written_in_every_way_that_names_one() {
    let home = home();
    let server = format!("http://127.0.0.1:{}", free_port());
    for target in [
        "3000",
        "[::1]:3000",
        "http://[::1]",
        "nas.home:80",
        "http://nas.home/",
        "unix:/run/app.sock",
    ] {
        let mut once = adit(home.path());
        once.args(["http", target, "--no-retry", "--server", &server]);
        let (code, out, err) = said(&once.output().unwrap());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{target}: {err}");
        assert!(err.contains("Connection refused"), "{target}: {err}");
    }
}

#[test]
fn blank_variables_are_not_set_and_blanks_around_a_value_are_none_of_it() {
    let home = home();
    let server = format!(" http://127.0.0.1:{} ", free_port());
    let mut blank = adit(home.path());
    blank
        .args(["http", "3000", "--no-retry"])
        .env("ADIT_SERVER", &server)
        .env("ADIT_NAME", "  ")
        .env("ADIT_TOKEN", "")
        .env("ADIT_BASIC_AUTH", " ")
        .env("ADIT_AUTO_NAME", "\t");
    let (code, _, err) = said(&blank.output().unwrap());
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("cannot connect to {}", server.trim())));
}
