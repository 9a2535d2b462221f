//! What counts as one address when something is counted by address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One IPv4 address, or one IPv6 /64: a household or a virtual machine gets a whole /64, so counting single IPv6 addresses
/// would count nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crowd {
    /// An address.
    V4(Ipv4Addr),
    /// The first 64 bits of many.
    V6(u64),
}

impl Crowd {
    /// IPv4 written as IPv6 (`::ffff:a.b.c.d`, what a dual-stack listener reports) is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
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

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from(u128::from(*prefix) << 64)),
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

    #[test]
    fn it_prints_as_a_person_would_write_it() {
        assert_eq!(
            format!("{:?}", crowd("2001:db8:1:2::1")),
            "2001:db8:1:2::/64"
        );
        assert_eq!(format!("{:?}", crowd("192.0.2.7")), "192.0.2.7");
    }
}
