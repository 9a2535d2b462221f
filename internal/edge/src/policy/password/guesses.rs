//! How many passwords may be tried: for a tunnel by one address, and for a tunnel
//! by all.
//!
//! The first makes guessing hopeless. The second keeps a tunnel that is guessed at
//! from many addresses from taking the time in which other tunnels' passwords are
//! checked; it is the hashes of a second and costs half a core at most.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use messages::TunnelId;
use tokio::time::Instant;

use super::checker::Who;

/// Passwords that one address may try for one tunnel before it has to wait.
const BURST: NonZeroU32 = NonZeroU32::new(10).expect("it is not zero");

/// One more for each of these.
const REFILL: Duration = Duration::from_secs(6);

/// The same for a tunnel, whoever tries.
const TUNNEL_BURST: NonZeroU32 = NonZeroU32::new(40).expect("it is not zero");
const TUNNEL_REFILL: Duration = Duration::from_millis(100);

/// Counts that are kept at a time, a few MiB. Beyond them the oldest go first, and
/// all where none is old: forgetting is better than growing.
const MAX_COUNTS: usize = 65_536;

type Counts<K> = RateLimiter<K, HashMapStateStore<K>, TokioClock, NoOpMiddleware<Duration>>;

/// The passwords tried lately.
#[derive(Debug)]
pub(super) struct Guesses {
    by_address: Mutex<Counts<(TunnelId, IpAddr)>>,
    by_tunnel: Mutex<Counts<TunnelId>>,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self {
            by_address: Mutex::new(counts(REFILL, BURST)),
            by_tunnel: Mutex::new(counts(TUNNEL_REFILL, TUNNEL_BURST)),
        }
    }

    /// Counts one password.
    ///
    /// # Errors
    /// How long to wait: it is one too many.
    pub(super) fn count(&self, who: Who) -> Result<(), Duration> {
        count(
            &self.by_address,
            (REFILL, BURST),
            &(who.tunnel, crowd(who.address)),
        )?;
        count(&self.by_tunnel, (TUNNEL_REFILL, TUNNEL_BURST), &who.tunnel)
    }
}

fn counts<K: std::hash::Hash + Eq + Clone>(refill: Duration, burst: NonZeroU32) -> Counts<K> {
    let quota = Quota::with_period(refill).map(|quota| quota.allow_burst(burst));
    let quota = quota.expect("a refill takes some time");
    RateLimiter::hashmap_with_clock(quota, TokioClock::new())
}

fn count<K: std::hash::Hash + Eq + Clone>(
    shared: &Mutex<Counts<K>>,
    (refill, burst): (Duration, NonZeroU32),
    key: &K,
) -> Result<(), Duration> {
    let mut limiter = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if limiter.len() >= MAX_COUNTS {
        limiter.retain_recent();
        if limiter.len() >= MAX_COUNTS {
            *limiter = counts(refill, burst);
        }
    }
    let now = limiter.clock().now();
    let counted = limiter.check_key(key);
    counted.map_err(|until| until.earliest_possible().duration_since(now).into())
}

/// One IPv4 address, or one IPv6 /64: single IPv6 addresses are free.
fn crowd(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Lets governor measure time with tokio's clock.
#[derive(Debug, Clone, Copy)]
struct TokioClock(Instant);

impl TokioClock {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn who(tunnel: u8, address: &str) -> Who {
        Who {
            tunnel: TunnelId([tunnel; 32]),
            address: address.parse().unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_has_tried_ten_waits_for_each_further_one() {
        let guesses = Guesses::new();
        for _ in 0..10 {
            assert_eq!(guesses.count(who(1, "192.0.2.7")), Ok(()));
        }
        assert_eq!(guesses.count(who(1, "192.0.2.7")), Err(REFILL));
        assert_eq!(guesses.count(who(1, "192.0.2.8")), Ok(()));
        assert_eq!(guesses.count(who(2, "192.0.2.7")), Ok(()));
        advance(REFILL).await;
        assert_eq!(guesses.count(who(1, "192.0.2.7")), Ok(()));
        assert!(guesses.count(who(1, "192.0.2.7")).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_address() {
        let guesses = Guesses::new();
        for host in 0..10 {
            let address = format!("2001:db8:1:2::{host}");
            assert_eq!(guesses.count(who(1, &address)), Ok(()));
        }
        assert!(guesses.count(who(1, "2001:db8:1:2:ffff::1")).is_err());
        assert_eq!(guesses.count(who(1, "2001:db8:1:3::1")), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_together_do_not_take_everybodys_time() {
        let guesses = Guesses::new();
        let tries = (0..=255).map(|host| guesses.count(who(1, &format!("10.0.0.{host}"))));
        assert_eq!(tries.filter(Result::is_ok).count(), 40);
        assert_eq!(guesses.count(who(2, "10.0.0.1")), Ok(()));
    }
}
