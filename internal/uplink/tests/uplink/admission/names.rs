//! Which hosts a key gets.

use std::{collections::HashMap, sync::Arc};

use adit_uplink::{Config, PublicUrl, Rules, TxtError, TxtResolver, UrlScheme};
use futures_util::future::BoxFuture;
use identity::{SecretKey, auto_name, grant_id};
use messages::RefusalCode;
use tunnel::handshake::{Registration, Wanted};

use super::{assert_refused, host, house, keys_file, refusal};
use crate::house::{DOMAIN, House, settle, wish};

/// A DNS of a few texts.
#[derive(Debug, Default)]
struct Zone(HashMap<String, String>);

impl TxtResolver for Zone {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, TxtError>> {
        let texts = self.0.get(name).map(|text| vec![text.clone()]);
        Box::pin(std::future::ready(texts.ok_or(TxtError::NoSuchName)))
    }
}

fn proving(records: &[(&str, String)]) -> House {
    let zone = records
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.clone()));
    House::with(Config {
        rules: Rules {
            custom_domains: true,
            ..Rules::default()
        },
        txt_resolver: Some(Arc::new(Zone(zone.collect()))),
        public_url: PublicUrl {
            scheme: UrlScheme::Https,
            port: None,
        },
        ..Config::new(DOMAIN)
    })
}

#[tokio::test(start_paused = true)]
async fn granted_hosts_are_granted_and_can_be_found() {
    let key = SecretKey::generate();
    let grants = "name=blog,name=*.blog,root,domain=app.example.org,domain=*.example.net KEY";
    let house = house(keys_file(grants, &key));
    for wanted in [
        "blog.adit.example",
        "*.blog.adit.example",
        "en.blog.adit.example",
        "adit.example",
        "app.example.org",
        "*.example.net",
    ] {
        let mut agent = house.connect();
        let granted = agent.register_as(&key, &host(wanted)).await.unwrap();
        let tunnel = grant_id(wanted).unwrap();
        assert_eq!(granted.hostname, wanted);
        assert_eq!(granted.url, format!("http://{wanted}"));
        assert_eq!(granted.tunnel, tunnel.label());
        assert!(house.node.directory.local(tunnel).is_some(), "{wanted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_granted_is_refused_with_the_line_that_would_grant_it() {
    let (owner, stranger) = (SecretKey::generate(), SecretKey::generate());
    let house = house(keys_file("name=blog KEY", &owner));
    let mut agent = house.connect();
    let result = agent
        .register_as(&stranger, &host("blog.adit.example"))
        .await;
    let line = format!("\"name=blog {}\"", stranger.public().label(None));
    assert_refused(result, &RefusalCode::NameNotGranted, &line);
    settle().await;
    assert_eq!(house.uplink.link_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_key_holds_is_taken_until_that_one_goes() {
    let (one, other) = (SecretKey::generate(), SecretKey::generate());
    let label = other.public().label(None);
    let house = house(keys_file(
        &format!("name=blog KEY\nname=blog {label}"),
        &one,
    ));
    let blog = host("blog.adit.example");
    let mut first = house.connect();
    first.register_as(&one, &blog).await.unwrap();
    let result = house.connect().register_as(&other, &blog).await;
    assert_refused(
        result,
        &RefusalCode::NameTaken,
        "another key holds blog.adit.example",
    );

    // The same key takes over; the other one has its turn when nobody is there.
    let again = Registration {
        session: [2; 16],
        ..blog.clone()
    };
    let mut second = house.connect();
    second.register_as(&one, &again).await.unwrap();
    drop((first, second));
    settle().await;
    let mut third = house.connect();
    third.register_as(&other, &blog).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_readable_name_is_picked_for_keys_that_may_have_one() {
    let key = SecretKey::generate();
    let house = house(keys_file("auto-names KEY", &key));
    let auto = Registration {
        wanted: Wanted::Auto,
        ..wish([1; 16])
    };
    let mut agent = house.connect();
    let granted = agent.register_as(&key, &auto).await.unwrap();
    let name = auto_name(key.tunnel_id(None));
    assert_eq!(granted.hostname, format!("{name}.{DOMAIN}"));

    let stranger = SecretKey::generate();
    let result = house.connect().register_as(&stranger, &auto).await;
    let line = format!("\"auto-names {}\"", stranger.public().label(None));
    assert_refused(result, &RefusalCode::NameNotGranted, &line);
}

#[tokio::test(start_paused = true)]
async fn a_custom_domain_is_proved_by_a_record_that_names_the_key() {
    let key = SecretKey::generate();
    let record = format!("adit={}", key.public().label(None));
    let house = proving(&[("_adit.app.example.org", record)]);
    let mut agent = house.connect();
    let granted = agent.register_as(&key, &host("app.example.org")).await;
    assert_eq!(granted.unwrap().url, "https://app.example.org");

    let stranger = SecretKey::generate();
    for wanted in ["app.example.org", "api.example.org"] {
        let result = house.connect().register_as(&stranger, &host(wanted)).await;
        let cure = format!(
            "set the TXT record _adit.{wanted} to adit={}",
            stranger.public().label(None)
        );
        assert_refused(result, &RefusalCode::NameNotGranted, &cure);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_resolver_no_custom_domain_is_proved() {
    let house = house(Rules {
        custom_domains: true,
        ..Rules::default()
    });
    let key = SecretKey::generate();
    let result = house
        .connect()
        .register_as(&key, &host("app.example.org"))
        .await;
    assert_eq!(refusal(result).code, RefusalCode::NameNotGranted);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_keeps_its_host_and_the_retired_one_is_refused() {
    let old = SecretKey::generate();
    let new = old.rotate(DOMAIN, 1).unwrap();
    let house = house(keys_file("name=blog KEY", &old));
    let mut agent = house.connect();
    let granted = agent.register(&old, [1; 16]).await.unwrap();
    let mut agent = house.connect();
    let rotated = agent.register(&new, [2; 16]).await.unwrap();
    assert_eq!(rotated.hostname, granted.hostname);
    let mut agent = house.connect();
    agent
        .register_as(&new, &host("blog.adit.example"))
        .await
        .unwrap();

    let result = house.connect().register(&old, [3; 16]).await;
    assert_refused(
        result,
        &RefusalCode::Rotated,
        "the name has been rotated 1 times",
    );
    let fork = old.rotate(DOMAIN, 2).unwrap();
    let result = house.connect().register(&fork, [4; 16]).await;
    assert_refused(result, &RefusalCode::Rotated, "rotated to another key");
}
