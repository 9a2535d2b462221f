//! Hosts that name nobody: refused with the rule that they break, before anything
//! is looked up.

use adit_edge::Config;

use crate::house::House;

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n")
}

#[tokio::test]
async fn a_host_that_is_no_host_is_a_bad_request() {
    let house = House::with_key(Config::default()).await;
    let own = House::key_host();
    for field in [
        format!("Host: user@{own}\r\n"),
        format!("Host: user:secret@{own}\r\n"),
        format!("Host: {own} evil.example\r\n"),
        format!("Host: {own}\t.example\r\n"),
        format!("Host: {own}/\r\n"),
        format!("Host: {own}:port\r\n"),
        format!("Host: {own}:80:80\r\n"),
        format!("Host: {own},{own}\r\n"),
        format!("Host: {own}\r\nHost: {own}\r\n"),
        format!("Host: {own}\r\nHost: evil.example\r\n"),
        "Host: a..b\r\n".to_owned(),
        "Host: [::1\r\n".to_owned(),
        "Host: z\u{fc}rich.example\r\n".to_owned(),
        "Host: %61dit.example\r\n".to_owned(),
        "Host:\r\n".to_owned(),
        String::new(),
    ] {
        let answer = house.say(request("/", &field)).await;
        let seen = (answer.status(), answer.error());
        assert_eq!(seen, (400, "bad-request"), "{field:?}");
        assert!(answer.body().contains("ost"), "{answer:?}");
    }
}

#[tokio::test]
async fn control_bytes_in_a_host_are_no_http() {
    let house = House::with_key(Config::default()).await;
    for byte in ['\0', '\u{1}', '\u{7f}'] {
        let field = format!("Host: {}{byte}\r\n", House::key_host());
        assert_eq!(
            house.say(request("/", &field)).await.status(),
            400,
            "{byte:?}"
        );
    }
}

#[tokio::test]
async fn a_url_in_the_request_line_decides_and_must_be_as_good() {
    let house = House::with_key(Config::default()).await;
    let own = House::key_host();
    let other = "Host: evil.example\r\n";
    let answer = house.say(request(&format!("http://{own}/x"), other)).await;
    assert_eq!(answer.body(), "link 1: 127.0.0.1 by http");
    let answer = house
        .say(request(&format!("http://user@{own}/x"), other))
        .await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn connect_is_not_for_this_server() {
    let house = House::with_key(Config::default()).await;
    let own = House::key_host();
    let connect = format!("CONNECT {own}:443 HTTP/1.1\r\nHost: {own}:443\r\n\r\n");
    assert_eq!(house.say(connect).await.status(), 400);
}
