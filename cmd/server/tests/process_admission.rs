//! The built server and the files that say who comes in: complaints with line numbers, and what happens to agents that are
//! there when the files change.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use assert_cmd::Command;
use identity::SecretKey;
use messages::{
    Disconnect, DisconnectCode, Frame, Message, NoticeCode, Policy, RefusalCode, Secret,
};
use tempfile::TempDir;
use testkit::hostile::{HostileAgent, wish};
use testkit::process::Server;
use testkit::visitor::Visitor;
use tunnel::handshake::{RegisterError, Registration, Wanted};

/// Files of one server.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in place, as an editor may.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Puts a file in place of another, as most editors and all tools do.
    fn replace(&self, name: &str, text: &str) {
        let new = self.write("new", text);
        fs::rename(new, self.path(name)).unwrap();
    }
}

fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit-server"));
    command.env_clear();
    command
}

/// The one line that a server says which cannot start.
fn complaint(command: &mut Command) -> String {
    let output = command.assert().code(78).stdout("");
    let complaint = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    complaint
}

fn label(key: &SecretKey) -> String {
    key.public().label(None)
}

async fn agent(server: &Server, key: &SecretKey) -> HostileAgent {
    let granted = HostileAgent::register_with(server, key, &wish("127.0.0.1")).await;
    granted.expect("it is granted")
}

async fn refusal(server: &Server, key: &SecretKey, wish: &Registration) -> (RefusalCode, String) {
    match HostileAgent::register_with(server, key, wish).await {
        Err(RegisterError::Refused(refused)) => (refused.code, refused.message),
        other => panic!("a refusal is due, not {other:?}"),
    }
}

/// Its last words.
async fn cut(agent: &mut HostileAgent) -> Disconnect {
    loop {
        match agent.hear().await {
            Some((_, Message::Disconnect(last))) => return last,
            Some(_) => {}
            None => panic!("it was cut without a word"),
        }
    }
}

async fn assert_up(agent: &mut HostileAgent) {
    assert!(agent.send(Frame::ping(*b"still up")).await);
    while !matches!(agent.hear().await.expect("it is up").1, Message::Pong(_)) {}
}

#[test]
fn a_file_that_cannot_be_used_stops_the_start_and_names_its_lines() {
    let folder = Folder::new();
    let key = label(&SecretKey::generate());
    let keys = folder.write(
        "keys",
        &format!("# ours\n{key} Ann\nnam=blog {key}\n\nblog\n"),
    );
    let tokens = folder.write("tokens", "a-token-of-good-length\nhunter2\n");
    let none = folder.write("none", "# none yet\n");
    let file = |path: &str, line: usize| format!("{}:{line}: ", Path::new(path).display());
    for first in [&[][..], &["config", "check"]] {
        let said = complaint(server().args(first).args(["--keys-file", &keys]));
        assert!(
            said.starts_with("error: admission.keys_file (from --keys-file): "),
            "{said}"
        );
        assert!(
            said.contains(&(file(&keys, 3) + "\"nam=blog\" is neither")),
            "{said}"
        );
        assert!(
            said.contains(&(file(&keys, 5) + "\"blog\" is neither")),
            "{said}"
        );

        let said = complaint(server().args(first).args(["--token-file", &tokens]));
        assert!(
            said.contains(&(file(&tokens, 2) + "a token has 16")),
            "{said}"
        );
        assert!(!said.contains("hunter2"));

        let said = complaint(server().args(first).args(["--token-file", &none]));
        assert!(said.contains("no token is in it"), "{said}");

        let said = complaint(server().args(first).args(["--keys-file", "/nowhere/keys"]));
        assert!(said.contains("/nowhere/keys: No such file"), "{said}");
    }
    let said = complaint(server().env("ADIT_ADMISSION__MODE", "listed"));
    assert!(said.contains("nobody would come in"), "{said}");
    let said = complaint(server().env("ADIT_ADMISSION__TOKENS", "hunter2"));
    assert!(
        said.contains("write what `adit-server token new` prints") && !said.contains("hunter2"),
        "{said}"
    );
    let said = complaint(server().env("ADIT_POLICY__FORBID", "cors,cars"));
    assert!(said.contains("\"cars\"; write basic_auth, "), "{said}");
}

