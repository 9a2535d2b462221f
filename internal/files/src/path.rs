//! From the path of a request to the names of files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use percent_encoding::percent_decode_str;

/// The one name with a dot that is meant for everybody (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// Names below the root, from the outermost in. None is empty, leads upwards or has a slash in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) names: Vec<OsString>,
    /// The path ends in a slash: a folder is meant.
    pub(crate) folder: bool,
}

impl Names {
    /// The names of a path in origin form; `None` where it can name nothing that is served.
    pub(crate) fn of(path: &str, dotfiles: bool) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let (inner, folder) = match path.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (path, path.is_empty()),
        };
        if path.is_empty() {
            return Some(Self {
                names: Vec::new(),
                folder,
            });
        }
        let named = |(at, segment): (usize, &str)| {
            let name: Vec<u8> = percent_decode_str(segment).collect();
            let served = is_name(&name) && (dotfiles || is_open(at, &name));
            served.then(|| OsString::from_vec(name))
        };
        let names: Option<Vec<_>> = inner.split('/').enumerate().map(named).collect();
        names.map(|names| Self { names, folder })
    }
}

/// Decoded once: what is a slash or leads upwards now did so in the request's intention, whatever it was spelled like.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

fn is_open(at: usize, name: &[u8]) -> bool {
    !is_dotfile(name) || (at == 0 && name == WELL_KNOWN)
}

/// Whether a name is hidden by custom.
pub(crate) fn is_dotfile(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(path: &str) -> Option<Vec<String>> {
        let names = Names::of(path, false)?.names;
        Some(
            names
                .into_iter()
                .map(|name| name.into_string().unwrap())
                .collect(),
        )
    }

    #[test]
    fn a_path_is_names_decoded_once() {
        assert_eq!(names("/"), Some(vec![]));
        assert_eq!(names("/a/b.txt"), Some(vec!["a".into(), "b.txt".into()]));
        assert_eq!(
            names("/a%20b/c%25d"),
            Some(vec!["a b".into(), "c%d".into()])
        );
        assert_eq!(names("/%252e%252e"), Some(vec!["%2e%2e".into()]));
        assert!(Names::of("/a/", false).unwrap().folder);
        assert!(!Names::of("/a", false).unwrap().folder);
        assert!(Names::of("/", false).unwrap().folder);
    }

    #[test]
    fn nothing_leads_upwards_however_it_is_spelled() {
        for path in [
            "/..",
            "/../etc/passwd",
            "/a/../b",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a/%2e%2e%2fb",
            "/a%2Fb",
            "/.",
            "/./a",
            "//etc/passwd",
            "/a//b",
            "//",
            "/a%00b",
            "*",
            "",
            "etc/passwd",
        ] {
            assert_eq!(names(path), None, "{path}");
        }
    }

    #[test]
    fn dotfiles_are_not_there_unless_they_are_wanted_or_well_known() {
        for path in [
            "/.git/config",
            "/.env",
            "/a/.env",
            "/%2egit/config",
            "/a/.well-known/x",
        ] {
            assert_eq!(names(path), None, "{path}");
            assert!(Names::of(path, true).is_some(), "{path}");
        }
        assert!(names("/.well-known/security.txt").is_some());
    }

    proptest! {
        #[test]
        fn no_name_is_ever_a_way_out(path in "/?[./%2eEfF0a-]{0,24}", dotfiles: bool) {
            for name in Names::of(&path, dotfiles).into_iter().flat_map(|it| it.names) {
                let name = name.into_vec();
                prop_assert!(!name.is_empty() && name != b"." && name != b"..");
                prop_assert!(!name.contains(&b'/') && !name.contains(&0));
            }
        }
    }
}
