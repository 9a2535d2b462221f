//! Which hostname an agent asks for, as its owner chose it: what it comes to may depend on the server's domain, which the
//! server's first word tells.

use identity::{HostError, canonical_grant, canonical_host};
use tunnel::handshake::Wanted;

/// Which hostname an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hostname {
    /// The key's own.
    #[default]
    Own,
    /// That of a further tunnel of the key, by the rules of [`identity::check_name`].
    Named(String),
    /// A label under the server's domain that the operator granted to the key; with `*.` in front every label under that.
    Label(String),
    /// The server's domain itself, granted likewise.
    Base,
    /// A granted or proven host of any domain, as [`identity::canonical_grant`] spells it.
    Custom(String),
    /// A readable one that the server makes.
    Auto,
}

impl Hostname {
    /// What to ask a server for, where its domain does not matter.
    pub(crate) fn anywhere(&self) -> Option<Wanted> {
        match self {
            Self::Own => Some(Wanted::Own),
            Self::Named(name) => Some(Wanted::Named(name.clone())),
            Self::Custom(host) => Some(Wanted::Host(host.clone())),
            Self::Auto => Some(Wanted::Auto),
            Self::Label(_) | Self::Base => None,
        }
    }

    /// What to ask the server of this domain for.
    ///
    /// # Errors
    /// The two make no host together.
    pub(crate) fn under(&self, domain: &str) -> Result<Wanted, HostError> {
        let domain = canonical_host(domain)?;
        let host = match self {
            Self::Label(label) => format!("{label}.{domain}"),
            Self::Base => domain,
            Self::Own | Self::Named(_) | Self::Custom(_) | Self::Auto => {
                return Ok(self.anywhere().unwrap_or_default());
            }
        };
        canonical_grant(&host).map(Wanted::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_and_the_base_become_hosts_of_the_servers_domain() {
        let host = |hostname: Hostname| hostname.under("Tunnels.example");
        let asked = |host: &str| Ok(Wanted::Host(host.to_owned()));
        assert_eq!(
            host(Hostname::Label("blog".to_owned())),
            asked("blog.tunnels.example")
        );
        assert_eq!(
            host(Hostname::Label("*.blog".to_owned())),
            asked("*.blog.tunnels.example")
        );
        assert_eq!(host(Hostname::Base), asked("tunnels.example"));
        let custom = Hostname::Custom("app.example.org".to_owned());
        assert_eq!(
            custom.anywhere(),
            Some(Wanted::Host("app.example.org".to_owned()))
        );
        assert_eq!(host(Hostname::Auto), Ok(Wanted::Auto));
    }

    #[test]
    fn a_domain_that_is_none_makes_no_host() {
        for domain in ["", "\u{1b}[2J", "tunnels.example:443", "127.0.0.1"] {
            let host = Hostname::Label("blog".to_owned()).under(domain);
            assert!(host.is_err(), "{domain:?}");
        }
    }
}
