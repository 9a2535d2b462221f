//! Version 2's requests (31 to 41).

use crate::stage::{OK, error, of_header, open, parts, remote, told};

const HEADERS: (&str, &str) = ("x-bare-headers", "{}");

#[tokio::test]
async fn each_header_that_is_missing_or_wrong_is_told_by_its_name() {
    let stage = open().await;
    let all = [&parts("80", "http:")[..], &[HEADERS]].concat();
    for missing in 0..all.len() {
        let mut fields = all.clone();
        let (name, _) = fields.remove(missing);
        let answer = stage.client.get_with("/v2/", &fields).await;
        assert_eq!(error(&answer), of_header("MISSING_BARE_HEADER", name));
    }
    for (name, value) in [
        ("x-bare-host", ""),
        ("x-bare-port", "80x"),
        ("x-bare-protocol", "wss:"),
        ("x-bare-path", "x"),
        ("x-bare-headers", "{"),
        ("x-bare-pass-status", "304, teapot"),
    ] {
        let mut fields = all.clone();
        fields.retain(|(known, _)| *known != name);
        fields.push((name, value));
        let answer = stage.client.get_with("/v2/", &fields).await;
        assert_eq!(error(&answer), of_header("INVALID_BARE_HEADER", name));
    }
}

#[tokio::test]
async fn the_base_list_is_forwarded_a_cache_key_adds_to_it_and_so_does_the_request() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    let own = [
        HEADERS,
        ("accept-encoding", "zip"),
        ("accept-language", "la"),
        ("if-none-match", "e"),
        ("x-own", "1"),
        ("x-other", "2"),
    ];
    for route in ["/v2/", "/v3/"] {
        let url = format!("http://{}/path?q", origin.addr);
        let named = [("x-bare-url", &*url)];
        let own = [&own[..], if route == "/v3/" { &named } else { &[] }].concat();
        stage.parts(route, &origin, &own).await;
        let base = "GET /path?q HTTP/1.1\r\naccept-encoding: zip\r\naccept-language: la\r\n\r\n";
        assert_eq!(heard.last(), base);
        stage.parts(&format!("{route}?cache"), &origin, &own).await;
        assert!(heard.last().contains("if-none-match: e\r\n"));
        let more = [&own[..], &[("x-bare-forward-headers", "X-OWN, x-absent")]].concat();
        stage.parts(route, &origin, &more).await;
        assert!(
            heard
                .last()
                .ends_with("accept-language: la\r\nx-own: 1\r\n\r\n")
        );
    }
}

#[tokio::test]
async fn a_forwarded_header_takes_the_place_of_the_one_in_the_list_of_headers() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    let fields = [
        ("x-bare-headers", r#"{"Accept-Language":"x","B":"y"}"#),
        ("accept-language", "la"),
    ];
    stage.parts("/v2/", &origin, &fields).await;
    assert_eq!(
        heard.last(),
        "GET /path?q HTTP/1.1\r\naccept-language: la\r\nB: y\r\n\r\n"
    );
}

#[tokio::test]
async fn the_base_list_is_passed_back_a_cache_key_adds_to_it_and_so_does_the_request() {
    let stage = open().await;
    let (origin, _) = remote(
        "HTTP/1.1 201 Made\r\nlast-modified: l\r\netag: e\r\ncache-control: c\r\nset-cookie: a=1, b\r\nset-cookie: c=2\r\nkeep-alive: 5\r\ncontent-length: 2\r\n\r\nhi",
    )
    .await;
    let answer = stage.parts("/v2/", &origin, &[HEADERS]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "hi"));
    assert_eq!(answer.headers["last-modified"], "l");
    assert_eq!(answer.headers["content-length"], "2");
    for absent in ["etag", "cache-control", "set-cookie"] {
        assert!(!answer.headers.contains_key(absent), "{absent}");
    }
    let cached = stage.parts("/v2/?cache=abc", &origin, &[HEADERS]).await;
    assert_eq!(
        (&cached.headers["etag"], &cached.headers["cache-control"]),
        (&"e".parse().unwrap(), &"c".parse().unwrap())
    );
    let lists = [
        HEADERS,
        ("x-bare-pass-headers", "Set-Cookie, keep-alive"),
        ("x-bare-pass-status", "404, 201"),
    ];
    let answer = stage.parts("/v2/", &origin, &lists).await;
    assert_eq!(answer.status, 201);
    // Two cookies are two lines, not one with a comma more.
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1, b", "c=2"]);
    assert!(!answer.headers.contains_key("keep-alive"));
}

#[tokio::test]
async fn forbidden_names_are_told_by_the_list_they_stand_in() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    let forward = "connection transfer-encoding host origin referer";
    let pass = "vary connection transfer-encoding access-control-allow-headers access-control-allow-methods \
                access-control-expose-headers access-control-max-age access-control-request-headers \
                access-control-request-method";
    for (list, names) in [
        ("x-bare-forward-headers", forward),
        ("x-bare-pass-headers", pass),
    ] {
        for name in names.split_whitespace() {
            let value = format!("accept, {}", name.to_uppercase());
            let answer = stage
                .parts("/v2/", &origin, &[HEADERS, (list, &value)])
                .await;
            let id = format!("request.headers.{list}");
            assert_eq!(
                error(&answer),
                told(403, "FORBIDDEN_BARE_HEADER", &id),
                "{name}"
            );
        }
    }
    let answer = stage
        .parts("/v2/", &origin, &[HEADERS, ("x-bare-pass-headers", "host")])
        .await;
    assert_eq!(answer.status, 401);
    assert!(heard.all().is_empty());
}

