//! The whole way over real sockets: an agent dials a hyper server, upgrades, registers, and frames flow; and what it
//! is told when one of the hops fails.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_tunnel::handshake::{
    HANDSHAKE_TIMEOUT, Registration, ServerTerms, Wanted, greet, register,
};
use adit_tunnel::ws::{self, ConnectError, ConnectOptions, Endpoint};
use adit_tunnel::{FrameHandler, Keepalive, LinkEnd, LinkFault, Outbox, drive};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use identity::{Mode, SecretKey};
use messages::{Disconnect, DisconnectCode, Frame, Granted, LinkLimits, Message, NodeId, StreamId};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

type Io = TokioIo<hyper::upgrade::Upgraded>;

/// Serves one HTTP connection as the uplink would: an upgrade on the connect path goes to `links`, all else is refused.
async fn serve_http<IO>(io: IO, links: mpsc::Sender<OnUpgrade>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        let links = links.clone();
        async move {
            assert_eq!(request.uri().path(), ws::CONNECT_PATH);
            assert!(
                request.headers()["user-agent"]
                    .to_str()
                    .unwrap()
                    .starts_with("adit-agent")
            );
            let response: Response<Full<Bytes>> = match ws::upgrade_response(&request) {
                Ok(response) => response.map(|()| Full::default()),
                Err(refused) => {
                    return Ok(refused.response().map(|text| Full::from(Bytes::from(text))));
                }
            };
            links.send(hyper::upgrade::on(&mut request)).await.unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service);
    drop(connection.with_upgrades().await);
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (tcp, _) = listener.accept().await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

/// Serves one connection and gives the upgraded stream of it.
async fn upgraded<IO>(io: IO, tasks: &mut JoinSet<()>) -> Io
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (links, mut upgraded) = mpsc::channel(1);
    tasks.spawn(serve_http(io, links));
    TokioIo::new(upgraded.recv().await.unwrap().await.unwrap())
}

struct Echo(Outbox);

impl FrameHandler for Echo {
    fn on_frame(&mut self, frame: Frame) -> Result<(), LinkFault> {
        self.0.push(frame).map_err(|_| LinkFault::Overflow)
    }
}

fn registration(endpoint: &Endpoint) -> Registration {
    Registration {
        audience: endpoint.audience(),
        expect_domain: None,
        wanted: Wanted::default(),
        token: None,
        policy: None,
        session: [1; 16],
        generation: None,
        mode: Mode::Exclusive,
        agent: "adit-agent/test".to_owned(),
        channel: None,
        timeout: HANDSHAKE_TIMEOUT,
    }
}

async fn admit(transport: &mut ws::WebSocket<Io>) {
    let limits = LinkLimits::default();
    let terms = ServerTerms {
        node: NodeId([1; 16]),
        domain: "localhost",
        time: 1_800_000_000,
        limits: &limits,
        accepts_audience: &|host| host == "127.0.0.1",
        channel: None,
        timeout: HANDSHAKE_TIMEOUT,
    };
    let claimant = greet(transport, &terms).await.unwrap();
    let label = claimant.registration().label();
    let granted = Granted {
        key_id: claimant.registration().key().thumbprint().to_string(),
        hostname: format!("{label}.localhost"),
        url: format!("http://{label}.localhost:8080"),
        tunnel: label,
        node: NodeId([1; 16]),
        generation: 1,
        links: 1,
        limits: LinkLimits::default(),
    };
    drop(claimant.grant(granted).await.unwrap());
}

#[tokio::test]
async fn an_agent_dials_registers_exchanges_frames_and_is_sent_away() {
    let (listener, address) = listen().await;
    let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
    let outbox = Outbox::default();
    let mut tasks = JoinSet::new();

    let server = async {
        let mut transport = ws::server(upgraded(accept(&listener).await, &mut tasks).await);
        admit(&mut transport).await;
        drive(
            transport,
            outbox.clone(),
            Echo(outbox.clone()),
            Keepalive::default(),
        )
        .await
    };
    let goodbye = Disconnect::new(DisconnectCode::Draining, "elsewhere, please");
    let agent = async {
        let connected = ws::connect(&endpoint, &ConnectOptions::default())
            .await
            .unwrap();
        assert_eq!((connected.peer, connected.channel), (address, None));
        let mut link = connected.transport;
        let granted = register(&mut link, &SecretKey::generate(), &registration(&endpoint))
            .await
            .unwrap();
        assert_eq!(granted.hostname, format!("{}.localhost", granted.tunnel));
        let frames: Vec<_> = [0_usize, 1, 4096, 65_536]
            .map(|len| Frame::body(StreamId(1), vec![b'x'; len].into(), false))
            .into();
        for frame in &frames {
            link.send(frame.clone()).await.unwrap();
        }
        for frame in frames {
            assert_eq!(
                Frame::decode(link.next().await.unwrap().unwrap()),
                Ok(frame)
            );
        }
        outbox.close(Some(goodbye.clone()));
        let last = Frame::decode(link.next().await.unwrap().unwrap()).unwrap();
        assert_eq!(
            Message::decode(&last),
            Ok(Message::Disconnect(goodbye.clone()))
        );
    };
    let (end, ()) = tokio::join!(server, agent);
    assert!(matches!(end, LinkEnd::Local(Some(_))), "{end:?}");
}

