//! Against the library as the other end: what either side writes, the other understands.

use proptest::collection::vec;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WsFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use super::*;

/// Carries frames of these sizes both ways at once, over a stream that holds `room` bytes.
async fn exchange(masking: Masking, theirs: Role, sizes: &[usize], room: usize) {
    let (near, far) = duplex(room);
    let mut ours = WebSocket::new(near, masking, &[]);
    let mut library = WebSocketStream::from_raw_socket(far, theirs, None).await;
    let (mut to_us, mut from_us) = (&mut library).split();
    let (mut to_them, mut from_them) = (&mut ours).split();
    let up = async {
        for len in sizes {
            to_them.feed(whole(*len)).await.unwrap();
        }
        to_them.flush().await.unwrap();
    };
    let down = async {
        for len in sizes {
            to_us
                .feed(WsMessage::Binary(whole(*len).to_bytes()))
                .await
                .unwrap();
        }
        to_us.flush().await.unwrap();
    };
    let read_up = async {
        for len in sizes {
            let got = from_us.next().await.unwrap().unwrap();
            assert!(
                got == WsMessage::Binary(whole(*len).to_bytes()),
                "{len} bytes from us"
            );
        }
    };
    let read_down = async {
        for len in sizes {
            let got = from_them.next().await.unwrap().unwrap();
            assert!(got == whole(*len).to_bytes(), "{len} bytes to us");
        }
    };
    tokio::join!(up, down, read_up, read_down);
}

/// A frame of so many bytes in all, of a tag that may have as many.
fn whole(len: usize) -> Frame {
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(len - HEADER_LEN).collect();
    Frame::new(Tag::HttpResponse, Flags::NONE, StreamId(1), payload.into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn messages_of_any_size_are_understood_both_ways(
        sizes in vec(prop_oneof![HEADER_LEN..300, 300..20_000_usize, HEADER_LEN..=MAX_FRAME], 1..12),
        room in prop_oneof![1..200_usize, 1000..200_000_usize],
        end in 0..3,
    ) {
        let (masking, theirs) = match end {
            0 => (Masking::Server, Role::Client),
            1 => (Masking::client(false), Role::Server),
            _ => (Masking::client(true), Role::Server),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(exchange(masking, theirs, &sizes, room));
    }
}

/// A link's ends: ours and the library's.
async fn ends(server: bool) -> (WebSocket<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (near, far) = duplex(1 << 20);
    let (masking, theirs) = if server {
        (Masking::Server, Role::Client)
    } else {
        (Masking::client(false), Role::Server)
    };
    let library = WebSocketStream::from_raw_socket(far, theirs, None).await;
    (WebSocket::new(near, masking, &[]), library)
}

#[tokio::test]
async fn fragments_of_the_library_are_put_together() {
    for server in [true, false] {
        let (mut ours, mut library) = ends(server).await;
        let whole = body(20_000).to_bytes();
        let parts = [
            (0, 3, false),
            (3, 3, false),
            (3, 18_000, false),
            (18_000, whole.len(), true),
        ];
        for (at, (start, end, last)) in parts.into_iter().enumerate() {
            let data = if at == 0 {
                Data::Binary
            } else {
                Data::Continue
            };
            let part = WsFrame::message(whole.slice(start..end), OpCode::Data(data), last);
            library.send(WsMessage::Frame(part)).await.unwrap();
        }
        assert_eq!(ours.next().await.unwrap().unwrap(), whole);
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for server in [true, false] {
        let (mut ours, mut library) = ends(server).await;
        let farewell = CloseFrame {
            code: CloseCode::Away,
            reason: "maintenance".into(),
        };
        library.close(Some(farewell)).await.unwrap();
        assert!(ours.next().await.is_none());
        assert!(ours.next().await.is_none(), "and it stays at the end");
        let answer = library.next().await.unwrap().unwrap();
        let WsMessage::Close(Some(answer)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(answer.code, CloseCode::Away);
    }
}

#[tokio::test]
async fn closing_says_so_once_and_waits_for_nothing_else() {
    for server in [true, false] {
        let (mut ours, mut library) = ends(server).await;
        ours.close().await.unwrap();
        ours.close().await.unwrap();
        let error = ours.send(body(1)).await.unwrap_err();
        assert!(matches!(error, TransportError::Protocol(_)), "{error:?}");
        let close = library.next().await.unwrap().unwrap();
        let WsMessage::Close(Some(close)) = close else {
            panic!("{close:?}")
        };
        assert_eq!(close.code, CloseCode::Normal);
        library.flush().await.unwrap();
        assert!(ours.next().await.is_none(), "the peer has closed too");
    }
}

#[tokio::test]
async fn the_library_takes_what_each_kind_of_client_masks_with() {
    for encrypted in [true, false] {
        let sizes = [HEADER_LEN, 200, 70_000];
        exchange(Masking::client(encrypted), Role::Server, &sizes, 1 << 20).await;
    }
}
