//! What counts as "one address" when work is counted per address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One IPv4 address, or one IPv6 /64: a household or a virtual machine gets a
/// whole /64, so counting single IPv6 addresses would count nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressKey {
    V4(Ipv4Addr),
    V6(u64),
}

impl AddressKey {
    /// IPv4 written as IPv6 (`::ffff:a.b.c.d`, what a dual-stack listener
    /// reports) is the IPv4 address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6(
                    [a, b, c, d]
                        .iter()
                        .fold(0, |key, part| (key << 16) | u64::from(*part)),
                )
            }
        }
    }
}

impl fmt::Debug for AddressKey {
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

    fn key(address: &str) -> AddressKey {
        AddressKey::of(address.parse().unwrap())
    }

    #[test]
    fn two_addresses_of_one_ipv6_64_are_one() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn ipv4_is_itself_however_it_is_written() {
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
    }

    #[test]
    fn a_key_prints_as_a_person_would_write_it() {
        assert_eq!(format!("{:?}", key("2001:db8:1:2::1")), "2001:db8:1:2::/64");
        assert_eq!(format!("{:?}", key("192.0.2.7")), "192.0.2.7");
    }
}
