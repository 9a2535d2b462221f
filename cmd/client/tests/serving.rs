//! The built binary against a server in this process: what its flags come to for visitors, and what it says.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that panics has failed, and has no users"
)]

use std::fs;
use std::path::PathBuf;

use futures_util::SinkExt;
use identity::SecretKey;
use tempfile::TempDir;
use testkit::cluster::Cluster;
use testkit::origin::{Origin, read_head};
use testkit::process::Program;
use testkit::socket::{Message, hear};
use testkit::visitor::Visitor;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use uplink::{Keys, Rules, Token};

/// One server, and a folder for the agent's files.
struct Stage {
    cluster: Cluster,
    folder: TempDir,
}

impl Stage {
    async fn open() -> Self {
        Self::with(Rules::default()).await
    }

    async fn with(rules: Rules) -> Self {
        let mut uplink = uplink::Config::new("localhost");
        uplink.rules = rules;
        Self {
            cluster: Cluster::with(1, &edge::Config::default(), &uplink).await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn server(&self) -> String {
        self.cluster.agent().config.server.to_string()
    }

    /// A file of the agent's, to be named by a flag.
    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `adit http` with a key of this folder.
    fn publish(&self, target: &str, flags: &[&str]) -> Program {
        self.publish_by(&[], target, flags)
    }

    /// The same, started by these words of another program.
    fn publish_by(&self, words: &[&str], target: &str, flags: &[&str]) -> Program {
        let key = self.folder.path().join("key.pem");
        let (key, server) = (key.to_str().unwrap(), self.server());
        let adit = [env!("CARGO_BIN_EXE_adit"), "http", target, "--key", key];
        let line = [words, &adit, &["--server", &server], flags].concat();
        Program::start(line[0], &line[1..])
    }

    /// A visitor of the URL that the agent prints.
    async fn visitor(&self, agent: &mut Program) -> Visitor {
        let url = |line: &str| line.strip_prefix("http://").map(str::to_owned);
        let host = agent.line("its URL", url).await;
        let server = self.server();
        let address = server.strip_prefix("http://").unwrap();
        Visitor::new(address.parse().unwrap(), host)
    }
}

/// A server whose operator has granted the agent's key all of this.
async fn granting(options: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::create_new(folder.path().join("key.pem")).unwrap();
    let line = format!("{options} {}\n", key.public().label(None));
    let rules = Rules {
        keys: Keys::read_file(line.as_bytes(), "localhost").unwrap(),
        ..Rules::default()
    };
    Stage {
        folder,
        ..Stage::with(rules).await
    }
}

/// The exit code and the last line of an agent that ends.
async fn last_words(agent: &mut Program) -> (Option<i32>, String) {
    let status = agent.ended().await;
    (status.code(), agent.output().pop().unwrap_or_default())
}

#[tokio::test]
async fn a_password_of_a_file_is_asked_for_by_the_server_and_never_sent_there_in_the_clear() {
    let (stage, origin) = (Stage::open().await, Origin::echo().await);
    let passwords = stage.file("passwords", "ann:correct horse\n");
    let flags = ["--basic-auth-file", &passwords, "--self-check"];
    let mut agent = stage.publish(&origin.port(), &flags);
    let visitor = stage.visitor(&mut agent).await;
    let refused = visitor.get("/").await;
    assert_eq!(
        (refused.status.as_u16(), refused.error()),
        (401, Some("password-required"))
    );
    // "ann:correct horse" in base64.
    let credentials = [("authorization", "Basic YW5uOmNvcnJlY3QgaG9yc2U=")];
    let answer = visitor.get_with("/", &credentials).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert!(!answer.text().contains("authorization"));
    agent
        .says("self-check: visitors get as far as the server, which asks for a password")
        .await;
    assert_eq!(agent.said("horse"), 0);
}

#[tokio::test]
async fn rules_for_requests_and_responses_hold_between_visitor_and_service() {
    let (stage, origin) = (Stage::open().await, Origin::echo().await);
    let flags = [
        "--request-header",
        "X-Set: 1, 2",
        "--response-header",
        "X-Frame-Options: DENY",
        "--strip-prefix",
        "/api",
        "--no-robots",
        "--host-header",
        "app.local",
        "--self-check",
    ];
    let mut agent = stage.publish(&origin.port(), &flags);
    let visitor = stage.visitor(&mut agent).await;
    let answer = visitor.get("/api/x").await;
    let text = answer.text();
    assert!(text.starts_with("GET /x\n"), "{text}");
    assert!(text.contains("x-set: 1, 2\n"), "{text}");
    assert!(text.contains("host: app.local\n"), "{text}");
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    assert_eq!(visitor.get("/other").await.status.as_u16(), 404);
    agent.says("self-check: visitors get through").await;
    assert_eq!(agent.said("adit-probe"), 0);
}

#[tokio::test]
async fn a_service_is_told_the_visitors_address_before_the_first_request() {
    let stage = Stage::open().await;
    let (heard, mut heads) = mpsc::channel(4);
    let origin = Origin::accepting(move |mut tcp| {
        let heard = heard.clone();
        async move {
            let head = read_head(&mut tcp).await;
            heard.send(String::from_utf8(head).unwrap()).await.ok();
            tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.ok();
        }
    })
    .await;
    let mut agent = stage.publish(&origin.port(), &["--send-proxy-protocol", "v1"]);
    let visitor = stage.visitor(&mut agent).await;
    assert_eq!(visitor.get("/").await.status.as_u16(), 204);
    let head = heads.recv().await.unwrap();
    assert!(
        head.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "),
        "{head}"
    );
    assert!(head.contains("\r\nGET / HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn limits_are_shown_to_those_who_want_to_know_more() {
    let (stage, origin) = (Stage::open().await, Origin::echo().await);
    let mut agent = stage.publish(&origin.port(), &["-v"]);
    agent.says("limits: bodies of at most 512000 bytes").await;
}

#[tokio::test]
async fn a_server_with_a_join_token_lets_in_who_has_it_and_tells_the_others_how_to_give_it() {
    let rules = Rules {
        tokens: vec![Token::new("correct-horse-battery-staple").unwrap()],
        ..Rules::default()
    };
    let (stage, origin) = (Stage::with(rules).await, Origin::echo().await);
    let (code, words) = last_words(&mut stage.publish(&origin.port(), &[])).await;
    assert_eq!(code, Some(3), "{words}");
    assert!(
        words.contains("--token-file") && words.contains("(token-required)"),
        "{words}"
    );
    let right = stage.file("token", "correct-horse-battery-staple\n");
    let mut agent = stage.publish(&origin.port(), &["--token-file", &right, "-vvv"]);
    let visitor = stage.visitor(&mut agent).await;
    assert_eq!(visitor.get("/").await.status.as_u16(), 200);
    assert_eq!(agent.said("horse"), 0);
    let wrong = stage.file("token", "a-token-of-somebody-else\n");
    let mut agent = stage.publish(&origin.port(), &["--token-file", &wrong]);
    let (code, words) = last_words(&mut agent).await;
    assert_eq!(code, Some(3), "{words}");
    assert!(!words.contains("somebody-else"), "{words}");
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_the_end_and_says_what_the_operator_must_write() {
    let (stage, origin) = (Stage::open().await, Origin::echo().await);
    for (flags, host) in [
        (&["--subdomain", "Blog"][..], "blog.localhost"),
        (&["--root"], "localhost"),
        (&["--domain", "*.app.example.org"], "*.app.example.org"),
    ] {
        let (code, words) = last_words(&mut stage.publish(&origin.port(), flags)).await;
        assert_eq!(code, Some(3), "{words}");
        assert!(
            words.contains(host) && words.contains("(name-not-granted)"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn a_granted_host_is_published_and_a_visitor_gets_through_to_it() {
    let stage = granting("name=blog,root,name=*.shop,auto-names").await;
    let origin = Origin::echo().await;
    for (flags, host) in [
        (&["--subdomain", "Blog"][..], "blog.localhost"),
        (&["--root"], "localhost"),
        (&["--subdomain", "*.shop"], "one.shop.localhost"),
    ] {
        let mut agent = stage.publish(&origin.port(), &[flags, &["--self-check"]].concat());
        let printed = stage.visitor(&mut agent).await;
        let port = printed.host().rsplit_once(':').unwrap().1;
        let visitor = printed.asking_for(format!("{host}:{port}"));
        let answer = visitor.get("/").await;
        assert_eq!(answer.status.as_u16(), 200, "{host}");
        assert!(
            answer
                .text()
                .contains(&format!("x-forwarded-host: {host}:{port}\n"))
        );
        agent.says("self-check: visitors get through").await;
    }
}

#[tokio::test]
async fn a_readable_name_is_made_by_the_server_and_is_the_same_each_time() {
    let (stage, origin) = (granting("auto-names").await, Origin::echo().await);
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let mut agent = stage.publish(&origin.port(), &["--auto-name"]);
        let visitor = stage.visitor(&mut agent).await;
        assert_eq!(visitor.get("/").await.status.as_u16(), 200);
        hosts.push(visitor.host().to_owned());
    }
    assert_eq!(hosts[0], hosts[1]);
    let label = hosts[0].split('.').next().unwrap();
    assert_eq!(label.split('-').count(), 3, "{label}");
}

#[tokio::test]
async fn a_folder_is_published_as_it_is_and_nothing_beside_it() {
    let stage = Stage::open().await;
    let site = stage.folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("index.html"), "<h1>home").unwrap();
    fs::write(site.join("data.txt"), "0123456789").unwrap();
    let _secret = stage.file("secret.txt", "secret");
    let key = stage.folder.path().join("key.pem");
    let flags = ["--key", key.to_str().unwrap(), "--server", &stage.server()];
    let line = [&["files", site.to_str().unwrap()][..], &flags].concat();
    let mut agent = Program::start(env!("CARGO_BIN_EXE_adit"), line);
    let visitor = stage.visitor(&mut agent).await;
    let home = visitor.get("/").await;
    assert_eq!((home.status.as_u16(), home.text()), (200, "<h1>home"));
    let tag = home.headers["etag"].to_str().unwrap().to_owned();
    let again = visitor.get_with("/", &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
    let part = visitor
        .get_with("/data.txt", &[("range", "bytes=2-4")])
        .await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "234"));
    assert_eq!(visitor.get("/../secret.txt").await.status, 404);
    assert_eq!(visitor.get("/%2e%2e/secret.txt").await.status, 404);
}

#[tokio::test]
async fn there_is_room_for_more_connections_than_the_files_that_a_shell_allows_at_first() {
    let (stage, origin) = (Stage::open().await, Origin::echoing_sockets().await);
    let few = ["sh", "-c", "ulimit -Sn 40; exec \"$@\"", "sh"];
    let mut agent = stage.publish_by(&few, &origin.addr.to_string(), &[]);
    let visitor = stage.visitor(&mut agent).await;
    let mut sockets = Vec::new();
    for _ in 0..60 {
        sockets.push(visitor.open_socket("/").await);
    }
    for socket in &mut sockets {
        socket.send(Message::text("still here")).await.unwrap();
        assert_eq!(hear(socket).await, Message::text("still here"));
    }
}
