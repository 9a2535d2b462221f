//! Other ways to reach a server: TLS with an authority of one's own, and a socket of this machine.

use std::sync::Arc;

use adit_bus::ConnectError;
use data_encoding::BASE64;
use messages::NodeId;

use crate::fleet::{Actor, Recorder};
use crate::server::{Server, free_port};

/// A server that speaks TLS on a second port, and the file of the authority that vouches for it.
async fn start() -> (Server, u16, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("there is room");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.expect("a certificate can be made");
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("there is room");
        path.to_str().expect("it is plain text").to_owned()
    };
    let certificate = file("cert.pem", pem("CERTIFICATE", made.cert.der()));
    let key = file(
        "key.pem",
        pem("PRIVATE KEY", made.signing_key.serialized_der()),
    );
    let port = free_port();
    let arguments = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ];
    (Server::start(&arguments).await, port, directory)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_talk_over_tls() {
    let (_server, port, directory) = start().await;
    let authority = directory.path().join("cert.pem");
    let url = format!("rediss://localhost:{port}/?tls_ca={}", authority.display());
    let (a, b) = (Actor::join(&url, 1).await, Actor::join(&url, 2).await);
    a.is_up().await;
    a.talks_with(&b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_nobody_vouches_for_is_refused() {
    let (_server, port, directory) = start().await;
    let authority = directory.path().join("cert.pem");
    for url in [
        format!("rediss://localhost:{port}"),
        format!("rediss://127.0.0.1:{port}/?tls_ca={}", authority.display()),
        format!("rediss://localhost:{port}/?tls_ca=/no/such/file"),
    ] {
        let joined = adit_bus::connect(&url, NodeId([1; 16]), Arc::new(Recorder::default())).await;
        let error = joined.expect_err("nobody vouches for it");
        assert!(matches!(error, ConnectError::Refused(_)), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_talk_over_a_socket_of_this_machine() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("redis.sock");
    let socket = socket.to_str().expect("it is plain text");
    let _server = Server::start(&["--unixsocket", socket]).await;
    let url = format!("redis+unix://{socket}");
    let (a, b) = (Actor::join(&url, 1).await, Actor::join(&url, 2).await);
    a.is_up().await;
    a.talks_with(&b).await;
}
