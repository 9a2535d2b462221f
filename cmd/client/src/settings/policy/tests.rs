//! Flags, files and what they come to as the JSON that is signed.

use std::io::Write as _;

use clap::Parser as _;
use tempfile::NamedTempFile;

use crate::args::{Cli, Command};
use crate::settings::{Secrets, Settings, Variable, environment};

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The policy of `adit http 3000` with these flags and variables, as JSON; `{}` for none.
fn policy_with(flags: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
    let line = [&["adit", "http", "3000", "--key", "/k"][..], flags].concat();
    let Cli { command } = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
    let Command::Http(http) = command else {
        panic!("it is adit http")
    };
    let variables: Vec<Variable> = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let policy = Secrets::of(&variables).and_then(|secrets| {
        let settings = Settings::load(http.layers(environment(variables)?))?;
        settings.policy(&secrets)
    });
    let policy = policy
        .map_err(|error| error.to_string())?
        .unwrap_or_default();
    Ok(String::from_utf8(policy.to_json().to_vec()).unwrap())
}

fn policy(flags: &[&str]) -> Result<String, String> {
    policy_with(flags, &[])
}

fn in_file(text: &str, flags: &[&str]) -> Result<String, String> {
    let file = file(text);
    let path = file.path().display().to_string();
    let policy = policy(&[&["--config", &path], flags].concat());
    policy.map_err(|error| error.replace(&path, "adit.toml"))
}

#[test]
fn each_flag_is_a_rule() {
    assert_eq!(policy(&[]).unwrap(), "{}");
    for (flags, json) in [
        (
            &[
                "--allow-ip",
                "10.0.0.0/8",
                "--allow-ip",
                "::1",
                "--deny-ip",
                "10.9.0.1",
            ][..],
            r#"{"allow_ips":["10.0.0.0/8","::1"],"deny_ips":["10.9.0.1"]}"#,
        ),
        (
            &[
                "--request-header",
                "X-A: 1, 2:3",
                "--request-header",
                "X-B:",
                "--remove-request-header",
                "cookie",
            ],
            r#"{"request_headers":{"set":[["X-A","1, 2:3"],["X-B",""]],"remove":["cookie"]}}"#,
        ),
        (
            &[
                "--response-header",
                "X-Frame-Options: DENY",
                "--remove-response-header",
                "server",
            ],
            r#"{"response_headers":{"set":[["X-Frame-Options","DENY"]],"remove":["server"]}}"#,
        ),
        (
            &[
                "--cors-origin",
                "https://a.example",
                "--cors-origin",
                "https://b.example",
                "--cors-method",
                "PUT",
                "--cors-header",
                "x-a",
                "--cors-expose",
                "x-b",
                "--cors-credentials",
                "--cors-max-age",
                "600",
            ],
            r#"{"cors":{"origins":["https://a.example","https://b.example"],"methods":["PUT"],"headers":["x-a"],"expose":["x-b"],"credentials":true,"max_age":600}}"#,
        ),
        (
            &[
                "--strip-prefix",
                "/api",
                "--add-prefix",
                "/v1",
                "--https-only",
                "--compress",
                "--no-robots",
            ],
            r#"{"strip_prefix":"/api","add_prefix":"/v1","https_only":true,"compress":true,"no_robots":true}"#,
        ),
    ] {
        assert_eq!(policy(flags).unwrap(), json);
    }
}

#[test]
fn a_webhook_has_the_secrets_of_its_file() {
    let secrets = file("new secret\nold secret\n");
    let path = secrets.path().display().to_string();
    let flags = [
        "--verify-webhook",
        "hmac",
        "--webhook-secret-file",
        &path,
        "--webhook-tolerance",
        "60",
        "--webhook-report-only",
        "--webhook-header",
        "X-Sig",
    ];
    assert_eq!(
        policy(&flags).unwrap(),
        r#"{"webhook":{"provider":"hmac","secrets":["new secret","old secret"],"tolerance":60,"report_only":true,"header":"X-Sig"}}"#
    );
}

