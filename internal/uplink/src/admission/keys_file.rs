//! The keys file: whom the operator admits, denies, and grants what. Lines like
//! those of `authorized_keys`:
//!
//! ```text
//! # [options] key [comment]
//! jgiv4dl5jnac4max2ailyhaoqpfmnr4x23aw4zrub7rsnbutu2qq            laptop of Ann
//! name=blog,name=*.blog ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo  blog
//! deny o33v4yjj7yybgw6ujwakw7gen7n2qgihowg4qcht4jixx3xswhuq
//! ```
//!
//! A key is its label (the 52 characters that are its own hostname) or the
//! public key itself. Whatever is not understood is an error with its line: an
//! option that were skipped in silence could be a `deny`.

use std::num::NonZeroU32;

use data_encoding::BASE64URL_NOPAD;
use foldhash::{HashMap, HashMapExt, HashSet};
use identity::{PublicKey, canonical_grant, check_name};
use messages::TunnelId;

use super::{
    grants::Grants,
    lines::{self, BadLines, Bounds},
};

/// About 30,000 keys with a comment each.
const BOUNDS: Bounds = Bounds {
    file: MAX_KEYS_FILE,
    line: 4096,
    entries: 65_536,
};

/// The largest keys file, in bytes.
pub const MAX_KEYS_FILE: usize = 4 << 20;

/// The most hosts of one key.
const MAX_HOSTS: usize = 64;

/// The public key's spelling in the file, before the base64url.
const PUBLIC_KEY: &str = "ed25519:";

const OPTIONS: &str = "name=, root, domain=, auto-names, max-links=, deny";

/// Keys, and what is said of each. Empty by default.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Keys {
    entries: HashMap<TunnelId, Entry>,
    /// Every host that is granted to anybody, `*.` first where it is a wildcard.
    hosts: HashSet<String>,
}

/// What the file says of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Denied,
    Listed(Grants),
}

impl Keys {
    /// Reads a keys file for a server whose domain is `domain` (canonical).
    ///
    /// # Errors
    /// Every line that breaks a rule.
    pub fn read_file(text: &[u8], domain: &str) -> Result<Self, BadLines> {
        let mut keys = Self::default();
        let mut seen: HashMap<TunnelId, usize> = HashMap::new();
        lines::read(text, BOUNDS, |number, line| {
            let (key, entry) = read_line(line, domain)?;
            if let Some(before) = seen.insert(key, number) {
                return Err(format!(
                    "this key is on line {before} too; write one line for it"
                ));
            }
            if let Entry::Listed(grants) = &entry {
                keys.hosts.extend(grants.hosts.iter().cloned());
            }
            keys.entries.insert(key, entry);
            Ok(())
        })?;
        Ok(keys)
    }

    /// How many keys it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it names none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is said of a key, by the tunnel that is its own.
    pub(crate) fn get(&self, key: TunnelId) -> Option<&Entry> {
        self.entries.get(&key)
    }

    /// Whether some line grants a host (canonical), itself or by a wildcard.
    pub(crate) fn grant(&self, host: &str) -> bool {
        let below = || {
            host.split_once('.')
                .map(|(_, parent)| format!("*.{parent}"))
        };
        self.hosts.contains(host) || below().is_some_and(|wildcard| self.hosts.contains(&wildcard))
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.entries.len())
    }
}

/// The first field is the key, or the options before it; what follows the key is
/// for people.
fn read_line(line: &str, domain: &str) -> Result<(TunnelId, Entry), String> {
    let mut fields = line.split_ascii_whitespace();
    let first = fields.next().unwrap_or_default();
    if let Some(key) = read_key(first) {
        return Ok((key?, Entry::Listed(Grants::default())));
    }
    let entry = read_options(first, domain)?;
    let key = fields.next().and_then(read_key).unwrap_or_else(|| {
        Err(format!(
            "no key after the options; write a label of 52 characters, or {PUBLIC_KEY} and the public key in base64url"
        ))
    });
    Ok((key?, entry))
}

/// `None` for what does not look like a key at all.
fn read_key(field: &str) -> Option<Result<TunnelId, String>> {
    if let Some(public) = field.strip_prefix(PUBLIC_KEY) {
        return Some(read_public_key(public));
    }
    if field.len() != 52 || field.contains(['=', ',']) {
        return None;
    }
    let key = TunnelId::from_label(field);
    Some(key.map_err(|error| format!("{field:?} is no label of a key: {error}")))
}

fn read_public_key(text: &str) -> Result<TunnelId, String> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or("a public key is 32 bytes in base64url: 43 characters")?;
    let key = PublicKey::from_bytes(&bytes).map_err(|error| error.to_string())?;
    Ok(key.tunnel_id(None))
}

fn read_options(field: &str, domain: &str) -> Result<Entry, String> {
    let mut grants = Grants::default();
    let mut denied = false;
    for option in field.split(',') {
        match option.split_once('=') {
            None if option == "deny" => denied = true,
            None if option == "root" => grants.hosts.push(domain.to_owned()),
            None if option == "auto-names" => grants.auto_names = true,
            Some(("name", name)) => grants.hosts.push(read_name(name, domain)?),
            Some(("domain", host)) => grants.hosts.push(read_domain(host, domain)?),
            Some(("max-links", number)) => grants.max_links = Some(read_number(number)?),
            _ => {
                return Err(format!(
                    "{option:?} is neither a key nor an option; there are {OPTIONS}"
                ));
            }
        }
    }
    if grants.hosts.len() > MAX_HOSTS {
        return Err(format!("more than {MAX_HOSTS} hosts for one key"));
    }
    if !denied {
        return Ok(Entry::Listed(grants));
    }
    if field == "deny" {
        return Ok(Entry::Denied);
    }
    Err("deny stands alone: nothing is granted to a key that is denied".to_owned())
}

/// A label under the server's domain, or `*.` and a label.
fn read_name(name: &str, domain: &str) -> Result<String, String> {
    let label = name.strip_prefix("*.").unwrap_or(name);
    check_name(label)
        .map_err(|error| format!("name={name}: {error}; write name=blog or name=*.blog"))?;
    if TunnelId::from_label(label).is_ok() {
        return Err(format!(
            "name={name}: this label is some key's own and cannot be granted"
        ));
    }
    canonical_grant(&format!("{name}.{domain}")).map_err(|error| format!("name={name}: {error}"))
}

/// A host of somebody else's domain, or `*.` and one.
fn read_domain(host: &str, domain: &str) -> Result<String, String> {
    let canonical = canonical_grant(host).map_err(|error| format!("domain={host}: {error}"))?;
    let bare = canonical.strip_prefix("*.").unwrap_or(&canonical);
    if bare == domain || bare.ends_with(&format!(".{domain}")) {
        return Err(format!(
            "domain={host}: it belongs to this server; write name= or root instead"
        ));
    }
    Ok(canonical)
}

fn read_number(number: &str) -> Result<NonZeroU32, String> {
    number
        .parse()
        .map_err(|_| format!("max-links={number}: a whole number from 1 is wanted"))
}

#[cfg(test)]
mod tests;
