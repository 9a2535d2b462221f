//! The operator's rules, and whether an agent meets them: when it comes, and
//! again whenever they change.

use std::num::NonZeroU32;

use identity::auto_name;
use messages::TunnelId;

use super::{
    ceiling::Ceiling,
    denial::Denial,
    grants::Grants,
    keys_file::{Entry, Keys},
    standing::Standing,
    tokens::Token,
};

/// Links of one key on one node, where nothing else is said.
const MAX_LINKS_PER_KEY: NonZeroU32 = NonZeroU32::new(256).expect("256 is not 0");

/// Whom an operator lets in and what they may have. Can be exchanged while links
/// are up: [`Uplink::set_rules`](crate::Uplink::set_rules).
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who comes in at all.
    pub mode: AdmissionMode,
    /// Keys that are listed, denied, and granted something.
    pub keys: Keys,
    /// Whoever comes must know one of these; none: nobody is asked.
    pub tokens: Vec<Token>,
    /// Whether a host outside the server's domain may be proved by the DNS.
    pub custom_domains: bool,
    /// Links of one key on this node, unless the keys file says otherwise.
    /// `None`: not limited.
    pub max_links_per_key: Option<NonZeroU32>,
    /// What policies may ask for.
    pub ceiling: Ceiling,
}

/// Who is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdmissionMode {
    /// Every key that is not denied.
    #[default]
    Open,
    /// Keys that the keys file lists.
    Listed,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: AdmissionMode::Open,
            keys: Keys::default(),
            tokens: Vec::new(),
            custom_domains: false,
            max_links_per_key: Some(MAX_LINKS_PER_KEY),
            ceiling: Ceiling::default(),
        }
    }
}

/// What the rules say of an agent that is not kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    /// Only the DNS can say whether it may have its host.
    UpToDns,
}

/// The names of the server itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnNames<'a> {
    /// Canonical, like the others.
    pub(crate) domain: &'a str,
    /// Agents dial them, so nobody may publish there.
    pub(crate) connect_names: &'a [String],
}

impl Rules {
    /// Judges an agent, in an order in which strangers learn least and cost least.
    pub(crate) fn judge(&self, standing: &Standing, own: OwnNames<'_>) -> Result<Verdict, Denial> {
        let entries: Vec<_> = self.entries(standing).collect();
        if entries.iter().any(|entry| matches!(entry, Entry::Denied)) {
            return Err(Denial::Denied);
        }
        self.check_token(standing)?;
        if self.mode == AdmissionMode::Listed && entries.is_empty() {
            let label = standing.root.label();
            return Err(Denial::Unlisted { label });
        }
        self.ceiling.check(&standing.extent)?;
        let Some(host) = &standing.host else {
            return Ok(Verdict::Holds);
        };
        if listed(&entries).any(|grants| grants.cover(host)) {
            return Ok(Verdict::Holds);
        }
        self.judge_host(standing, host, listed(&entries), own)
    }

    /// Whether an agent that came in may stay. What only the DNS could say anew
    /// counts as not granted.
    pub(crate) fn holds(&self, standing: &Standing, own: OwnNames<'_>) -> Result<(), Denial> {
        match (self.judge(standing, own)?, &standing.host) {
            (Verdict::UpToDns, Some(host)) => Err(not_granted(standing, host, "domain=", host)),
            _ => Ok(()),
        }
    }

    /// How many links the agent's key may have here.
    pub(crate) fn max_links(&self, standing: &Standing) -> Option<NonZeroU32> {
        let entries: Vec<_> = self.entries(standing).collect();
        let own = listed(&entries).find_map(|grants| grants.max_links);
        own.or(self.max_links_per_key)
    }

    /// What is said of any key of its chain: whoever trusted one of them trusts
    /// those it handed over to, and whoever denied one denied them all.
    fn entries(&self, standing: &Standing) -> impl Iterator<Item = &Entry> {
        standing.keys.iter().filter_map(|key| self.keys.get(*key))
    }

    fn check_token(&self, standing: &Standing) -> Result<(), Denial> {
        match &standing.proof {
            _ if self.tokens.is_empty() => Ok(()),
            Some(proof) if proof.is_of_one(&self.tokens) => Ok(()),
            Some(_) => Err(Denial::WrongToken),
            None => Err(Denial::NoToken),
        }
    }

    /// A host that no line of the keys file names.
    fn judge_host<'r>(
        &self,
        standing: &Standing,
        host: &str,
        mut grants: impl Iterator<Item = &'r Grants>,
        own: OwnNames<'_>,
    ) -> Result<Verdict, Denial> {
        let OwnNames {
            domain,
            connect_names,
        } = own;
        let front = match host.strip_suffix(domain) {
            Some("") => Some(""),
            Some(front) => front.strip_suffix('.'),
            None => None,
        };
        let never = |why| {
            let host = host.to_owned();
            Err(Denial::NeverGranted { host, why })
        };
        let Some(front) = front else {
            if connect_names.iter().any(|name| name == host) {
                return never("agents of this server dial it");
            }
            return match (self.custom_domains, standing.proved_by_dns) {
                (true, true) => Ok(Verdict::Holds),
                (true, false) => Ok(Verdict::UpToDns),
                (false, _) => Err(not_granted(standing, host, "domain=", host)),
            };
        };
        if front == auto_name(standing.root) {
            return match grants.any(|grants| grants.auto_names) {
                true => Ok(Verdict::Holds),
                false if standing.auto => Err(not_granted(standing, host, "auto-names", "")),
                false => Err(not_granted(standing, host, "name=", front)),
            };
        }
        match front.split_once('.') {
            None if front.is_empty() => Err(not_granted(standing, host, "root", "")),
            None if TunnelId::from_label(front).is_ok() => {
                never("it is some key's own; the own host of a key is asked for without a name")
            }
            None if front == "*" => never("a wildcard is granted below one label, such as *.blog"),
            None => Err(not_granted(standing, host, "name=", front)),
            Some((_, parent)) if !parent.contains('.') => {
                Err(not_granted(standing, host, "name=*.", parent))
            }
            Some(_) => never(
                "under the domain of this server a host has one label, or one below a wildcard",
            ),
        }
    }
}

fn listed<'e>(entries: &[&'e Entry]) -> impl Iterator<Item = &'e Grants> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Listed(grants) => Some(grants),
        Entry::Denied => None,
    })
}

fn not_granted(standing: &Standing, host: &str, option: &str, value: &str) -> Denial {
    Denial::NotGranted {
        host: host.to_owned(),
        line: format!("{option}{value} {}", standing.root),
    }
}

#[cfg(test)]
mod tests;