#[test]
fn a_file_says_the_same_and_a_flag_takes_the_place_of_a_list_of_it() {
    let text = "[policy]\nallow_ips = ['10.0.0.0/8', '::1']\nno_robots = true\n\
                [policy.request_headers]\nset = [['X-A', '1'], 'X-B: 2']\n\
                [policy.cors]\norigins = ['*']\nmax_age = 5\n";
    assert_eq!(
        in_file(text, &[]).unwrap(),
        r#"{"allow_ips":["10.0.0.0/8","::1"],"request_headers":{"set":[["X-A","1"],["X-B","2"]]},"cors":{"origins":["*"],"max_age":5},"no_robots":true}"#
    );
    assert_eq!(
        in_file(
            text,
            &[
                "--allow-ip",
                "192.0.2.1",
                "--cors-max-age",
                "7",
                "--request-header",
                "X-C: 3"
            ]
        )
        .unwrap(),
        r#"{"allow_ips":["192.0.2.1"],"request_headers":{"set":[["X-C","3"]]},"cors":{"origins":["*"],"max_age":7},"no_robots":true}"#
    );
}

#[test]
fn hashes_may_stand_in_the_file_itself() {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let text =
        format!("[policy.basic_auth]\ncredentials = [{{ username = 'ann', hash = '{hash}' }}]\n");
    let json = in_file(&text, &[]).unwrap();
    assert!(
        json.contains(r#""username":"ann""#) && json.contains(hash),
        "{json}"
    );
    let passwords = file("bob:secret");
    let path = passwords.path().display().to_string();
    let both = format!("[policy]\nbasic_auth_file = '{path}'\n{text}");
    let refused = in_file(&both, &[]).unwrap_err();
    assert!(
        refused.contains("policy.basic_auth is set too"),
        "{refused}"
    );
    let flag = in_file(&text, &["--basic-auth-file", &path]).unwrap();
    assert!(
        flag.contains(r#""username":"bob""#) && !flag.contains("ann"),
        "{flag}"
    );
}

#[test]
fn passwords_come_from_the_flags_file_above_the_variables_above_the_files_file() {
    let of = |name: &str| file(&format!("{name}:secret\n"));
    let (flag, variable, below) = (of("flag"), of("variable"), of("below"));
    let path = |file: &NamedTempFile| file.path().display().to_string();
    let config = file(&format!("[policy]\nbasic_auth_file = '{}'\n", path(&below)));
    let config = ["--config", &path(&config)].map(str::to_owned);
    let user = |flags: &[&str], variables: &[(&str, &str)]| {
        let flags = [&config.each_ref().map(String::as_str)[..], flags].concat();
        let json = policy_with(&flags, variables)?;
        assert!(!json.contains("secret"), "{json}");
        Ok::<_, String>(json.split('"').nth(7).unwrap().to_owned())
    };
    let flags = ["--basic-auth-file", &path(&flag)];
    let by_text = ("ADIT_BASIC_AUTH", "text:secret");
    let by_file = ("ADIT_BASIC_AUTH_FILE", &*path(&variable));
    let blank = ("ADIT_BASIC_AUTH", " ");
    assert_eq!(user(&flags, &[by_text, by_file]).unwrap(), "flag");
    assert_eq!(user(&[], &[by_text]).unwrap(), "text");
    assert_eq!(user(&[], &[by_file]).unwrap(), "variable");
    assert_eq!(user(&[], &[blank]).unwrap(), "below");
    let both = user(&[], &[by_text, by_file]).unwrap_err();
    assert_eq!(
        both,
        "ADIT_BASIC_AUTH: ADIT_BASIC_AUTH_FILE is set too; unset one of them"
    );
}

#[test]
fn a_broken_rule_is_told_by_the_flag_that_broke_it() {
    let long = format!("X-A: {}", "x".repeat(1024));
    let large: Vec<_> = ["--response-header"; 6]
        .iter()
        .flat_map(|flag| [*flag, &long])
        .collect();
    for (flags, said) in [
        (
            &["--allow-ip", "10.0.0.0/33"][..],
            "policy.allow_ips (from --allow-ip): \"10.0.0.0/33\" is neither; write an IP address, or a network such as 10.0.0.0/8",
        ),
        (
            &["--strip-prefix", "api"],
            "policy.strip_prefix (from --strip-prefix): a path such as /api",
        ),
        (
            &["--request-header", "Host: x"],
            "policy.request_headers.set (from --request-header): Host says how a message travels",
        ),
        (
            &["--remove-response-header", "via"],
            "policy.response_headers.remove (from --remove-response-header): ",
        ),
        (
            &["--cors-origin", "app"],
            "policy.cors.origins (from --cors-origin): an origin is a scheme and a host",
        ),
        (
            &["--cors-method", "PUT"],
            "policy.cors.methods (from --cors-method): origins are a list of at least one",
        ),
        (
            &["--cors-max-age", "soon"],
            "policy.cors.max_age (from --cors-max-age): \"soon\" is no such number; write a whole number of seconds",
        ),
        (
            &["--verify-webhook", "gitlab"],
            "policy.webhook.provider (from --verify-webhook): ",
        ),
        (
            &["--verify-webhook", "github"],
            "policy.webhook.provider (from --verify-webhook): there is no secret; name the file that holds it with --webhook-secret-file",
        ),
        (
            &["--webhook-tolerance", "5"],
            "policy.webhook.tolerance (from --webhook-tolerance): there is no provider; say whose signatures with --verify-webhook",
        ),
        (
            &["--basic-auth-file", "/nowhere/passwords"],
            "policy.basic_auth_file (from --basic-auth-file): cannot read /nowhere/passwords: No such file",
        ),
        (
            &large,
            "policy (all of its rules together): at most 5120 bytes can be registered, these are ",
        ),
    ] {
        let complaint = policy(flags).unwrap_err();
        assert!(complaint.starts_with(said), "{complaint:?} is not {said:?}");
    }
}

#[test]
fn a_header_flag_cannot_smuggle_another_line_in() {
    for (value, why) in [
        ("X-A: 1\r\nX-B: 2", "one line"),
        ("X-A: 1\nX-B: 2", "one line"),
        ("X-A: \u{0}", "one line"),
        ("X-A", "write 'Name: value'"),
        (": 1", "write 'Name: value'"),
    ] {
        let said = policy(&["--response-header", value]).unwrap_err();
        assert!(
            said.contains(why) && said.contains("--response-header"),
            "{said}"
        );
    }
}

#[test]
fn what_a_file_says_wrongly_is_told_with_its_place() {
    for (text, said) in [
        (
            "[policy]\nhttps_only = 1",
            "policy.https_only (in adit.toml, line 2): invalid type: integer `1`, expected true or false",
        ),
        (
            "[policy]\nallow_ip = ['::1']",
            "policy.allow_ip (in adit.toml, line 2): unknown field `allow_ip`",
        ),
        (
            "[policy]\nadd_prefix = '/a/'",
            "policy.add_prefix (in adit.toml, line 2): a path such as /api",
        ),
        (
            "[policy.request_headers]\nset = ['Via: x']",
            "policy.request_headers (in adit.toml, line 1): Via says",
        ),
        (
            "[policy.response_headers]\nset = [['X-A', \"1\\r\\nX-B: 2\"]]",
            "policy.response_headers (in adit.toml, line 1): the value of X-A",
        ),
        (
            "[policy.webhook]\nsecrets = ['x']",
            "policy.webhook.secrets (in adit.toml, line 2): unknown field",
        ),
    ] {
        let complaint = in_file(text, &[]).unwrap_err();
        assert!(complaint.starts_with(said), "{complaint:?} is not {said:?}");
    }
}
