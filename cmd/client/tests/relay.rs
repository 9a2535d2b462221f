//! `adit ws` as a user starts it, through a tunnel and without one: the session of the recipe that people know from
//! elsewhere, held by a client that does what `websocat` does: a line is a text message with its line feed.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that panics has failed, and has no users"
)]

use std::fs;

use futures_util::{SinkExt, StreamExt};
use testkit::cluster::Cluster;
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::process::Program;
use testkit::socket::{End, Message, Plain, closing, end, hear};
use testkit::visitor::Visitor;

/// What the recipe's configuration says.
const RECIPE: [&str; 6] = [
    "--incoming",
    "lines,string",
    "--outgoing",
    "string",
    "--errors",
    "message",
];

/// A relay that runs, and who visits it.
struct Relay {
    program: Program,
    visitor: Visitor,
    _server: Option<Cluster>,
    _folder: tempfile::TempDir,
}

/// The two ways to a relay.
#[derive(Debug, Clone, Copy)]
enum Way {
    Tunnel,
    Listener,
}

const WAYS: [Way; 2] = [Way::Tunnel, Way::Listener];

impl Relay {
    /// `adit ws` to this upstream.
    async fn start(way: Way, upstream: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        let key = key.to_str().unwrap();
        let mut line = vec!["ws", upstream, "--key", key];
        let (server, at);
        match way {
            Way::Tunnel => {
                let cluster = Cluster::with(
                    1,
                    &edge::Config::default(),
                    &uplink::Config::new("localhost"),
                )
                .await;
                at = cluster.agent().config.server.to_string();
                line.extend(["--server", &at]);
                server = Some(cluster);
            }
            Way::Listener => {
                line.extend(["--listen", "127.0.0.1:0"]);
                at = String::new();
                server = None;
            }
        }
        line.extend(options);
        let mut program = Program::start(env!("CARGO_BIN_EXE_adit"), &line);
        // A tunnel has the URL of its hostname, a listener that of what it speaks.
        let scheme = if server.is_some() { "http://" } else { "ws://" };
        let url = |line: &str| line.strip_prefix(scheme).map(str::to_owned);
        let host = program.line("its URL", url).await;
        // Through the tunnel a visitor connects to the server; without one, to what was printed.
        let address = at.strip_prefix("http://").unwrap_or(&host).parse().unwrap();
        Self {
            program,
            visitor: Visitor::new(address, host),
            _server: server,
            _folder: folder,
        }
    }
}

/// The recipe's upstream: it says each line back, but `badger` for `snot`.
fn badger(port: &Port) -> Origin {
    Origin::sockets_on(port.listen(), |mut socket, _| async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            let answer = match text.trim_end() {
                "snot" => "badger",
                other => other,
            };
            socket.send(Message::text(answer)).await.ok();
        }
    })
}

/// Types a line, and reads what comes.
async fn type_line(socket: &mut Plain, line: &str) -> String {
    socket
        .send(Message::text(format!("{line}\n")))
        .await
        .unwrap();
    match hear(socket).await {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("no text: {other:?}"),
    }
}

