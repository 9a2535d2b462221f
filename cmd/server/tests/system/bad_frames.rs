//! Agents that break the protocol: the stream or the link ends, as SPEC.md says, and nobody else notices.

use bytes::Bytes;
use messages::{Flags, Frame, Message, StreamId, Tag};
use testkit::{hostile::HostileAgent, process::Server};

/// Whether the link survives a frame; asked by a ping behind it.
async fn survives(frame: Frame) -> bool {
    let server = Server::start(&[]).await;
    let mut agent = HostileAgent::register(&server).await;
    agent.send(frame).await;
    agent.send(Frame::ping(*b"are you?")).await;
    loop {
        match agent.hear().await {
            Some((_, Message::Pong(data))) => {
                assert_eq!(&data, b"are you?");
                return true;
            }
            Some((_, Message::Disconnect(_))) | None => return false,
            Some(_) => {}
        }
    }
}

fn unknown(flags: Flags) -> Frame {
    Frame {
        tag: 0x77,
        flags,
        stream: StreamId::LINK,
        payload: Bytes::from_static(b"?"),
    }
}

#[tokio::test]
async fn an_unknown_tag_is_skipped_unless_it_is_critical() {
    assert!(survives(unknown(Flags::NONE)).await);
    assert!(!survives(unknown(Flags::CRITICAL)).await);
}

#[tokio::test]
async fn a_stream_that_was_never_opened_ends_the_link() {
    assert!(!survives(Frame::body(StreamId(7), Bytes::from_static(b"x"), false)).await);
}

#[tokio::test]
async fn what_only_a_server_says_ends_the_link() {
    let request = Frame {
        tag: Tag::HttpRequest.as_u8(),
        flags: Flags::END,
        stream: StreamId(1),
        payload: Bytes::new(),
    };
    assert!(!survives(request).await);
}

#[tokio::test]
async fn a_malformed_head_ends_its_stream_only() {
    let server = Server::start(&[]).await;
    let mut agent = HostileAgent::register(&server).await;
    let visitor = agent.visitor();
    let answering = async {
        let (stream, _) = agent.request().await;
        let garbage = Bytes::from_static(b"\x00\x00\x00\x02\xff");
        agent
            .send(Frame {
                tag: Tag::HttpResponse.as_u8(),
                flags: Flags::NONE,
                stream,
                payload: garbage,
            })
            .await;
        let (stream, _) = agent.request().await;
        agent.answer(stream, 200, &[], "fine", true).await;
    };
    let asking = async {
        let first = visitor.get("/").await;
        (first, visitor.get("/").await)
    };
    let ((first, second), ()) = tokio::join!(asking, answering);
    assert_eq!(
        (first.status.as_u16(), first.error()),
        (502, Some("bad-response"))
    );
    assert_eq!(second.text(), "fine");
}

#[tokio::test]
async fn body_after_the_end_is_ignored_and_the_link_lives() {
    let server = Server::start(&[]).await;
    let mut agent = HostileAgent::register(&server).await;
    let visitor = agent.visitor();
    let answering = async {
        for _ in 0..2 {
            let (stream, _) = agent.request().await;
            agent.answer(stream, 200, &[], "whole", true).await;
            agent
                .send(Frame::body(stream, Bytes::from_static(b"more"), true))
                .await;
        }
    };
    let asking = async {
        assert_eq!(visitor.get("/").await.text(), "whole");
        assert_eq!(visitor.get("/").await.text(), "whole");
    };
    tokio::join!(asking, answering);
}
