use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn counts(pending: u32, per_address: u32, links: u32, rate: u32) -> Arc<Counts> {
    Counts::new(Caps {
        pending,
        pending_per_address: per_address,
        links: None,
        links_per_address: links,
        registrations_per_minute: NonZeroU32::new(rate),
    })
}

#[tokio::test(start_paused = true)]
async fn handshakes_are_capped_in_all() {
    let counts = counts(2, 2, 10, 0);
    let first = counts.enter(HERE).unwrap();
    let _second = counts.enter(THERE).unwrap();
    assert_eq!(counts.enter(THERE).unwrap_err(), Cap::Handshakes);
    drop(first);
    let _third = counts.enter(THERE).unwrap();
    assert_eq!(counts.pending(), 2);
}

#[tokio::test(start_paused = true)]
async fn handshakes_are_capped_per_address_and_per_ipv6_64() {
    let counts = counts(10, 1, 10, 0);
    let _one = counts.enter("2001:db8::1".parse().unwrap()).unwrap();
    let same_64 = counts.enter("2001:db8::2".parse().unwrap());
    assert_eq!(same_64.unwrap_err(), Cap::HandshakesHere);
    let _other = counts.enter("2001:db8:0:1::1".parse().unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_link_frees_its_place_among_the_handshakes_and_counts_for_its_address() {
    let counts = counts(1, 1, 2, 0);
    let first = counts.enter(HERE).unwrap().into_link();
    assert_eq!(counts.pending(), 0);
    let second = counts.enter(HERE).unwrap().into_link();
    assert_eq!(counts.enter(HERE).unwrap_err(), Cap::LinksHere);
    let _elsewhere = counts.enter(THERE).unwrap().into_link();
    drop(first);
    let _again = counts.enter(HERE).unwrap();
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn links_are_capped_in_all_and_those_on_their_way_count() {
    let counts = Counts::new(Caps {
        pending: 10,
        pending_per_address: 10,
        links: NonZeroU32::new(2),
        links_per_address: 10,
        registrations_per_minute: None,
    });
    let link = counts.enter(HERE).unwrap().into_link();
    let _on_its_way = counts.enter(THERE).unwrap();
    assert_eq!(counts.enter(THERE).unwrap_err(), Cap::Links);
    drop(link);
    let _again = counts.enter(THERE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn registrations_of_an_address_are_counted_by_the_minute() {
    let counts = counts(10, 10, 10, 2);
    drop(counts.enter(HERE).unwrap());
    drop(counts.enter(HERE).unwrap());
    let Err(Cap::Rate { retry_after }) = counts.enter(HERE) else {
        panic!("the third within a minute is refused");
    };
    assert!(retry_after <= Duration::from_secs(30), "{retry_after:?}");
    drop(counts.enter(THERE).unwrap());
    tokio::time::advance(retry_after).await;
    drop(counts.enter(HERE).unwrap());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_an_address_that_holds_nothing() {
    let counts = counts(10, 10, 10, 0);
    let link = counts.enter(HERE).unwrap().into_link();
    drop(counts.enter(THERE).unwrap());
    drop(link);
    assert!(counts.lock().held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rates_of_more_addresses_than_can_be_remembered_do_not_grow() {
    let counts = counts(1, 1, 1, 1);
    for address in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 100 {
        drop(counts.enter(IpAddr::V4(address.into())).unwrap());
    }
    let remembered = counts.rates.as_ref().map(Meter::counted);
    assert!(remembered.unwrap() <= MAX_REMEMBERED);
}
