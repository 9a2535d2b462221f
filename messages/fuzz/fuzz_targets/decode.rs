//! Whatever bytes a peer sends: nothing panics, and what decodes can be encoded again and decodes to the same.
//!
//! ```text
//! cargo +nightly fuzz run decode -- -max_total_time=30 -max_len=90000
//! ```
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use messages::{Frame, MAX_FRAME, Message, RegistrationResponse, StreamId};

fuzz_target!(|data: &[u8]| {
    let Ok(frame) = Frame::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    assert!(
        data.len() <= MAX_FRAME,
        "a frame above the limit was let through"
    );
    assert_eq!(frame.to_bytes(), data, "framing lost bytes");
    assert!(frame.cost() as usize <= frame.payload.len() + 64);
    match Message::decode(&frame) {
        Ok(message) => {
            let again = encode(frame.stream, &message);
            let again = Frame::decode(again.to_bytes()).expect("encoders stay within the limits");
            let read = Message::decode(&again).expect("encoders write what decoders read");
            assert!(
                read == message || may_be_cut(&message),
                "{read:?} is not {message:?}"
            );
            assert_eq!(again.tag(), frame.tag());
            assert_eq!(again.is_end(), frame.is_end());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// Free texts of control messages are cut when sent, but not refused when received.
fn may_be_cut(message: &Message) -> bool {
    matches!(
        message,
        Message::Disconnect(_)
            | Message::Notice(_)
            | Message::RegistrationResponse(RegistrationResponse::Refused(_))
    )
}

fn encode(stream: StreamId, message: &Message) -> Frame {
    match message {
        Message::Hello(hello) => hello.encode(),
        Message::RegistrationRequest(jws) => Frame::registration_request(jws.clone()),
        Message::RegistrationResponse(response) => response.encode(),
        Message::HttpRequest { head, body, end } => {
            head.encode(stream, body, *end).expect("it was decoded")
        }
        Message::HttpResponse { head, body, end } => {
            head.encode(stream, body, *end).expect("it was decoded")
        }
        Message::Body { data, end } => Frame::body(stream, data.clone(), *end),
        Message::Trailers(trailers) => {
            Frame::trailers(stream, trailers).expect("they were decoded")
        }
        Message::WsRequest(head) => head.encode_upgrade(stream).expect("it was decoded"),
        Message::WsResponse(head) => head.encode_accepted(stream).expect("it was decoded"),
        Message::WsMessage { data, text, more } => {
            Frame::ws_message(stream, data.clone(), *text, *more)
        }
        Message::WsTeardown(teardown) => Frame::ws_teardown(stream, teardown),
        Message::Window(credit) => Frame::window(stream, *credit),
        Message::Reset(reset) => Frame::reset(stream, reset),
        Message::Ping(data) => Frame::ping(*data),
        Message::Pong(data) => Frame::pong(*data),
        Message::Disconnect(disconnect) => disconnect.encode(),
        Message::Notice(notice) => notice.encode(),
    }
}
