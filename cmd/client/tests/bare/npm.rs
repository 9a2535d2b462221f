//! npm's own clients against ours (51), directly and through a tunnel, and npm's server beside ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use testkit::cluster::Cluster;
use testkit::origin::{Origin, full, written};
use testkit::process::Program;
use testkit::socket::{Message, hear};
use testkit::visitor::{Answer, Visitor};

use crate::stage::{Heard, open, remote, with};

/// Where `.ci/install` puts what npm has.
fn modules() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_BIN_EXE_adit"));
    let target = target.ancestors().nth(2).expect("target/PROFILE/adit");
    let path = target.join("programs/node_modules");
    let wanted = path.join("@tomphttp/bare-client");
    assert!(
        wanted.exists(),
        "{} is missing: run .ci/install first",
        wanted.display()
    );
    path
}

/// A Node program of ours.
fn node(name: &str, args: &[&str]) -> Program {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bare/programs");
    let loopback = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../server/tests/system/programs/loopback.cjs");
    let mut path = OsString::from("NODE_PATH=");
    path.push(modules());
    let flags = ["--experimental-websocket", "--no-warnings", "--require"].map(OsString::from);
    let mut all = vec![path, "node".into()];
    all.extend(flags);
    all.extend([loopback.into(), tests.join(name).into()]);
    all.extend(args.iter().map(OsString::from));
    Program::start("env", all)
}

/// A remote that says back requests, and the messages of WebSockets.
async fn echo() -> Origin {
    let sockets = Origin::echoing_sockets().await;
    let sockets_at = sockets.addr;
    let sockets = std::sync::Arc::new(sockets);
    let plain = std::sync::Arc::new(Origin::echo().await);
    let plain_at = plain.addr;
    // One port for both, as sites have it: told apart by the first line.
    Origin::accepting(move |mut tcp| {
        let kept = (sockets.clone(), plain.clone());
        async move {
            let mut start = [0; 7];
            let Ok(count) = tcp.peek(&mut start).await else {
                return;
            };
            let at = if start[..count] == *b"GET /ws" {
                sockets_at
            } else {
                plain_at
            };
            let mut to = tokio::net::TcpStream::connect(at).await.unwrap();
            tokio::io::copy_bidirectional(&mut tcp, &mut to).await.ok();
            drop(kept);
        }
    })
    .await
}

async fn satisfied(program: &str, server: &str) {
    let origin = echo().await;
    let remote = format!("http://{}", origin.addr);
    let modules = modules();
    let mut client = node(program, &[modules.to_str().unwrap(), server, &remote]);
    let ended = client.ended().await;
    let output = client.output().join("\n");
    assert!(ended.success() && output.contains("all good"), "{output}");
}

#[tokio::test]
async fn npms_client_of_version_3_is_satisfied() {
    let stage = with(&["--no-block-local", "--long-headers"]).await;
    satisfied("client_3.cjs", &format!("http://{}/", stage.client.host())).await;
}

#[tokio::test]
async fn npms_client_of_version_2_is_satisfied() {
    let stage = with(&["--no-block-local", "--long-headers"]).await;
    satisfied("client_2.cjs", &format!("http://{}/", stage.client.host())).await;
}

/// A Bare server at the end of a tunnel, in a directory with a key.
struct Published {
    _cluster: Cluster,
    agent: Program,
    url: String,
}

async fn published() -> (Published, Visitor) {
    let cluster = Cluster::of(1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, access) = (file("key.pem"), file("access"));
    std::fs::write(&access, "a-key-of-24-characters-x").unwrap();
    let server = cluster.agent().config.server.to_string();
    let line = [
        "bare",
        "--key",
        &key,
        "--server",
        &server,
        "--no-block-local",
        "--long-headers",
        "--directory",
        "/bare/",
        "--access-key-file",
        &access,
    ];
    let mut agent = Program::start(env!("CARGO_BIN_EXE_adit"), line);
    let url = |line: &str| line.strip_prefix("http://").map(str::to_owned);
    let host = agent.line("its URL", url).await;
    let visitor = Visitor::new(cluster.node(0).addr, host.clone());
    let published = Published {
        _cluster: cluster,
        agent,
        url: format!("http://{host}/bare/a-key-of-24-characters-x/"),
    };
    (published, visitor)
}

#[tokio::test]
async fn npms_clients_are_satisfied_through_a_tunnel() {
    let (mut published, _) = published().await;
    satisfied("client_3.cjs", &published.url).await;
    satisfied("client_2.cjs", &published.url).await;
    // The key is in every path, and in no line.
    published.agent.says("GET /bare/***/v3/").await;
    assert_eq!(published.agent.said("a-key-of-24"), 0);
}

#[tokio::test]
async fn what_the_remote_says_right_behind_its_101_passes_the_tunnel() {
    use futures_util::SinkExt as _;
    let (_published, visitor) = published().await;
    let origin = crate::v3::early().await;
    let mut socket = visitor
        .open_socket("/bare/a-key-of-24-characters-x/v3/")
        .await;
    socket
        .send(crate::v3::connect(&format!("ws://{}/", origin.addr)))
        .await
        .unwrap();
    let open = hear(&mut socket).await.into_text().unwrap();
    assert!(open.contains("\"open\""), "{open}");
    for word in ["one", "two"] {
        assert_eq!(hear(&mut socket).await, Message::text(word));
    }
}

