//! What the operator grants to one key beyond what every key has: hosts, a
//! readable name, a number of links.

use std::num::NonZeroU32;

/// The hosts and numbers of one key. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Grants {
    /// Whole host names in canonical form; `*.` first stands for one label.
    pub(crate) hosts: Vec<String>,
    /// The server may pick a readable name for it.
    pub(crate) auto_names: bool,
    /// Its links on one node; `None`: what every key may have.
    pub(crate) max_links: Option<NonZeroU32>,
}

impl Grants {
    /// Whether it may have `host` (canonical, perhaps a wildcard): by name, or
    /// by a wildcard one label above it.
    pub(crate) fn cover(&self, host: &str) -> bool {
        self.hosts.iter().any(|granted| {
            granted == host
                || granted.strip_prefix("*.").is_some_and(|parent| {
                    host.split_once('.')
                        .is_some_and(|(label, above)| label != "*" && above == parent)
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(hosts: &[&str]) -> Grants {
        Grants {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Grants::default()
        }
    }

    #[test]
    fn a_name_covers_itself_and_nothing_near_it() {
        let grants = grants(&["blog.adit.example"]);
        assert!(grants.cover("blog.adit.example"));
        for other in [
            "adit.example",
            "blogs.adit.example",
            "a.blog.adit.example",
            "*.adit.example",
            "*.blog.adit.example",
            "blog.adit.example.org",
        ] {
            assert!(!grants.cover(other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_label_and_not_what_is_above() {
        let grants = grants(&["*.blog.adit.example"]);
        assert!(grants.cover("*.blog.adit.example"));
        assert!(grants.cover("en.blog.adit.example"));
        for other in [
            "blog.adit.example",
            "a.en.blog.adit.example",
            "*.en.blog.adit.example",
            "en.vlog.adit.example",
        ] {
            assert!(!grants.cover(other), "{other}");
        }
    }

    #[test]
    fn nothing_is_granted_by_default() {
        assert!(!Grants::default().cover("adit.example"));
    }
}
