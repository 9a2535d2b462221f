//! Whoever calls the public hostname.

use std::{fmt, net::SocketAddr};

use tokio::net::TcpStream;

use crate::{LARGE, MESSAGE, SMALL, STEP, STEPS, Service, service::wait, wire::Wire};

/// A connection to the server, with everything it will say made beforehand.
pub struct Visitor {
    wire: Wire,
    service: Service,
    get: Vec<u8>,
    get_large: Vec<u8>,
    get_steps: Vec<u8>,
    post_large: Vec<u8>,
    post_steps: Vec<u8>,
    upgrade: Vec<u8>,
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").finish_non_exhaustive()
    }
}

impl Visitor {
    /// Connects; `host` is the tunnel's, and `service` is behind it.
    pub async fn open(server: SocketAddr, host: &str, service: &Service) -> Self {
        let head = |line: &str, more: &str| {
            format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").into_bytes()
        };
        let length = |length: usize| format!("Content-Length: {length}\r\n");
        Self {
            wire: Wire::new(TcpStream::connect(server).await.expect("it listens")),
            service: service.clone(),
            get: head("GET /small", ""),
            get_large: head("GET /large", ""),
            get_steps: head("GET /steps", ""),
            post_large: head("POST /large", &length(LARGE)),
            post_steps: head("POST /steps", &length(STEPS * STEP)),
            upgrade: head(
                "GET /socket",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
        }
    }

    /// A request without a body, a response of [`SMALL`] bytes.
    pub async fn get(&mut self) {
        self.wire.send(&self.get).await;
        self.answer().await;
        self.wire.skip(SMALL).await;
    }

    /// A response of [`LARGE`] bytes, as fast as it goes.
    pub async fn download(&mut self) {
        self.wire.send(&self.get_large).await;
        self.answer().await;
        self.wire.skip(LARGE).await;
    }

    /// A request of [`LARGE`] bytes, as fast as it goes.
    pub async fn upload(&mut self) {
        self.wire.send(&self.post_large).await;
        self.wire.send_zeros(LARGE).await;
        self.answer().await;
    }

    /// A response in [`STEPS`] steps.
    pub async fn step_down(&mut self) {
        self.wire.send(&self.get_steps).await;
        self.answer().await;
        for _ in 0..STEPS {
            self.service.steps().down.add_permits(1);
            self.wire.skip(STEP).await;
        }
    }

    /// A request in [`STEPS`] steps.
    pub async fn step_up(&mut self) {
        self.wire.send(&self.post_steps).await;
        for _ in 0..STEPS {
            self.wire.send_zeros(STEP).await;
            wait(&self.service.steps().up).await;
        }
        self.answer().await;
    }

    /// Makes a WebSocket of the connection: after this there is only [`Visitor::echo`].
    pub async fn upgrade(&mut self) {
        self.wire.send(&self.upgrade).await;
        self.status(b"HTTP/1.1 101 ").await;
    }

    /// A message of [`MESSAGE`] bytes there and back.
    pub async fn echo(&mut self) {
        let length = u8::try_from(MESSAGE).expect("its length takes one byte");
        // Masked with zeros, which mask nothing.
        let mut message = [b'x'; 6 + MESSAGE];
        message[..6].copy_from_slice(&[0x82, 0x80 | length, 0, 0, 0, 0]);
        self.wire.send(&message).await;
        let answer = self.wire.exactly(2 + MESSAGE).await;
        let answer = answer.expect("it is not closed");
        assert_eq!(answer[2..], message[6..], "the echo is the message");
    }

    async fn answer(&mut self) {
        self.status(b"HTTP/1.1 200 ").await;
    }

    async fn status(&mut self, wanted: &[u8]) {
        let head = self.wire.head().await.expect("there is an answer");
        assert!(head.starts_with(wanted), "{}", head.escape_ascii());
    }
}
