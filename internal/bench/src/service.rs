//! The local service behind the agent.

use std::sync::Arc;

use tokio::{net::TcpStream, sync::Semaphore};

use crate::{
    LARGE, MESSAGE, SMALL, STEP, STEPS,
    wire::{Wire, find},
};

/// What all of the service's connections share. `Clone` is another handle on it.
#[derive(Debug, Clone)]
pub struct Service {
    steps: Arc<Steps>,
    answers: Arc<Answers>,
}

/// How both ends go in step: one permit a step, given by whoever has received it.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Of a download: the visitor has the step before.
    pub(crate) down: Semaphore,
    /// Of an upload: the service has the step.
    pub(crate) up: Semaphore,
}

/// Made beforehand.
#[derive(Debug)]
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    steps: Vec<u8>,
    taken: Vec<u8>,
}

/// To the key that [`Visitor::upgrade`](crate::Visitor::upgrade) sends (both from RFC 6455, 1.3).
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

impl Default for Service {
    fn default() -> Self {
        Self {
            steps: Arc::new(Steps {
                down: Semaphore::new(0),
                up: Semaphore::new(0),
            }),
            answers: Arc::new(Answers {
                small: [head(SMALL), vec![b'x'; SMALL]].concat(),
                large: head(LARGE),
                steps: head(STEPS * STEP),
                taken: head(0),
            }),
        }
    }
}

/// As nginx writes it.
fn head(length: usize) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
         Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nConnection: keep-alive\r\n\
         ETag: \"386d4380-400\"\r\nAccept-Ranges: bytes\r\n\r\n"
    )
    .into_bytes()
}

impl Service {
    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Serves one connection of the agent to its end.
    pub async fn serve(self, tcp: TcpStream) {
        let mut wire = Wire::new(tcp);
        while let Some(head) = wire.head().await {
            // Up to the space before the version.
            let target = head.split(|byte| *byte == b'\r').next();
            let target = target.and_then(|line| line.strip_suffix(b" HTTP/1.1"));
            match target.expect("it is HTTP/1.1") {
                b"GET /small" => wire.send(&self.answers.small).await,
                b"GET /large" => {
                    wire.send(&self.answers.large).await;
                    wire.send_zeros(LARGE).await;
                }
                b"GET /steps" => {
                    wire.send(&self.answers.steps).await;
                    self.send_steps(&mut wire).await;
                }
                b"POST /large" => {
                    assert!(find(head, b"\r\ncontent-length: 67108864\r\n").is_some());
                    wire.skip(LARGE).await;
                    wire.send(&self.answers.taken).await;
                }
                b"POST /steps" => {
                    self.take_steps(&mut wire).await;
                    wire.send(&self.answers.taken).await;
                }
                b"GET /socket" => {
                    wire.send(UPGRADED).await;
                    echo(&mut wire).await;
                }
                other => panic!("{} is not served", other.escape_ascii()),
            }
        }
    }

    async fn send_steps(&self, wire: &mut Wire) {
        for _ in 0..STEPS {
            wait(&self.steps.down).await;
            wire.send_zeros(STEP).await;
        }
    }

    async fn take_steps(&self, wire: &mut Wire) {
        for _ in 0..STEPS {
            wire.skip(STEP).await;
            self.steps.up.add_permits(1);
        }
    }
}

pub(crate) async fn wait(step: &Semaphore) {
    step.acquire().await.expect("it is never closed").forget();
}

/// Echoes masked binary messages of [`MESSAGE`] bytes until the other side closes.
async fn echo(wire: &mut Wire) {
    let mut answer = [0; 2 + MESSAGE];
    while let Some(frame) = wire.exactly(6 + MESSAGE).await {
        let (header, payload) = frame.split_at(6);
        assert_eq!(header[0], 0x82, "a whole binary message");
        assert_eq!(usize::from(header[1]), 0x80 | MESSAGE, "masked");
        answer[0] = 0x82;
        answer[1] = header[1] & 0x7f;
        for (at, (to, from)) in answer[2..].iter_mut().zip(payload).enumerate() {
            *to = from ^ header[2 + at % 4];
        }
        wire.send(&answer).await;
    }
}
