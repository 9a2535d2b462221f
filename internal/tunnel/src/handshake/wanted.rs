//! Which tunnel an agent asks for, and whether what it is granted is that.
//!
//! The server's word is not taken for it: what belongs to a key or to a host is a hash that the agent computes itself.

use identity::{SecretKey, grant_id, granted_host_id};
use messages::{Granted, TunnelId};

/// Which tunnel an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wanted {
    /// The key's own.
    #[default]
    Own,
    /// A further tunnel of the key, by the rules of [`identity::check_name`].
    Named(String),
    /// A host that the operator granted to the key, as [`identity::canonical_grant`] spells it.
    Host(String),
    /// A readable name that the server makes, one label under its domain.
    Auto,
}

impl Wanted {
    /// The claim `name`.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Named(name) => Some(name.clone()),
            Self::Own | Self::Host(_) | Self::Auto => None,
        }
    }

    /// The claim `host`.
    pub(super) fn host(&self) -> Option<String> {
        match self {
            Self::Host(host) => Some(host.clone()),
            Self::Own | Self::Named(_) | Self::Auto => None,
        }
    }

    /// What it comes to under a domain, for people: `*` stands for what is not the agent's choice.
    pub(super) fn hostname(&self, key: &SecretKey, domain: &str) -> String {
        match self {
            Self::Host(host) => host.clone(),
            Self::Auto => format!("*.{domain}"),
            Self::Own | Self::Named(_) => format!("{}.{domain}", self.of_key(key).label()),
        }
    }

    /// Whether tunnel and hostname are those that were asked for, and belong together.
    pub(super) fn is_met_by(&self, key: &SecretKey, domain: &str, granted: &Granted) -> bool {
        let (tunnel, hostname) = (&granted.tunnel, &granted.hostname);
        let id = match self {
            Self::Own | Self::Named(_) => Ok(self.of_key(key)),
            Self::Host(host) => grant_id(host),
            Self::Auto => granted_host_id(hostname),
        };
        let place = match self {
            Self::Auto => is_readable_name(hostname, domain),
            _ => *hostname == self.hostname(key, domain),
        };
        place && id.is_ok_and(|id| *tunnel == id.label())
    }

    fn of_key(&self, key: &SecretKey) -> TunnelId {
        key.tunnel_id(self.name().as_deref())
    }
}

/// One label under the domain, in lower case, and not the label of some key: that is never the server's to give.
fn is_readable_name(hostname: &str, domain: &str) -> bool {
    let label = hostname
        .strip_suffix(domain)
        .and_then(|front| front.strip_suffix('.'));
    label.is_some_and(|label| {
        identity::check_name(label).is_ok() && TunnelId::from_label(label).is_err()
    })
}