#[tokio::test]
async fn the_session_of_the_recipe_works_through_a_tunnel_and_without() {
    for way in WAYS {
        let port = Port::free();
        let upstream = badger(&port);
        let url = format!("ws://{}", port.addr());
        let relay = Relay::start(way, &url, &RECIPE).await;
        let mut websocat = relay.visitor.open_socket("/any/path").await;
        assert_eq!(type_line(&mut websocat, "hello").await, "hello", "{way:?}");
        assert_eq!(type_line(&mut websocat, "snot").await, "badger");
        drop(upstream);
        // The upstream dies: a line is answered by an error, in the words of where it was noticed, with its number.
        let error = type_line(&mut websocat, "hello").await;
        assert!(error.starts_with(r#"{"error":""#), "{error}");
        assert!(error.contains(&url), "{error}");
        assert!(error.ends_with(r#","event_id":"1:0:2"}"#), "{error}");
        let error = type_line(&mut websocat, "hello").await;
        let away =
            format!(r#"{{"error":"No connection available for {url}.","event_id":"1:0:3"}}"#);
        assert_eq!(error, away);
        // It is back: the same WebSocket goes on.
        let _upstream = badger(&port);
        assert_eq!(type_line(&mut websocat, "snot").await, "badger");
        websocat.close(None).await.unwrap();
        assert_eq!(end(&mut websocat).await, End::Silent);
    }
}

#[tokio::test]
async fn each_visitor_hears_only_what_they_asked_for() {
    for way in WAYS {
        let port = Port::free();
        let _upstream = badger(&port);
        let relay = Relay::start(way, &format!("ws://{}", port.addr()), &RECIPE).await;
        let mut one = relay.visitor.open_socket("/").await;
        let mut two = relay.visitor.open_socket("/").await;
        for turn in 0..20 {
            let (ours, theirs) = (format!("one {turn}"), format!("two {turn}"));
            let (heard, other) =
                tokio::join!(type_line(&mut one, &ours), type_line(&mut two, &theirs));
            assert_eq!((heard, other), (ours, theirs), "{way:?}");
        }
    }
}

#[tokio::test]
async fn codes_reasons_subprotocols_and_types_are_the_same_with_a_tunnel_and_without() {
    for way in WAYS {
        let upstream = Origin::sockets(|mut socket, _| async move {
            while let Some(Ok(message)) = socket.next().await {
                let last = message == Message::text("close");
                let answer = if last {
                    closing(4000, "as asked")
                } else {
                    message
                };
                if socket.send(answer).await.is_err() {
                    break;
                }
            }
        })
        .await;
        let url = format!("ws://{}", upstream.addr);
        let relay = Relay::start(way, &url, &["--incoming", "string"]).await;
        let offered = [("sec-websocket-protocol", "chat.v1, chat.v2")];
        let (mut socket, answer) = relay.visitor.socket("/", &offered).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat.v2");
        for message in [Message::text("é"), Message::binary(&b"abc"[..])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(hear(&mut socket).await, message, "{way:?}");
        }
        socket.send(Message::text("close")).await.unwrap();
        let closed = End::Closed(4000, "as asked".to_owned());
        assert_eq!(end(&mut socket).await, closed);
        let mut socket = relay.visitor.open_socket("/").await;
        socket.send(Message::binary(&b"\xff"[..])).await.unwrap();
        assert_eq!(end(&mut socket).await.code(), Some(1007));
        drop(upstream);
        let mut socket = relay.visitor.open_socket("/").await;
        let away = End::Closed(1011, "the upstream cannot be reached".to_owned());
        assert_eq!(end(&mut socket).await, away);
        let refused = relay.visitor.socket("/", &offered).await.unwrap_err();
        assert_eq!(refused.status(), 502);
    }
}

#[tokio::test]
async fn one_shared_connection_serves_visitors_with_the_same_ids() {
    let upstream = Origin::echoing_sockets().await;
    let url = format!("ws://{}", upstream.addr);
    let shared = [
        "--shared",
        "--correlate",
        "/id",
        "--incoming",
        "json",
        "--outgoing",
        "json",
    ];
    let relay = Relay::start(Way::Tunnel, &url, &shared).await;
    let mut one = relay.visitor.open_socket("/").await;
    let mut two = relay.visitor.open_socket("/").await;
    for turn in 0..20 {
        let ask = |whose: &str| format!(r#"{{"id":"same","of":"{whose} {turn}"}}"#);
        for (socket, whose) in [(&mut one, "one"), (&mut two, "two")] {
            socket.send(Message::text(ask(whose))).await.unwrap();
        }
        assert_eq!(hear(&mut two).await, Message::text(ask("two")));
        assert_eq!(hear(&mut one).await, Message::text(ask("one")));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_file_has_rules_and_what_is_wrong_in_it_is_one_line_with_the_fix() {
    let upstream = Origin::echoing_sockets().await;
    let url = format!("ws://{}", upstream.addr);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    let config = ["--config", file.to_str().unwrap()];
    let rules = "[relay]\nincoming = ['lines', 'json']\nincoming_rules = [\n  { drop = '/kind', is = 'ping' },\n  \
                 { rename = '/a', to = '/b' },\n]\n";
    fs::write(&file, rules).unwrap();
    let relay = Relay::start(Way::Listener, &url, &config).await;
    let mut socket = relay.visitor.open_socket("/").await;
    let lines = "{\"kind\":\"ping\"}\n{\"a\":1}\n";
    socket.send(Message::text(lines)).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("{\"b\":1}\n"));
    for (wrong, line) in [
        ("[relay]\nshard = true\n", "relay.shard"),
        (
            "[relay]\nincoming = ['line']\n",
            "\"line\" is no step; there are lines,",
        ),
        (
            "[relay]\nincoming = ['json']\nincoming_rules = [{ keep = 'a' }]\n",
            "write \"/field\"",
        ),
    ] {
        fs::write(&file, wrong).unwrap();
        let words = ["ws", &url, "--listen", "127.0.0.1:0", config[0], config[1]];
        let mut program = Program::start(env!("CARGO_BIN_EXE_adit"), words);
        assert_eq!(program.ended().await.code(), Some(78));
        let said = program.output().join("\n");
        assert!(said.contains(line) && said.contains("adit.toml"), "{said}");
    }
}

#[tokio::test]
async fn who_comes_without_a_websocket_is_told_what_the_address_is_for() {
    for way in WAYS {
        let relay = Relay::start(way, "ws://127.0.0.1:9/", &[]).await;
        let answer = relay.visitor.get("/").await;
        assert_eq!(answer.status.as_u16(), 426, "{way:?}");
        assert!(answer.text().contains("ws:// or wss://"));
    }
}

#[tokio::test]
async fn a_signal_ends_a_listening_relay_and_its_visitors_are_told() {
    let upstream = Origin::echoing_sockets().await;
    let url = format!("ws://{}", upstream.addr);
    let mut relay = Relay::start(Way::Listener, &url, &RECIPE).await;
    let mut socket = relay.visitor.open_socket("/").await;
    assert_eq!(type_line(&mut socket, "hello").await, "hello\n");
    relay.program.signal("TERM").await;
    assert_eq!(end(&mut socket).await.code(), Some(1001));
    assert_eq!(relay.program.ended().await.code(), Some(0));
}
