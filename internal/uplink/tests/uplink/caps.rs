//! What strangers may ask of a node, before it verifies anything.

use std::{num::NonZeroU32, time::Duration};

use adit_uplink::Config;
use identity::SecretKey;
use messages::{RefusalCode, Refused};

use crate::house::{Agent, DOMAIN, House, settle};

fn code(result: Result<Agent, Refused>) -> RefusalCode {
    result.map(|_| ()).expect_err("it is turned away").code
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_connections_that_never_register_hold_sixteen_places() {
    let house = House::new();
    let silent: Vec<_> = (0..10_000)
        .filter_map(|_| house.connect_from("192.0.2.7:1").ok())
        .collect();
    assert_eq!(silent.len(), 16);
    let other = house.connect_from("192.0.2.8:1");
    assert!(other.is_ok(), "others are served meanwhile");
    assert_eq!(house.uplink.stats().capped, 10_000 - 16);

    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(house.uplink.stats().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn connections_from_many_addresses_hold_the_places_there_are_in_all() {
    let house = House::new();
    let silent: Vec<_> = (0..10_000_u32)
        .filter_map(|n| {
            house
                .connect_from(&format!("[2001:db8:{:x}:{:x}::1]:1", n >> 8, n & 255))
                .ok()
        })
        .collect();
    assert_eq!(silent.len(), 1024);
    assert_eq!(
        code(house.connect_from("192.0.2.8:1")),
        RefusalCode::Unavailable
    );
}

#[tokio::test(start_paused = true)]
async fn links_of_one_address_are_capped_whatever_their_keys() {
    let config = Config {
        max_links_per_address: 2,
        ..Config::new(DOMAIN)
    };
    let house = House::with(config);
    let (first, _) = house.agent(&SecretKey::generate()).await;
    let (_second, _) = house.agent(&SecretKey::generate()).await;
    settle().await;
    assert_eq!(
        code(house.connect_from("192.0.2.7:1")),
        RefusalCode::TooManyLinks
    );
    drop(first);
    settle().await;
    assert!(house.connect_from("192.0.2.7:1").is_ok());
}

#[tokio::test(start_paused = true)]
async fn registrations_of_one_address_are_counted_by_the_minute() {
    let config = Config {
        registrations_per_minute_per_address: NonZeroU32::new(3),
        ..Config::new(DOMAIN)
    };
    let house = House::with(config);
    for _ in 0..3 {
        drop(house.agent(&SecretKey::generate()).await);
        settle().await;
    }
    let Err(refused) = house.connect_from("192.0.2.7:1") else {
        panic!("the fourth within a minute");
    };
    assert_eq!(refused.code, RefusalCode::TooManyRegistrations);
    let after = Duration::from_millis(refused.retry_after_ms.unwrap());
    assert!(after <= Duration::from_secs(20), "{after:?}");
    tokio::time::sleep(after + Duration::from_millis(1)).await;
    house.agent(&SecretKey::generate()).await;
}
