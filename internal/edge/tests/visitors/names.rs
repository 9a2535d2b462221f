//! Granted names: exactly who was granted a name has its visitors.

use std::sync::Arc;

use adit_edge::{Config, Granted};

use crate::house::House;

const BY_LOOPBACK: &str = "127.0.0.1 by http";

fn link(number: u64) -> String {
    format!("link {number}: {BY_LOOPBACK}")
}

#[tokio::test]
async fn a_granted_name_leads_to_its_tunnel_however_it_is_spelled() {
    let house = House::with(Config::default()).await;
    house.grant("blog.adit.example", 1).await;
    house.grant("app.example.org", 2).await;
    for host in [
        "blog.adit.example",
        "BLOG.Adit.Example:8080",
        "blog.adit.example.",
    ] {
        assert_eq!(house.get(host).await.body(), link(1), "{host}");
    }
    assert_eq!(house.get("app.example.org").await.body(), link(2));
}

#[tokio::test]
async fn a_name_beside_or_below_a_granted_one_is_unknown_even_where_there_is_only_one_tunnel() {
    let house = House::with(Config::default()).await;
    house.grant("blog.adit.example", 1).await;
    for host in [
        "blogs.adit.example",
        "en.blog.adit.example",
        "blog.adit.example.org",
        "blog",
        "xblog.adit.example",
        "example",
        "a_b.adit.example",
    ] {
        let answer = house.get(host).await;
        assert_eq!(
            (answer.status(), answer.error()),
            (404, "unknown-host"),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_wildcard_has_the_names_one_label_below_that_nobody_else_holds() {
    let house = House::with(Config::default()).await;
    house.grant("*.blog.adit.example", 1).await;
    house.grant("en.blog.adit.example", 2).await;
    assert_eq!(house.get("de.blog.adit.example").await.body(), link(1));
    assert_eq!(house.get("en.blog.adit.example").await.body(), link(2));
    for host in ["blog.adit.example", "a.de.blog.adit.example"] {
        assert_eq!(house.get(host).await.error(), "unknown-host", "{host}");
    }
    house.leave("en.blog.adit.example", 2).await;
    assert_eq!(house.get("en.blog.adit.example").await.body(), link(1));
}

#[tokio::test]
async fn a_keys_label_is_never_a_wildcards() {
    let house = House::with(Config::default()).await;
    house.grant("*.adit.example", 1).await;
    assert_eq!(house.get("shop.adit.example").await.body(), link(1));
    let answer = house.get(&House::key_host()).await;
    assert_eq!((answer.status(), answer.error()), (502, "tunnel-offline"));
}

#[tokio::test]
async fn a_name_that_was_granted_is_offline_while_nobody_holds_it_and_others_are_unknown() {
    let granted = |host: &str| host == "blog.adit.example";
    let house = House::with(Config {
        granted: Granted::asking(granted),
        ..Config::default()
    });
    let house = house.await;
    let answer = house.get("Blog.adit.example.:80").await;
    assert_eq!((answer.status(), answer.error()), (502, "tunnel-offline"));
    assert_eq!(house.get("vlog.adit.example").await.status(), 404);
}

#[tokio::test]
async fn the_base_domain_is_the_root_tunnels_but_for_the_reserved_folder() {
    let house = House::with(Config::default()).await;
    let own = house.get_path("adit.example", "/about").await;
    assert_eq!(own.body(), "the server's /about for 127.0.0.1");
    house.grant("adit.example", 1).await;
    for path in ["/", "/about", "/_aditor", "//_adit/connect"] {
        let answer = house.get_path("ADIT.example:8080", path).await;
        assert_eq!(answer.body(), link(1), "{path}");
    }
    for path in ["/_adit", "/_adit/connect", "/_adit/health/live?x"] {
        let answer = house.get_path("adit.example", path).await;
        assert!(answer.body().starts_with("the server's /_adit"), "{path}");
    }
    house.leave("adit.example", 1).await;
    let own = house.get("adit.example").await;
    assert_eq!(own.body(), "the server's / for 127.0.0.1");
}

#[tokio::test]
async fn the_other_names_of_the_server_and_addresses_are_its_own_whatever_was_announced() {
    let house = House::with(Config {
        own_names: vec!["eu.adit.example".to_owned()],
        ..Config::default()
    });
    let house = house.await;
    house.grant("eu.adit.example", 1).await;
    house.grant("*.adit.example", 2).await;
    for host in ["eu.adit.example", "127.0.0.1:80", "[::1]", "localhost:8080"] {
        let own = house.get(host).await;
        assert_eq!(own.body(), "the server's / for 127.0.0.1", "{host}");
    }
}

#[tokio::test]
async fn one_connection_may_ask_for_one_name_after_another() {
    let house = Arc::new(House::with(Config::default()).await);
    house.grant("a.adit.example", 1).await;
    house.grant("b.adit.example", 2).await;
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let last = crate::house::get("a.adit.example", "/", "");
    let all = request("a.adit.example") + &request("b.adit.example") + &last;
    let answers = house.say(all).await;
    let text = format!("{answers:?}");
    let order: Vec<_> = text
        .match_indices("link ")
        .map(|(at, _)| text.get(at + 5..at + 6))
        .collect();
    assert_eq!(order, [Some("1"), Some("2"), Some("1")]);
}