#[tokio::test]
async fn not_modified_is_for_the_visitors_cache_alone() {
    let stage = open().await;
    let (origin, _) = remote("HTTP/1.1 304 Same\r\netag: e\r\ncontent-length: 7\r\n\r\n").await;
    for route in ["/v2/?cache=", "/v3/?cache"] {
        let url = format!("http://{}/", origin.addr);
        let fields = [HEADERS, ("x-bare-url", &url)];
        let cached = stage.parts(route, &origin, &fields).await;
        assert_eq!((cached.status.as_u16(), cached.body.len()), (304, 0));
        assert_eq!(cached.headers["etag"], "e");
        assert!(
            !cached
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("x-bare-"))
        );
    }
    let plain = stage.parts("/v2/", &origin, &[HEADERS]).await;
    assert_eq!((plain.status.as_u16(), plain.body.len()), (200, 0));
    assert_eq!(plain.headers["x-bare-status"], "304");
}

#[tokio::test]
async fn a_status_without_a_body_has_none() {
    let stage = open().await;
    let (origin, _) = remote("HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n").await;
    let passed = [HEADERS, ("x-bare-pass-status", "205")];
    let answer = stage.parts("/v2/", &origin, &passed).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (205, 0));
}

#[tokio::test]
async fn long_headers_travel_in_pieces_both_ways() {
    let stage = open().await;
    let long = "v".repeat(7000);
    let (origin, heard) = remote(Box::leak(
        format!("HTTP/1.1 200 OK\r\nx-long: {long}\r\ncontent-length: 0\r\n\r\n").into_boxed_str(),
    ))
    .await;
    let json = format!(r#"{{"X-Long":"{long}"}}"#);
    let pieces = json.as_bytes().chunks(3072);
    let pieces: Vec<String> = pieces
        .map(|piece| format!(";{}", String::from_utf8_lossy(piece)))
        .collect();
    // In any order: they have numbers.
    let fields = [
        ("x-bare-headers-2", &*pieces[2]),
        ("x-bare-headers-0", &pieces[0]),
        ("x-bare-headers-1", &pieces[1]),
    ];
    let answer = stage.parts("/v2/", &origin, &fields).await;
    assert!(heard.last().contains(&format!("X-Long: {long}\r\n")));
    assert!(!answer.headers.contains_key("x-bare-headers"));
    let mut told = String::new();
    for number in 0..3 {
        let piece = answer.headers[format!("x-bare-headers-{number}")]
            .to_str()
            .unwrap();
        assert!(piece.len() <= 3073);
        told.push_str(piece.strip_prefix(';').unwrap());
    }
    assert_eq!(
        told,
        format!(r#"{{"x-long":"{long}","content-length":"0"}}"#)
    );
}

#[tokio::test]
async fn pieces_that_break_the_rules_are_told_by_their_names() {
    let stage = open().await;
    let (origin, _) = remote(OK).await;
    let long = "x".repeat(3073);
    for (fields, code, name) in [
        (
            &[("x-bare-headers-1", ";{}")][..],
            "MISSING_BARE_HEADER",
            "x-bare-headers",
        ),
        (
            &[("x-bare-headers-0", "{}")],
            "INVALID_BARE_HEADER",
            "x-bare-headers-0",
        ),
        (
            &[("x-bare-headers", &long)],
            "INVALID_BARE_HEADER",
            "x-bare-headers",
        ),
    ] {
        let answer = stage.parts("/v2/", &origin, fields).await;
        assert_eq!(error(&answer), of_header(code, name));
    }
}

#[tokio::test]
async fn a_websocket_is_asked_for_with_the_rules_of_requests() {
    let stage = open().await;
    let ask =
        async |fields: &[(&str, &str)]| stage.client.get_with("/v2/ws-new-meta", fields).await;
    let good = [&parts("80", "ws:")[..], &[HEADERS]].concat();
    let id = ask(&good).await.text().to_owned();
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    let http = [&parts("80", "http:")[..], &[HEADERS]].concat();
    assert_eq!(
        error(&ask(&http).await),
        of_header("INVALID_BARE_HEADER", "x-bare-protocol")
    );
    assert_eq!(
        error(&ask(&good[1..]).await),
        of_header("MISSING_BARE_HEADER", "x-bare-host")
    );
    // Not ready, which costs nothing; and no id of version 1.
    for _ in 0..2 {
        let early = stage
            .client
            .get_with("/v2/ws-meta", &[("x-bare-id", &id)])
            .await;
        assert_eq!(error(&early), of_header("INVALID_BARE_HEADER", "x-bare-id"));
        assert!(early.text().contains("Meta not ready"));
    }
    let other = stage
        .client
        .get_with("/v1/ws-meta", &[("x-bare-id", &id)])
        .await;
    assert_eq!(error(&other), of_header("INVALID_BARE_HEADER", "x-bare-id"));
    let missing = stage.client.get("/v2/ws-meta").await;
    assert_eq!(
        error(&missing),
        of_header("MISSING_BARE_HEADER", "x-bare-id")
    );
}
