//! How many passwords may be tried: for a tunnel by one address, and for a tunnel
//! by all.
//!
//! The first makes guessing hopeless. The second keeps a tunnel that is guessed at
//! from many addresses from taking the time in which other tunnels' passwords are
//! checked; it is the hashes of a second and costs half a core at most.

use std::{num::NonZeroU32, time::Duration};

use limit::{Crowd, Meter, Quota};
use messages::TunnelId;

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

/// The passwords tried lately.
#[derive(Debug)]
pub(super) struct Guesses {
    by_address: Meter<(TunnelId, Crowd)>,
    by_tunnel: Meter<TunnelId>,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self {
            by_address: counts(REFILL, BURST),
            by_tunnel: counts(TUNNEL_REFILL, TUNNEL_BURST),
        }
    }

    /// Counts one password.
    ///
    /// # Errors
    /// How long to wait: it is one too many.
    pub(super) fn count(&self, who: Who) -> Result<(), Duration> {
        self.by_address
            .count(&(who.tunnel, Crowd::of(who.address)))?;
        self.by_tunnel.count(&who.tunnel)
    }
}

fn counts<K: std::hash::Hash + Eq + Clone>(refill: Duration, burst: NonZeroU32) -> Meter<K> {
    let quota = Quota::with_period(refill).map(|quota| quota.allow_burst(burst));
    Meter::new(quota.expect("a refill takes some time"), MAX_COUNTS)
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
