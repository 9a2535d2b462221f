//! How links end: by this side, by the other, and by what nobody survives.

use super::*;

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_and_says_goodbye_last() {
    let outbox = Outbox::default();
    for stream in 1..=3 {
        outbox.push(body(stream, b"answer")).unwrap();
    }
    outbox.close(Some(leaving()));
    outbox.close(None);
    assert_eq!(outbox.push(body(4, b"late")), Err(crate::PushError::Closed));
    let (end, mut said, _) = play(&outbox, |mut peer| async move { rest(&mut peer).await }).await;
    assert_eq!(said.pop(), Some(Message::Disconnect(leaving())));
    assert_eq!(said.len(), 3);
    assert!(matches!(end, LinkEnd::Local(Some(last)) if last == leaving()));
}

#[tokio::test(start_paused = true)]
async fn closing_an_idle_link_wakes_it() {
    let outbox = Outbox::default();
    let began = Instant::now();
    let (end, said, _) = play(&outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            outbox.close(None);
            rest(&mut peer).await
        }
    })
    .await;
    assert!(matches!(end, LinkEnd::Local(None)), "{end:?}");
    assert_eq!((said, began.elapsed().as_secs()), (vec![], 3));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_goodbye_delays_it_by_a_second_only() {
    let outbox = Outbox::default();
    for stream in 1..=100 {
        outbox.push(body(stream, b"nobody reads this")).unwrap();
    }
    let (link, other) = pipe::pair_holding(1);
    let (_, took, _) = play_over(link, other, &outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            outbox.close(Some(leaving()));
            let closed = Instant::now();
            // Sends on, and never reads: until the other end is dropped.
            while peer.send(Frame::ping([0; 8])).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            closed.elapsed()
        }
    })
    .await;
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_millis(1100),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_from_the_peer_ends_the_link_with_its_reason() {
    let replaced = Disconnect {
        spread_ms: 250,
        ..Disconnect::new(DisconnectCode::Replaced, "newer session")
    };
    let sent = replaced.encode();
    let (end, said, _) = play(&Outbox::default(), |mut peer| async move {
        peer.send(sent).await.unwrap();
        rest(&mut peer).await
    })
    .await;
    assert!(matches!(end, LinkEnd::Disconnected(told) if told == replaced));
    assert_eq!(said, [], "nothing is said to somebody who has left");
}

fn draining() -> Frame {
    Disconnect::new(DisconnectCode::Draining, "going down").encode()
}

#[tokio::test(start_paused = true)]
async fn a_link_goes_on_after_the_notice_of_a_peer_that_is_going_down() {
    let (end, said, seen) = play(&Outbox::default(), |mut peer| async move {
        peer.send(draining()).await.unwrap();
        peer.send(body(1, b"still here")).await.unwrap();
        peer.send(Frame::ping([7; 8])).await.unwrap();
        next(&mut peer).await
    })
    .await;
    assert_eq!(said, Some(Message::Pong([7; 8])), "it is not left");
    assert_eq!(seen.frames.try_iter().count(), 1);
    assert!(matches!(end, LinkEnd::Closed), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn after_the_notice_any_disconnect_is_the_end() {
    for second in [
        draining(),
        Disconnect::new(DisconnectCode::Replaced, "").encode(),
    ] {
        let (end, said, _) = play(&Outbox::default(), |mut peer| async move {
            peer.send(draining()).await.unwrap();
            peer.send(second).await.unwrap();
            rest(&mut peer).await
        })
        .await;
        assert!(matches!(end, LinkEnd::Disconnected(_)), "{end:?}");
        assert_eq!(said, []);
    }
}

/// What a link is held with that does not know how to move, such as a server's.
struct Unmoved;

impl FrameHandler for Unmoved {
    fn on_frame(&mut self, _: Frame) -> Result<(), LinkFault> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_says_nothing_of_notices_ends_with_the_first() {
    let (link, mut peer) = pipe::pair();
    peer.send(draining()).await.unwrap();
    let end = drive(link, Outbox::default(), Unmoved, Keepalive::default()).await;
    assert!(
        matches!(&end, LinkEnd::Disconnected(told) if told.code == DisconnectCode::Draining),
        "{end:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_told_and_cut_off() {
    let on_link =
        |tag, payload: &'static [u8]| Bytes::from([&[tag, 0, 0, 0, 0, 0], payload].concat());
    for (bytes, what) in [
        (Bytes::from_static(b"\x12"), "6-byte header"),
        (on_link(0x12, b"body of the link"), "its stream id is 0"),
        (
            Bytes::from_static(&[0x30, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]),
            "its stream id is not 0",
        ),
        (on_link(0x30, b"ping"), "8 bytes"),
        (on_link(0x30, b"too long ping"), "limit"),
        (on_link(0x32, b"{"), "Disconnect"),
        (
            on_link(0x02, b"a.registration.again"),
            "RegistrationRequest",
        ),
        (Bytes::from_static(&[0x77, 0x80, 0, 0, 0, 0]), "CRITICAL"),
        (
            Bytes::from_static(&[0x12, 0, 0, 0, 0x02, 0x9a]),
            "never opened",
        ),
    ] {
        let outbox = Outbox::default();
        let (end, mut said, seen) = play(&outbox, |mut peer| {
            let outbox = outbox.clone();
            async move {
                peer.send_raw(bytes).await.unwrap();
                outbox.push(body(1, b"what waits is dropped")).unwrap();
                rest(&mut peer).await
            }
        })
        .await;
        assert!(matches!(end, LinkEnd::Fault(_)), "{what}: {end:?}");
        let Some(Message::Disconnect(told)) = said.pop() else {
            panic!("{what}: nothing was said")
        };
        assert_eq!(told.code, DisconnectCode::Protocol);
        assert!(
            told.reason.contains(what),
            "{what:?} is not in {:?}",
            told.reason
        );
        assert_eq!(seen.frames.try_iter().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_dropped_closes_its_outbox() {
    let (link, _other) = pipe::pair();
    let outbox = Outbox::default();
    let (handler, _seen) = recorder();
    outbox.push(body(1, b"lost")).unwrap();
    drop(Box::pin(drive(
        link,
        outbox.clone(),
        handler,
        Keepalive::default(),
    )));
    assert!(
        !outbox.is_closed(),
        "a future that never ran has begun nothing"
    );

    let (link, _other) = pipe::pair();
    let (handler, _seen) = recorder();
    let mut driven = Box::pin(drive(link, outbox.clone(), handler, Keepalive::default()));
    assert!(futures_util::poll!(&mut driven).is_pending());
    drop(driven);
    assert!(outbox.is_closed());
    assert_eq!(outbox.queued_bytes(), 0);
}