/// An authority, its PEM file, and an acceptor with a certificate for `localhost` from it.
fn private_authority() -> (tempfile::NamedTempFile, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let base64 = data_encoding::BASE64_MIME.encode(authority.der());
    std::fs::write(
        file.path(),
        format!("-----BEGIN CERTIFICATE-----\n{base64}-----END CERTIFICATE-----\n"),
    )
    .unwrap();

    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (file, TlsAcceptor::from(Arc::new(config)))
}

/// By name, so that the resolver's first address may be one where nobody listens.
#[tokio::test]
async fn over_tls_both_ends_see_the_same_channel() {
    let (authority, acceptor) = private_authority();
    let (listener, address) = listen().await;
    let endpoint: Endpoint = format!("https://localhost:{}", address.port())
        .parse()
        .unwrap();
    let options = ConnectOptions {
        tls: Some(ws::client_config(Some(authority.path())).unwrap()),
        ..ConnectOptions::default()
    };
    let mut tasks = JoinSet::new();
    let server = async {
        let tls = acceptor.accept(accept(&listener).await).await.unwrap();
        let exported = tls
            .get_ref()
            .1
            .export_keying_material([0; 32], ws::CHANNEL_LABEL, None)
            .unwrap();
        let mut transport = ws::server(upgraded(tls, &mut tasks).await);
        transport.send(Frame::ping(*b"over TLS")).await.unwrap();
        (exported, transport.next().await.unwrap().unwrap())
    };
    let body = Frame::body(StreamId(1), vec![b'x'; 65_536].into(), false);
    let agent = async {
        let mut connected = ws::connect(&endpoint, &options).await.unwrap();
        let ping = connected.transport.next().await.unwrap().unwrap();
        assert_eq!(ping, Frame::ping(*b"over TLS").to_bytes());
        connected.transport.send(body.clone()).await.unwrap();
        connected
    };
    let ((exported, received), connected) = tokio::join!(server, agent);
    assert!(received == body.to_bytes());
    assert_eq!(
        connected.channel,
        Some(data_encoding::BASE64URL_NOPAD.encode(&exported))
    );
}

#[tokio::test]
async fn a_certificate_from_nobody_known_is_refused_with_a_hint() {
    let (_, acceptor) = private_authority();
    let (other_authority, _) = private_authority();
    let (listener, address) = listen().await;
    let endpoint: Endpoint = format!("https://localhost:{}", address.port())
        .parse()
        .unwrap();
    let options = ConnectOptions {
        tls: Some(ws::client_config(Some(other_authority.path())).unwrap()),
        ..ConnectOptions::default()
    };
    let server = async { acceptor.accept(accept(&listener).await).await.map(drop) };
    let (accepted, connected) = tokio::join!(server, ws::connect(&endpoint, &options));
    assert!(accepted.is_err());
    let error = connected.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("CA file"), "{error}");
}

/// Connects to a server that answers the upgrade with these bytes.
async fn answered(response: &'static [u8]) -> ConnectError {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, address) = listen().await;
    let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
    let server = async {
        let mut tcp = accept(&listener).await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(response).await.unwrap();
        tcp.shutdown().await.unwrap();
    };
    let options = ConnectOptions::default();
    let ((), connected) = tokio::join!(server, ws::connect(&endpoint, &options));
    connected.unwrap_err()
}

#[tokio::test]
async fn a_server_that_does_not_upgrade_is_named_with_what_to_do() {
    let busy = answered(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
    assert!(busy.to_string().contains("503"), "{busy}");

    let moved =
        answered(b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://b.example/\r\n\r\n").await;
    assert!(
        moved.to_string().contains("give that server instead"),
        "{moved}"
    );
    assert!(matches!(
        moved,
        ConnectError::Refused {
            status: StatusCode::MOVED_PERMANENTLY,
            ..
        }
    ));

    let ssh = answered(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(matches!(ssh, ConnectError::Upgrade { .. }), "{ssh:?}");

    let other = answered(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    )
    .await;
    assert!(matches!(other, ConnectError::Upgrade { .. }), "{other:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_apart_from_one_that_is_silent() {
    let (listener, address) = listen().await;
    let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
    let impatient = ConnectOptions {
        timeout: Duration::from_millis(100),
        ..ConnectOptions::default()
    };
    let silent = ws::connect(&endpoint, &impatient).await.unwrap_err();
    assert!(
        matches!(
            silent,
            ConnectError::TimedOut {
                hop: "opening the WebSocket",
                ..
            }
        ),
        "{silent:?}"
    );

    drop(listener);
    let refused = ws::connect(&endpoint, &ConnectOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ConnectError::Connect { .. }),
        "{refused:?}"
    );
    assert!(refused.source().is_some());
}

#[tokio::test]
async fn a_client_of_another_kind_is_answered_in_plain_text() {
    let (listener, address) = listen().await;
    let (links, _upgraded) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    let server = async { serve_http(accept(&listener).await, links).await };
    let browser = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(tcp))
                .await
                .unwrap();
        tasks.spawn(async move { drop(connection.await) });
        let request = Request::get(ws::CONNECT_PATH)
            .header("host", "localhost")
            .header("user-agent", "adit-agent, but not really")
            .body(Full::default())
            .unwrap();
        sender.send_request(request).await.unwrap()
    };
    let ((), response): ((), Response<Incoming>) = tokio::join!(server, browser);
    assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(response.headers()["sec-websocket-version"], "13");
}

#[test]
fn a_ca_file_that_is_none_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = ws::client_config(Some(file.path()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(file.path().to_str().unwrap()) && error.contains("PEM"),
        "{error}"
    );
    let error = ws::client_config(Some("/nonexistent/ca.pem".as_ref()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
}