#[test]
fn a_new_token_is_printed_and_tokens_are_hidden_in_what_config_check_prints() {
    let new = || {
        let output = server().args(["token", "new"]).assert().code(0).stderr("");
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let (one, other) = (new(), new());
    assert_eq!((one.len(), one == other), (44, false));
    let tokens = format!("{},{}", one.trim(), other.trim());
    let output = server()
        .env("ADIT_ADMISSION__TOKENS", tokens)
        .args(["config", "check"])
        .assert()
        .code(0);
    let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(
        printed.contains("tokens = [\"[hidden]\", \"[hidden]\"]"),
        "{printed}"
    );
    assert!(!printed.contains(one.trim()) && !printed.contains(other.trim()));
}

#[test]
fn a_token_in_the_agents_variable_is_warned_about_where_nobody_is_asked_for_one() {
    let mut server = std::process::Command::new(env!("CARGO_BIN_EXE_adit-server"))
        .args(["--listen", "127.0.0.1:0"])
        .env_clear()
        .env("ADIT_TOKEN", "hunter2-hunter2-hunter2")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let log: Vec<_> = lines
        .map(Result::unwrap)
        .take_while(|line| !line.contains("listening on"))
        .collect();
    server.kill().unwrap();
    server.wait().unwrap();
    let log = log.concat();
    assert!(log.contains("no token is asked for"), "{log}");
    assert!(!log.contains("hunter2"));
}

#[tokio::test]
async fn a_key_that_is_denied_in_the_file_is_cut_and_others_notice_nothing() {
    let (bad, good) = (SecretKey::generate(), SecretKey::generate());
    let folder = Folder::new();
    let keys = folder.write("keys", "# nobody yet\n");
    let mut server = Server::start(&["--keys-file", &keys]).await;
    let mut leaves = agent(&server, &bad).await;
    let mut stays = agent(&server, &good).await;

    folder.replace("keys", &format!("deny {}\n", label(&bad)));
    let last = cut(&mut leaves).await;
    assert_eq!(last.code, DisconnectCode::Refused);
    assert_eq!(
        last.reason,
        "the operator of this server has denied this key"
    );
    assert_up(&mut stays).await;
    let (code, _) = refusal(&server, &bad, &wish("127.0.0.1")).await;
    assert_eq!(code, RefusalCode::NotAllowed);
    server
        .program
        .says("the rules are in force keys=1 tokens=0 cut=1")
        .await;
}

#[tokio::test]
async fn granted_hosts_get_their_visitors_and_what_nobody_holds_is_told_apart() {
    let key = SecretKey::generate();
    let folder = Folder::new();
    let keys = folder.write(
        "keys",
        &format!("name=*.blog,name=blog,root {}\n", label(&key)),
    );
    let server = Server::start(&["--keys-file", &keys]).await;
    let visit = async |host: &str, path: &str| {
        let host = format!("{host}:{}", server.addr.port());
        Visitor::new(server.addr, host).get(path).await
    };
    let answer = visit("blog.localhost", "/").await;
    assert_eq!(answer.error(), Some("tunnel-offline"));
    assert_eq!(
        visit("wiki.localhost", "/").await.error(),
        Some("unknown-host")
    );
    assert!(visit("localhost", "/").await.text().contains("Adit server"));

    for (host, asked) in [
        ("blog.localhost", "Blog.localhost"),
        ("*.blog.localhost", "en.blog.localhost"),
        ("localhost", "localhost"),
    ] {
        let wish = Registration {
            wanted: Wanted::Host(host.to_owned()),
            ..wish("127.0.0.1")
        };
        let granted = HostileAgent::register_with(&server, &key, &wish).await;
        let mut agent = granted.expect("it is granted");
        let answering = async {
            let (stream, _) = agent.request().await;
            agent.answer(stream, 200, &[], "from the agent", true).await;
        };
        let (answer, ()) = tokio::join!(visit(asked, "/"), answering);
        assert_eq!(answer.text(), "from the agent", "{asked}");
        let own = visit(asked, "/_adit/health/live");
        if host == "localhost" {
            assert_eq!(own.await.text(), "alive\n", "the server's own stay its own");
        }
    }
}

#[tokio::test]
async fn an_agent_is_told_its_limits_and_when_visitors_are_refused_for_one() {
    let server = Server::configured(
        "[limits]\ntunnel_requests_per_second = 1\ntunnel_request_burst = 1\n[links]\nmessages_per_second = 500\n",
    )
    .await;
    let mut agent = agent(&server, &SecretKey::generate()).await;
    let limits = &agent.granted.limits;
    assert_eq!(
        (limits.requests_per_second, limits.messages_per_second),
        (Some(1), Some(500))
    );
    let visitor = agent.visitor();
    let answering = async {
        let (stream, _) = agent.request().await;
        agent.answer(stream, 200, &[], "once", true).await;
    };
    let (first, ()) = tokio::join!(visitor.get("/"), answering);
    assert_eq!(first.text(), "once");
    for _ in 0..3 {
        assert_eq!(visitor.get("/").await.status.as_u16(), 429);
    }
    agent.send(Frame::ping(*b"any more")).await;
    let mut notices = Vec::new();
    loop {
        match agent.hear().await.expect("it is up").1 {
            Message::Notice(notice) => notices.push(notice),
            Message::Pong(_) => break,
            _ => {}
        }
    }
    assert_eq!(notices.len(), 1, "once in a while: {notices:?}");
    assert_eq!(notices[0].code, NoticeCode::RequestRate);
    assert!(
        notices[0].message.contains("the 1 requests a second"),
        "{notices:?}"
    );
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_takes_its_name_along_and_nothing_else() {
    let key = SecretKey::generate();
    let folder = Folder::new();
    let keys = folder.write("keys", &format!("name=blog {}\n", label(&key)));
    let server = Server::start(&["--keys-file", &keys]).await;
    let blog = Registration {
        wanted: Wanted::Host("blog.localhost".to_owned()),
        ..wish("127.0.0.1")
    };
    let named = HostileAgent::register_with(&server, &key, &blog).await;
    let mut named = named.expect("it is granted");
    let mut own = agent(&server, &key).await;
    let port = server.addr.port();
    assert_eq!(named.granted.url, format!("http://blog.localhost:{port}"));

    folder.write("keys", &format!("{}\n", label(&key)));
    assert!(
        cut(&mut named)
            .await
            .reason
            .contains("blog.localhost is not granted")
    );
    assert_up(&mut own).await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_until_it_is_mended() {
    let (listed, other) = (SecretKey::generate(), SecretKey::generate());
    let folder = Folder::new();
    let good = format!("{}\n", label(&listed));
    let keys = folder.write("keys", &good);
    let config = folder.write(
        "server.toml",
        &format!("[admission]\nmode = 'listed'\nkeys_file = '{keys}'\n"),
    );
    let mut server = Server::start(&["--config", &config]).await;
    let mut up = agent(&server, &listed).await;

    folder.write(
        "keys",
        &format!("{good}{}\nroot,laptop {}\n", label(&other), label(&other)),
    );
    server.program.signal("HUP").await;
    let line = format!("{keys}:3: \\\"laptop\\\" is neither");
    let complaint = server.program.line("which line is bad", |line| {
        line.contains("the rules cannot be read: those that were in force stay")
            .then(|| line.to_owned())
    });
    let complaint = complaint.await;
    assert!(
        complaint.contains(&line) || complaint.contains(&line.replace('\\', "")),
        "{complaint}"
    );
    assert_up(&mut up).await;
    let (code, _) = refusal(&server, &other, &wish("127.0.0.1")).await;
    assert_eq!(
        code,
        RefusalCode::NotAllowed,
        "the good file stays in force"
    );

    folder.write("keys", &format!("{good}{}\n", label(&other)));
    server.program.says("the rules are in force keys=2").await;
    agent(&server, &other).await;
    assert_up(&mut up).await;
}

#[tokio::test]
async fn sighup_reads_the_settings_too_and_names_what_needs_a_restart() {
    let folder = Folder::new();
    let config = folder.write("server.toml", "workers = 1\n");
    let mut server = Server::start(&["--config", &config]).await;
    let compressing = Registration {
        policy: Some(Policy {
            compress: true,
            ..Policy::default()
        }),
        ..wish("127.0.0.1")
    };
    let key = SecretKey::generate();
    let granted = HostileAgent::register_with(&server, &key, &compressing).await;
    let mut compresses = granted.expect("it is granted");
    let mut plain = agent(&server, &SecretKey::generate()).await;

    folder.write(
        "server.toml",
        "workers = 2\n[links]\nmax_streams = 9\n[policy]\nforbid = ['compress']\n",
    );
    server.program.signal("HUP").await;
    assert!(
        cut(&mut compresses)
            .await
            .reason
            .starts_with("policy.compress: ")
    );
    assert_up(&mut plain).await;
    let restart = server.program.line("what needs a restart", |line| {
        line.contains("need a restart").then(|| line.to_owned())
    });
    assert!(restart.await.contains("links.max_streams, workers"));
    let (code, sentence) = refusal(&server, &key, &compressing).await;
    assert_eq!(code, RefusalCode::PolicyRefused);
    assert!(sentence.starts_with("policy.compress: "), "{sentence}");
}

#[tokio::test]
async fn a_token_is_wanted_as_soon_as_there_is_one_and_never_logged() {
    let folder = Folder::new();
    let token = "correct-horse-battery-staple";
    let tokens = folder.write("tokens", &format!("{token}\n"));
    let mut server = Server::start(&["--token-file", &tokens, "-vvv"]).await;
    let key = SecretKey::generate();
    let (code, sentence) = refusal(&server, &key, &wish("127.0.0.1")).await;
    assert_eq!(code, RefusalCode::TokenRequired);
    assert!(sentence.contains("--token"), "{sentence}");
    let knowing = |token: &str| Registration {
        token: Some(Secret::new(token)),
        ..wish("127.0.0.1")
    };
    let granted = HostileAgent::register_with(&server, &key, &knowing(token)).await;
    let mut knows = granted.expect("it is granted");

    folder.write("tokens", &format!("{token}\nanother-token-of-ours\n"));
    server
        .program
        .says("the rules are in force keys=0 tokens=2 cut=0")
        .await;
    folder.write("tokens", "another-token-of-ours\n");
    assert!(cut(&mut knows).await.reason.contains("join token"));
    let log = server.program.output().concat();
    assert!(!log.contains(token) && !log.contains("another-token"));
}

#[tokio::test]
async fn a_key_that_was_rotated_away_stays_away_over_a_restart() {
    let folder = Folder::new();
    let pins = folder.path("pins");
    let config = folder.write(
        "server.toml",
        &format!("pins_file = '{}'\n", pins.display()),
    );
    let old = SecretKey::generate();
    let new = old.rotate("localhost", 1).unwrap();
    let first = Server::start(&["--config", &config]).await;
    agent(&first, &new).await;
    first.program.kill().await;

    let second = Server::start(&["--config", &config]).await;
    let (code, sentence) = refusal(&second, &old, &wish("127.0.0.1")).await;
    assert_eq!(code, RefusalCode::Rotated, "{sentence}");
    agent(&second, &new).await;
    second.program.kill().await;

    fs::write(&pins, "garbage").unwrap();
    let said = complaint(server().args(["--config", &config]));
    assert!(said.starts_with("error: pins_file (in "), "{said}");
}
