//! `Expect: 100-continue`: a body that the service does not want never crosses the tunnel.

use std::time::Duration;

use testkit::{
    origin::{Origin, read_head},
    process::{Agent, Key, Server},
    visitor::Raw,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc},
    time::timeout,
};

const ASKED: &str =
    "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// A service that says what it is told to say, when it is told, and then reports everything it reads.
struct Service {
    origin: Origin,
    heads: mpsc::Receiver<String>,
    rest: mpsc::Receiver<Vec<u8>>,
    speak: &'static Semaphore,
}

impl Service {
    async fn saying(words: &'static [&'static str]) -> Self {
        let (heard, heads) = mpsc::channel(8);
        let (read, rest) = mpsc::channel(8);
        let speak: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
        let origin = Origin::accepting(move |mut tcp| {
            let (heard, read) = (heard.clone(), read.clone());
            async move {
                let head = read_head(&mut tcp).await;
                heard.send(String::from_utf8(head).unwrap()).await.unwrap();
                for word in words {
                    speak.acquire().await.unwrap().forget();
                    tcp.write_all(word.as_bytes()).await.unwrap();
                }
                let mut body = Vec::new();
                let mut piece = [0; 1024];
                while let Ok(Ok(got @ 1..)) =
                    timeout(Duration::from_secs(3), tcp.read(&mut piece)).await
                {
                    body.extend_from_slice(&piece[..got]);
                    if body == b"hello" {
                        let done = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
                        tcp.write_all(done).await.unwrap();
                    }
                }
                read.send(body).await.unwrap();
            }
        })
        .await;
        Self {
            origin,
            heads,
            rest,
            speak,
        }
    }

    /// Publishes it, and lets a visitor ask.
    async fn asked(&mut self) -> (Server, Agent, Raw) {
        let server = Server::start(&[]).await;
        let agent = Agent::publish(&server, &self.origin.port(), &Key::fresh(), &["-q"]).await;
        let mut visitor = agent.visitor().raw().await;
        visitor.say(ASKED).await;
        let head = self.heads.recv().await.unwrap();
        assert!(head.contains("expect: 100-continue\r\n"), "{head}");
        (server, agent, visitor)
    }
}

#[tokio::test]
async fn the_visitor_is_asked_for_the_body_only_after_the_service_asked() {
    let mut service = Service::saying(&["HTTP/1.1 100 Continue\r\n\r\n"]).await;
    let (_server, _agent, mut visitor) = service.asked().await;
    let early = timeout(Duration::from_millis(200), visitor.until("\r\n\r\n")).await;
    assert!(early.is_err(), "{:?}", early.map(String::from_utf8));
    service.speak.add_permits(1);
    assert_eq!(
        visitor.until("\r\n\r\n").await,
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    visitor.say("hello").await;
    visitor.until("done").await;
    drop((_server, _agent, visitor));
    assert_eq!(service.rest.recv().await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_refusal_reaches_the_visitor_and_his_body_nobody() {
    for (refusal, status) in [
        (
            "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 417",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx-why: quota\r\n\r\nno",
            "HTTP/1.1 403",
        ),
    ] {
        let words: &'static [&'static str] = Box::leak(Box::new([refusal]));
        let mut service = Service::saying(words).await;
        let (_server, _agent, mut visitor) = service.asked().await;
        service.speak.add_permits(1);
        let answer = String::from_utf8(visitor.until("\r\n\r\nno").await).unwrap();
        assert!(answer.starts_with(status), "{answer}");
        // Whatever this visitor does now, it is too late.
        visitor.try_send(b"hello").await;
        assert_eq!(service.rest.recv().await.unwrap(), b"", "{status}");
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_gets_the_body_after_a_second() {
    let mut service = Service::saying(&[]).await;
    let (_server, _agent, mut visitor) = service.asked().await;
    assert_eq!(
        visitor.until("\r\n\r\n").await,
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    visitor.say("hello").await;
    visitor.until("done").await;
}
