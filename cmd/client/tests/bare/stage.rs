//! A Bare server, and remotes that say what they heard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Method, Request};
use http_body_util::Full;
use testkit::origin::{Origin, read_head};
use testkit::process::Program;
use testkit::visitor::{Answer, Visitor};
use tokio::io::AsyncWriteExt as _;

/// A running `adit bare --listen`, and its client.
pub(crate) struct Stage {
    pub(crate) program: Program,
    pub(crate) client: Visitor,
}

/// One that may fetch from this machine, as the tests' remotes need it.
pub(crate) async fn open() -> Stage {
    with(&["--no-block-local"]).await
}

pub(crate) async fn with(flags: &[&str]) -> Stage {
    let line = [&["bare", "--listen", "127.0.0.1:0"][..], flags].concat();
    let mut program = Program::start(env!("CARGO_BIN_EXE_adit"), line);
    let address = |line: &str| line.strip_prefix("http://").map(str::to_owned);
    let host = program.line("its URL", address).await;
    let addr: SocketAddr = host.parse().unwrap();
    Stage {
        program,
        client: Visitor::new(addr, host),
    }
}

/// Fields of a request.
pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

impl Stage {
    /// A request of version 3 for `path` of that remote, with this X-Bare-Headers.
    pub(crate) async fn v3(&self, remote: &Origin, path: &str, headers: &str) -> Answer {
        self.v3_with(remote, path, headers, &[]).await
    }

    pub(crate) async fn v3_with(
        &self,
        remote: &Origin,
        path: &str,
        headers: &str,
        fields: Fields<'_>,
    ) -> Answer {
        let url = format!("http://{}{path}", remote.addr);
        let all = [
            &[("x-bare-url", &*url), ("x-bare-headers", headers)],
            fields,
        ]
        .concat();
        self.client.get_with("/v3/", &all).await
    }

    /// A request to `route` whose remote is named by four headers, with more.
    pub(crate) async fn parts(&self, route: &str, remote: &Origin, fields: Fields<'_>) -> Answer {
        let port = remote.port();
        let all = [&parts(&port, "http:")[..], fields].concat();
        self.client.get_with(route, &all).await
    }

    /// A request of any method and body.
    pub(crate) async fn send(
        &self,
        method: Method,
        fields: Fields<'_>,
        body: impl Into<bytes::Bytes>,
    ) -> Answer {
        let request = Request::builder().method(method).uri("/v3/");
        let request = fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let request = request.body(Full::new(body.into())).unwrap();
        self.client.request(request).await
    }
}

/// The four headers that name a remote on this machine.
pub(crate) fn parts<'a>(port: &'a str, protocol: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("x-bare-host", "127.0.0.1"),
        ("x-bare-port", port),
        ("x-bare-protocol", protocol),
        ("x-bare-path", "/path?q"),
    ]
}

/// What a remote has heard, head by head.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> String {
        self.all().pop().expect("the remote was asked")
    }
}

/// A remote that keeps the heads it is sent, byte for byte, and answers each with these bytes, on connections that stay.
pub(crate) async fn remote(answer: &'static str) -> (Origin, Heard) {
    let heard = Heard::default();
    let keeping = heard.clone();
    let origin = Origin::accepting(move |mut tcp| {
        let heard = keeping.clone();
        async move {
            loop {
                let head = String::from_utf8(read_head(&mut tcp).await).unwrap();
                if head.is_empty() {
                    return;
                }
                heard.0.lock().unwrap().push(head);
                if tcp.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (origin, heard)
}

/// A small good answer.
pub(crate) const OK: &str = "HTTP/1.1 200 Fine\r\nX-WeIrD: one\r\nContent-Length: 2\r\n\r\nhi";

/// Status, code and id of an error.
pub(crate) fn error(answer: &Answer) -> (u16, String, String) {
    let json: serde_json::Value = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| panic!("an error in JSON, not {:?}", answer.text()));
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["content-type"], "application/json");
    (answer.status.as_u16(), text("code"), text("id"))
}

/// The same, to compare with.
pub(crate) fn told(status: u16, code: &str, id: &str) -> (u16, String, String) {
    (status, code.to_owned(), id.to_owned())
}

/// A 400 about a header of the request.
pub(crate) fn of_header(code: &str, header: &str) -> (u16, String, String) {
    told(400, code, &format!("request.headers.{header}"))
}
