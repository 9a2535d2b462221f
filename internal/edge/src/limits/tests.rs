//! Who is limited by what.

use super::*;
use crate::config::Rate;

fn limits(config: Config) -> Limits {
    Limits::new(&Config {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..config
    })
}

fn one() -> Option<Rate> {
    Rate::new(1, 1)
}

const VISITOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

#[tokio::test(start_paused = true)]
async fn a_visitor_is_limited_and_a_proxy_that_names_nobody_is_not() {
    let limits = limits(Config {
        visitor_requests: one(),
        visitor_misses: one(),
        max_connections_per_address: std::num::NonZeroU32::new(1),
        ..Config::default()
    });
    assert!(limits.visit(VISITOR).is_ok());
    assert_eq!(limits.visit(VISITOR).unwrap_err().whose, "visitor");
    let _held = limits.connect(VISITOR).unwrap();
    assert_eq!(limits.connect(VISITOR).unwrap_err(), Full(VISITOR));
    limits.missed(VISITOR);
    limits.missed(VISITOR);
    assert_eq!(limits.search(VISITOR).unwrap_err().whose, "misses");
    for _ in 0..10 {
        assert!(limits.visit(PROXY).is_ok());
        assert!(limits.connect(PROXY).unwrap().is_none());
        limits.missed(PROXY);
        assert!(limits.search(PROXY).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_limited_each_for_itself() {
    let limits = limits(Config {
        tunnel_requests: one(),
        ..Config::default()
    });
    assert!(limits.call(TunnelId([1; 32])).is_ok());
    assert_eq!(limits.call(TunnelId([1; 32])).unwrap_err().whose, "tunnel");
    assert!(limits.call(TunnelId([2; 32])).is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_counted() {
    let limits = limits(Config {
        visitor_misses: None,
        max_connections_per_address: None,
        ..Config::default()
    });
    for _ in 0..1000 {
        limits.visit(VISITOR).unwrap();
        limits.call(TunnelId([1; 32])).unwrap();
        limits.missed(VISITOR);
        limits.search(VISITOR).unwrap();
        assert!(limits.connect(VISITOR).unwrap().is_none());
    }
}
