//! What counts as one visitor.

use std::net::{IpAddr, Ipv4Addr};

/// One IPv4 address, or one IPv6 /64: a household gets a whole /64, so counting
/// single IPv6 addresses would count nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Crowd {
    V4(Ipv4Addr),
    V6(u64),
}

impl Crowd {
    /// IPv4 written as IPv6 (`::ffff:a.b.c.d`, what a dual-stack listener
    /// reports) is the IPv4 address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let network = [a, b, c, d].into_iter().map(u64::from);
                Self::V6(network.fold(0, |all, part| (all << 16) | part))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(address: &str) -> Crowd {
        Crowd::of(address.parse().unwrap())
    }

    #[test]
    fn a_64_of_ipv6_is_one_and_each_ipv4_address_is_one() {
        assert_eq!(crowd("2001:db8:1:2::1"), crowd("2001:db8:1:2:ffff::9"));
        assert_ne!(crowd("2001:db8:1:2::1"), crowd("2001:db8:1:3::1"));
        assert_ne!(crowd("192.0.2.1"), crowd("192.0.2.2"));
        assert_eq!(crowd("192.0.2.1"), crowd("::ffff:192.0.2.1"));
    }
}
