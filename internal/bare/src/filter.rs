//! Where this server may fetch from: by host and port before anything is looked up, by address on what is dialled.
//!
//! A Bare server fetches what strangers name, from inside somebody's network. So only addresses of the public internet are
//! dialled unless the operator says otherwise; the check is on the address, not on its spelling, and after DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What may be fetched. The default is every host and port at public addresses.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// When there are any: only these hosts.
    pub allow_hosts: Vec<HostPattern>,
    /// Never these hosts, whatever is allowed.
    pub deny_hosts: Vec<HostPattern>,
    /// When there are any: only these ports.
    pub allow_ports: Vec<u16>,
    /// Never these ports.
    pub deny_ports: Vec<u16>,
    /// These addresses too, although they are not public.
    pub allow_networks: Vec<IpNet>,
    /// Never these addresses.
    pub deny_networks: Vec<IpNet>,
    /// Every address that is not denied, public or not.
    pub allow_private: bool,
}

/// A host, or with `*.` in front all names under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: String,
    under: bool,
}

/// Why a text is no [`HostPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host; write example.com, *.example.com or an address")]
pub struct HostPatternError(String);

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (host, under) = match text.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (text, false),
        };
        // Written as URLs have it, so that it is compared with what URLs come to.
        let bracketed = format!("[{host}]");
        let host = if host.contains(':') { &bracketed } else { host };
        match url::Host::parse(host) {
            Ok(host) => Ok(Self {
                host: plain(&host),
                under,
            }),
            Err(_) => Err(HostPatternError(text.to_owned())),
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        if !self.under {
            return host == self.host;
        }
        let above = host.strip_suffix(&self.host);
        above.is_some_and(|above| above.ends_with('.'))
    }
}

/// A host without a root dot, which names the same.
fn plain(host: &url::Host) -> String {
    let host = host.to_string();
    host.strip_suffix('.').unwrap_or(&host).to_owned()
}

impl Rules {
    /// Whether this host may be asked for at all.
    pub(crate) fn allow_host(&self, host: &url::Host) -> bool {
        let host = plain(host);
        let any = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(&host));
        !any(&self.deny_hosts) && (self.allow_hosts.is_empty() || any(&self.allow_hosts))
    }

    /// Whether this port may be asked for at all.
    pub(crate) fn allow_port(&self, port: u16) -> bool {
        !self.deny_ports.contains(&port)
            && (self.allow_ports.is_empty() || self.allow_ports.contains(&port))
    }

    /// Whether this address may be dialled.
    pub(crate) fn allow_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let any = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        if any(&self.deny_networks) {
            return false;
        }
        self.allow_private || any(&self.allow_networks) || is_public(address)
    }
}

/// Whether this is a unicast address of the public internet. IPv4 in IPv6 (`::ffff:a.b.c.d`) is judged as what it is;
/// forms that lead on to another address (6to4, NAT64, Teredo) are not public, wherever they lead.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !NOT_PUBLIC_V4
            .iter()
            .any(|network| network.contains(&address)),
        // All that is handed out so far (IANA, IPv6 Global Unicast Address Space).
        IpAddr::V6(address) => {
            v6([0x2000, 0], 3).contains(&address)
                && !NOT_PUBLIC_V6
                    .iter()
                    .any(|network| network.contains(&address))
        }
    }
}

/// The IANA IPv4 Special-Purpose Address Registry (RFC 6890), and what is not unicast.
const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
];

/// Of the IANA IPv6 Special-Purpose Address Registry, what lies inside the public space: protocol assignments with
/// Teredo, documentation, 6to4.
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),
    v6([0x2001, 0x0db8], 32),
    v6([0x2002, 0], 16),
    v6([0x3fff, 0], 20),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 2], prefix: u8) -> Ipv6Net {
    let [a, b] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_public_unicast_addresses_are_dialled_in_whatever_form_they_come() {
        let rules = Rules::default();
        for blocked in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.1",
            "100.64.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "100::1",
        ] {
            assert!(!rules.allow_address(address(blocked)), "{blocked}");
        }
        for public in ["1.1.1.1", "::ffff:1.1.1.1", "2606:4700::1111", "172.32.0.1"] {
            assert!(rules.allow_address(address(public)), "{public}");
        }
    }

    #[test]
    fn networks_can_be_opened_and_closed_and_closing_wins() {
        let rules = Rules {
            allow_networks: vec!["10.0.0.0/8".parse().unwrap()],
            deny_networks: vec![
                "10.9.0.0/16".parse().unwrap(),
                "1.1.1.1/32".parse().unwrap(),
            ],
            ..Rules::default()
        };
        assert!(rules.allow_address(address("10.1.2.3")));
        assert!(rules.allow_address(address("::ffff:10.1.2.3")));
        assert!(!rules.allow_address(address("10.9.2.3")));
        assert!(!rules.allow_address(address("1.1.1.1")));
        assert!(!rules.allow_address(address("192.168.0.1")));
        let open = Rules {
            allow_private: true,
            ..rules
        };
        assert!(open.allow_address(address("192.168.0.1")));
        assert!(!open.allow_address(address("10.9.2.3")));
    }

    #[test]
    fn hosts_and_ports_are_compared_as_urls_write_them() {
        let pattern = |text: &str| text.parse::<HostPattern>().unwrap();
        let rules = Rules {
            allow_hosts: vec![
                pattern("Example.com"),
                pattern("*.example.org"),
                pattern("::1"),
            ],
            deny_hosts: vec![pattern("bad.example.org")],
            deny_ports: vec![25],
            ..Rules::default()
        };
        let allowed = |host: &str| rules.allow_host(&url::Host::parse(host).unwrap());
        for host in ["example.com", "EXAMPLE.com.", "a.b.example.org", "[::1]"] {
            assert!(allowed(host), "{host}");
        }
        for host in [
            "www.example.com",
            "example.org",
            "notexample.org",
            "bad.example.org",
        ] {
            assert!(!allowed(host), "{host}");
        }
        assert!(!rules.allow_port(25));
        assert!(rules.allow_port(443));
        let ports = Rules {
            allow_ports: vec![80, 443],
            ..Rules::default()
        };
        assert!(ports.allow_port(80) && !ports.allow_port(8080));
        assert!("a b".parse::<HostPattern>().is_err());
    }
}
