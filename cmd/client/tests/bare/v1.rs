//! Version 1's requests (19 to 28).

use crate::stage::{OK, error, of_header, open, parts, remote, told};

const HEADERS: (&str, &str) = ("x-bare-headers", "{}");
const FORWARD: (&str, &str) = ("x-bare-forward-headers", "[]");

#[tokio::test]
async fn each_header_that_is_missing_is_told_by_its_name() {
    let stage = open().await;
    let all = [&parts("80", "http:")[..], &[HEADERS, FORWARD]].concat();
    for missing in 0..all.len() {
        let mut fields = all.clone();
        let (name, _) = fields.remove(missing);
        let answer = stage.client.get_with("/v1/", &fields).await;
        assert_eq!(error(&answer), of_header("MISSING_BARE_HEADER", name));
    }
}

#[tokio::test]
async fn each_header_that_is_wrong_is_told_by_its_name() {
    let stage = open().await;
    for (name, values) in [
        ("x-bare-host", &["", "a b", "a/b", "::1"][..]),
        ("x-bare-port", &["", "http", "80x", "0", "99999", "-1"]),
        ("x-bare-protocol", &["", "http", "ftp:", "ws:", "wss:"]),
        ("x-bare-path", &["path", "*", "http://other/"]),
        ("x-bare-headers", &["", "{", "[]", "null", "1"]),
        (
            "x-bare-forward-headers",
            &["", "{}", "accept", "[{}]", "[\"a b\"]"],
        ),
        ("x-bare-pass-headers", &["{}", "[null]", "[\"a b\"]"]),
        ("x-bare-pass-status", &["304", "[\"x\"]", "[101]"]),
    ] {
        for value in values {
            let mut fields = [&parts("80", "http:")[..], &[HEADERS, FORWARD]].concat();
            fields.retain(|(known, _)| *known != name);
            fields.push((name, value));
            let answer = stage.client.get_with("/v1/", &fields).await;
            let wanted = of_header("INVALID_BARE_HEADER", name);
            assert_eq!(error(&answer), wanted, "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn members_of_the_headers_that_are_none_are_told_by_their_own_names() {
    let stage = open().await;
    for (json, code, name) in [
        (r#"{"Num":1}"#, "INVALID_BARE_HEADER", "Num"),
        (r#"{"Arr":["a",null]}"#, "INVALID_BARE_HEADER", "Arr"),
        (r#"{"Na me":""}"#, "INVALID_HEADER", "Na me"),
        (r#"{"Inject":"a\r\nb: c"}"#, "INVALID_HEADER", "Inject"),
    ] {
        let fields = [
            &parts("80", "http:")[..],
            &[("x-bare-headers", json), FORWARD],
        ]
        .concat();
        let answer = stage.client.get_with("/v1/", &fields).await;
        assert_eq!(
            error(&answer),
            told(400, code, &format!("bare.headers.{name}"))
        );
    }
}

#[tokio::test]
async fn a_header_of_the_specification_that_this_version_does_not_have_is_an_error() {
    let stage = open().await;
    for name in ["x-bare-url", "x-bare-anything"] {
        let fields = [&parts("80", "http:")[..], &[HEADERS, FORWARD, (name, "x")]].concat();
        let answer = stage.client.get_with("/v1/", &fields).await;
        assert_eq!(error(&answer), of_header("UNKNOWN_BARE_HEADER", name));
    }
}

#[tokio::test]
async fn what_is_forwarded_comes_from_the_clients_own_request() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    let list =
        r#"["Accept","HOST","connection","Origin","referer","transfer-encoding","x-absent"]"#;
    let fields = [
        ("x-bare-headers", r#"{"Host":"other","X-A":"1"}"#),
        ("x-bare-forward-headers", list),
        ("accept", "text/odd"),
        ("origin", "http://page.example"),
        ("referer", "http://page.example/"),
        ("content-encoding", "zip"),
    ];
    let answer = stage.parts("/v1/", &origin, &fields).await;
    assert_eq!(answer.text(), "hi");
    let host = stage.client.host();
    let wanted = format!(
        "GET /path?q HTTP/1.1\r\nhost: {host}\r\nX-A: 1\r\naccept: text/odd\r\ncontent-encoding: zip\r\n\r\n"
    );
    assert_eq!(heard.last(), wanted);
}

#[tokio::test]
async fn an_encoding_and_a_length_come_back_and_what_the_lists_add() {
    let stage = open().await;
    let (origin, _) = remote(
        "HTTP/1.1 206 Some\r\nX-Content-Encoding: zip\r\nETag: e\r\nLast-Modified: l\r\ncontent-length: 2\r\n\r\nhi",
    )
    .await;
    let answer = stage.parts("/v1/", &origin, &[HEADERS, FORWARD]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "hi"));
    assert_eq!(answer.headers["content-encoding"], "zip");
    assert_eq!(answer.headers["content-length"], "2");
    assert!(!answer.headers.contains_key("etag") && !answer.headers.contains_key("last-modified"));
    let lists = [
        HEADERS,
        FORWARD,
        ("x-bare-pass-headers", r#"["ETag"]"#),
        ("x-bare-pass-status", "[206]"),
    ];
    let answer = stage.parts("/v1/", &origin, &lists).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["etag"]),
        (206, &"e".parse().unwrap())
    );
}

#[tokio::test]
async fn long_headers_are_never_split() {
    let stage = open().await;
    let long = "v".repeat(5000);
    let (origin, heard) = remote(Box::leak(
        format!("HTTP/1.1 200 OK\r\nx-long: {long}\r\ncontent-length: 0\r\n\r\n").into_boxed_str(),
    ))
    .await;
    let headers = format!(r#"{{"X-Long":"{long}"}}"#);
    let answer = stage
        .parts("/v1/", &origin, &[("x-bare-headers", &headers), FORWARD])
        .await;
    let told = answer.headers["x-bare-headers"].to_str().unwrap();
    assert!(told.contains(&long) && heard.last().contains(&long));
}

#[tokio::test]
async fn ids_are_text_and_metadata_is_read_once() {
    let stage = open().await;
    let meta =
        async |route: &str, id: &str| stage.client.get_with(route, &[("x-bare-id", id)]).await;
    let id = stage.client.get("/v1/ws-new-meta").await;
    assert_eq!(id.headers["content-type"], "text/plain");
    let id = id.text().to_owned();
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert_ne!(stage.client.post("/v1/ws-new-meta", "").await.text(), id);
    let unknown = of_header("INVALID_BARE_HEADER", "x-bare-id");
    // An id of one version is none of another.
    assert_eq!(error(&meta("/v2/ws-meta", &id).await), unknown);
    // Before its WebSocket is open there is nothing, and that was it.
    let empty = meta("/v1/ws-meta", &id).await;
    assert_eq!((empty.status.as_u16(), empty.text()), (200, "{}"));
    assert_eq!(error(&meta("/v1/ws-meta", &id).await), unknown);
    assert_eq!(error(&meta("/v1/ws-meta", "nonsense").await), unknown);
    let missing = stage.client.get("/v1/ws-meta").await;
    assert_eq!(
        error(&missing),
        of_header("MISSING_BARE_HEADER", "x-bare-id")
    );
}
