use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn admission(pending: u32, per_address: u32, links: u32, rate: u32) -> Arc<Admission> {
    Admission::new(Caps {
        pending,
        pending_per_address: per_address,
        links_per_address: links,
        registrations_per_minute: NonZeroU32::new(rate),
    })
}

#[tokio::test(start_paused = true)]
async fn handshakes_are_capped_in_all() {
    let admission = admission(2, 2, 10, 0);
    let first = admission.enter(HERE).unwrap();
    let _second = admission.enter(THERE).unwrap();
    assert_eq!(admission.enter(THERE).unwrap_err(), Cap::Handshakes);
    drop(first);
    let _third = admission.enter(THERE).unwrap();
    assert_eq!(admission.pending(), 2);
}

#[tokio::test(start_paused = true)]
async fn handshakes_are_capped_per_address_and_per_ipv6_64() {
    let admission = admission(10, 1, 10, 0);
    let _one = admission.enter("2001:db8::1".parse().unwrap()).unwrap();
    let same_64 = admission.enter("2001:db8::2".parse().unwrap());
    assert_eq!(same_64.unwrap_err(), Cap::HandshakesHere);
    let _other = admission.enter("2001:db8:0:1::1".parse().unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_link_frees_its_place_among_the_handshakes_and_counts_for_its_address() {
    let admission = admission(1, 1, 2, 0);
    let first = admission.enter(HERE).unwrap().into_link();
    assert_eq!(admission.pending(), 0);
    let second = admission.enter(HERE).unwrap().into_link();
    assert_eq!(admission.enter(HERE).unwrap_err(), Cap::Links);
    let _elsewhere = admission.enter(THERE).unwrap().into_link();
    drop(first);
    let _again = admission.enter(HERE).unwrap();
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn registrations_of_an_address_are_counted_by_the_minute() {
    let admission = admission(10, 10, 10, 2);
    drop(admission.enter(HERE).unwrap());
    drop(admission.enter(HERE).unwrap());
    let Err(Cap::Rate { retry_after }) = admission.enter(HERE) else {
        panic!("the third within a minute is refused");
    };
    assert!(retry_after <= Duration::from_secs(30), "{retry_after:?}");
    drop(admission.enter(THERE).unwrap());
    tokio::time::advance(retry_after).await;
    drop(admission.enter(HERE).unwrap());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_an_address_that_holds_nothing() {
    let admission = admission(10, 10, 10, 0);
    let link = admission.enter(HERE).unwrap().into_link();
    drop(admission.enter(THERE).unwrap());
    drop(link);
    assert!(admission.lock().held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rates_of_more_addresses_than_can_be_remembered_do_not_grow() {
    let admission = admission(1, 1, 1, 1);
    for address in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 100 {
        drop(admission.enter(IpAddr::V4(address.into())).unwrap());
    }
    let remembered = admission.lock().rates.as_ref().map(RateLimiter::len);
    assert!(remembered.unwrap() <= MAX_REMEMBERED);
}