/// npm's server and ours.
async fn both() -> (Program, [Visitor; 2], crate::stage::Stage) {
    let mut theirs = node("server.cjs", &[]);
    let port: u16 = theirs
        .line("its port", |line| line.strip_prefix("port ")?.parse().ok())
        .await;
    let stage = open().await;
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let visitors = [Visitor::new(addr, addr.to_string()), stage.client.clone()];
    (theirs, visitors, stage)
}

/// What of a response both servers must agree on.
fn agreed(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let mut headers = answer.headers.clone();
    // Of this hop, and of the moment.
    for name in ["connection", "keep-alive", "date", "transfer-encoding"] {
        headers.remove(name);
    }
    // One line with a comma, or two lines: the same (RFC 9110, 5.3).
    let joined = headers.keys().map(|name| {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        (name.to_string(), values.join(", "))
    });
    (
        answer.status.as_u16(),
        joined.collect(),
        answer.text().to_owned(),
    )
}

/// A head without what only one of them adds: a word for what is so anyway.
fn asked(heard: &Heard) -> String {
    heard.last().replace("Connection: keep-alive\r\n", "")
}

#[tokio::test]
async fn npms_server_and_ours_ask_and_answer_alike() {
    let (_theirs, visitors, _stage) = both().await;
    let (origin, heard) = remote(
        "HTTP/1.1 203 Odd Words\r\nX-WeIrD: a\r\nSet-Cookie: x=1\r\nset-cookie: y=2\r\nX-Two: 1\r\nx-two: 2\r\nETag: e\r\n\
         Last-Modified: l\r\nCache-Control: c\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let (port, url) = (origin.port(), format!("http://{}/path?q", origin.addr));
    let named = crate::stage::parts(&port, "http:");
    let headers = (
        "x-bare-headers",
        r#"{"HoSt":"a","X-LIST":["1","2"],"Connection":"close"}"#,
    );
    let long = format!(r#"{{"Host":"a","X-Long":"{}"}}"#, "v".repeat(2900));
    let pieces: Vec<String> = long
        .as_bytes()
        .chunks(1000)
        .map(|piece| format!(";{}", String::from_utf8_lossy(piece)))
        .collect();
    let by_url = [("x-bare-url", &*url)];
    let cases: Vec<(&str, Vec<(&str, &str)>)> = vec![
        (
            "/v1/",
            [
                &named[..],
                &[
                    headers,
                    ("x-bare-forward-headers", r#"["accept","host","x-none"]"#),
                    ("accept", "odd"),
                ],
            ]
            .concat(),
        ),
        ("/v2/", [&named[..], &[headers]].concat()),
        (
            "/v2/?cache=1",
            [
                &named[..],
                &[headers, ("if-none-match", "e"), ("accept-encoding", "zip")],
            ]
            .concat(),
        ),
        (
            "/v3/",
            [&by_url[..], &[headers, ("accept-language", "la")]].concat(),
        ),
        ("/v3/?cache", [&by_url[..], &[headers]].concat()),
        (
            "/v3/",
            [
                &by_url[..],
                &[
                    headers,
                    ("x-bare-pass-headers", "x-two"),
                    ("x-bare-pass-status", "203"),
                ],
            ]
            .concat(),
        ),
        (
            "/v3/",
            [
                &by_url[..],
                &[
                    headers,
                    ("x-bare-forward-headers", "x-own, Accept"),
                    ("x-own", "1"),
                    ("accept", "odd"),
                ],
            ]
            .concat(),
        ),
        (
            "/v3/",
            [
                &by_url[..],
                &[
                    ("x-bare-headers-0", &*pieces[0]),
                    ("x-bare-headers-1", &*pieces[1]),
                    ("x-bare-headers-2", &*pieces[2]),
                ],
            ]
            .concat(),
        ),
    ];
    for (route, fields) in cases {
        let mut said = Vec::new();
        for visitor in &visitors {
            let answer = visitor.get_with(route, &fields).await;
            let host = visitor.host();
            said.push((asked(&heard).replace(host, "HOST"), agreed(&answer)));
        }
        let [theirs, ours] = &said[..] else {
            unreachable!()
        };
        assert_eq!(ours, theirs, "{route} {fields:?}");
    }
}

#[tokio::test]
async fn npms_server_and_ours_carry_uploads_and_version_3s_sockets_alike() {
    use futures_util::SinkExt as _;
    let (_theirs, visitors, _stage) = both().await;
    let origin = Origin::serving(|request| async move {
        let written = written(&request).lines().next().unwrap().to_owned();
        use http_body_util::BodyExt as _;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        http::Response::new(full(format!(
            "{written} {}",
            String::from_utf8_lossy(&body)
        )))
    })
    .await;
    let sockets = Origin::echoing_sockets().await;
    let url = format!("http://{}/up", origin.addr);
    let fields = [("x-bare-url", &*url), ("x-bare-headers", r#"{"Host":"a"}"#)];
    for visitor in &visitors {
        let answer = visitor
            .send_with(http::Method::POST, "/v3/", &fields, "a body")
            .await;
        assert_eq!(answer.text(), "POST /up a body");
        let mut socket = visitor.open_socket("/v3/").await;
        let connect = crate::v3::connect(&format!("ws://{}/", sockets.addr));
        socket.send(connect).await.unwrap();
        let open = r#"{"type":"open","protocol":"b","setCookies":["seen=1; Path=/"]}"#;
        assert_eq!(hear(&mut socket).await, Message::text(open));
        for said in [Message::text("text"), Message::binary(vec![1, 2, 3])] {
            socket.send(said.clone()).await.unwrap();
            assert_eq!(hear(&mut socket).await, said);
        }
    }
}
