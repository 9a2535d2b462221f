//! JSON messages: they grow without breaking old peers, and what is no such message is named.

use super::*;
use crate::message::Message;

fn read(tag: Tag, json: &str) -> Result<Message, DecodeError> {
    let payload = Bytes::copy_from_slice(json.as_bytes());
    Message::decode(&Frame::new(tag, Flags::NONE, StreamId::LINK, payload))
}

fn refused(tag: Tag, json: &str) -> String {
    read(tag, json).unwrap_err().to_string()
}

#[test]
fn a_hello_from_the_future_is_read_without_its_new_fields() {
    let json = format!(
        r#"{{"nonce":"{}","node":"{}","domain":"d.example","time":1,"versions":[1,2],"colour":["red",{{}}],
            "limits":{{"max_body":null,"max_dreams":3}}}}"#,
        "A".repeat(43),
        "0".repeat(32),
    );
    let limits = LinkLimits {
        max_body: None,
        ..LinkLimits::default()
    };
    let hello = Hello {
        nonce: [0; 32],
        node: NodeId([0; 16]),
        domain: "d.example".to_owned(),
        time: 1,
        versions: vec![1, 2],
        limits,
    };
    assert_eq!(read(Tag::Hello, &json), Ok(Message::Hello(hello)));
}

#[test]
fn a_nonce_is_32_bytes_in_its_one_spelling() {
    let with = |nonce: &str| {
        let node = "0".repeat(32);
        refused(
            Tag::Hello,
            &format!(
                r#"{{"nonce":"{nonce}","node":"{node}","domain":"d","time":1,"versions":[1]}}"#
            ),
        )
    };
    assert!(with(&"A".repeat(42)).contains("not the JSON object"));
    // Spare bits set, and padding.
    assert!(with(&format!("{}B", "A".repeat(42))).contains("non-zero trailing bits"));
    assert!(with(&format!("{}=", "A".repeat(43))).contains("invalid"));
}

#[test]
fn an_answer_is_granted_or_refused_and_says_so_itself() {
    let json =
        r#"{"status":"refused","code":"replaced","message":"a newer agent holds this name"}"#;
    let refusal = Refused {
        code: RefusalCode::Replaced,
        message: "a newer agent holds this name".to_owned(),
        retry_after_ms: None,
    };
    let response = RegistrationResponse::Refused(refusal);
    assert_eq!(response.encode().payload, json);
    assert_eq!(
        read(Tag::RegistrationResponse, json),
        Ok(Message::RegistrationResponse(response))
    );
    assert!(refused(Tag::RegistrationResponse, r#"{"status":"maybe"}"#).contains("maybe"));
    assert!(refused(Tag::RegistrationResponse, r#"{"status":"granted"}"#).contains("key_id"));
}

#[test]
fn a_code_that_we_do_not_know_is_kept_and_is_not_final() {
    let code = RefusalCode::from("out-of-coal".to_owned());
    assert_eq!(code, RefusalCode::Other("out-of-coal".to_owned()));
    assert_eq!((code.as_str(), code.is_final()), ("out-of-coal", false));
    assert_eq!(
        RefusalCode::from("wrong-nonce".to_owned()),
        RefusalCode::WrongNonce
    );
    assert_eq!(String::from(DisconnectCode::ShuttingDown), "shutting-down");
    assert!(RefusalCode::Replaced.is_final() && DisconnectCode::Replaced.is_final());
    assert!(!RefusalCode::Draining.is_final() && !DisconnectCode::Draining.is_final());
}

#[test]
fn garbage_is_named_and_what_is_said_about_it_is_bounded() {
    assert!(refused(Tag::Hello, "").contains("Hello is not the JSON object"));
    assert!(refused(Tag::Disconnect, r#"{"code":7}"#).contains("Disconnect"));
    assert!(refused(Tag::Disconnect, r#"{"code":"idle","spread_ms":-1}"#).contains("-1"));
    assert!(read(Tag::Hello, &"[".repeat(8192)).is_err());
    let long = format!(r#"{{"status":"{}"}}"#, "y".repeat(4000));
    assert!(refused(Tag::RegistrationResponse, &long).len() < 400);
}

#[test]
fn a_limit_that_is_not_told_is_not_written() {
    let json = |limits: &LinkLimits| serde_json::to_string(limits).unwrap();
    let silent = LinkLimits::default();
    assert!(!json(&silent).contains("per_second") && !json(&silent).contains("max_links"));
    let told = LinkLimits {
        messages_per_second: Some(100),
        visitor_requests_per_second: Some(7),
        ..silent
    };
    let read: LinkLimits = serde_json::from_str(&json(&told)).unwrap();
    assert_eq!(read, told);
}

#[test]
fn a_disconnect_needs_only_a_code() {
    let idle = Disconnect::new(DisconnectCode::Idle, "");
    assert_eq!(
        read(Tag::Disconnect, r#"{"code":"idle"}"#),
        Ok(Message::Disconnect(idle))
    );
}

#[test]
fn long_texts_are_cut_so_that_the_frame_stays_legal() {
    // Every byte of it is escaped to six.
    let worst = "\u{1}".repeat(10_000);
    let disconnect = Disconnect {
        code: DisconnectCode::Other(worst.clone()),
        reason: worst.clone(),
        spread_ms: u64::MAX,
    };
    let refused = Refused {
        code: RefusalCode::Other(worst.clone()),
        message: worst.clone(),
        retry_after_ms: Some(u64::MAX),
    };
    let notice = Notice {
        code: NoticeCode::Other(worst.clone()),
        message: worst,
    };
    for frame in [
        disconnect.encode(),
        RegistrationResponse::Refused(refused).encode(),
        notice.encode(),
    ] {
        assert!(Frame::decode(frame.to_bytes()).is_ok());
        assert!(Message::decode(&frame).is_ok());
    }
}
