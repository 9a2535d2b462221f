//! `adit key rotate`: a new key in the place of the old, and in dry words what that is good for.

use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use identity::{Rotated, SecretKey, canonical_host};

use super::{file, passphrase, show};
use crate::end::Misuse;
use crate::settings::Settings;

/// Rotates the key for the server of `domain`, and shows the new one.
pub(super) fn rotate(settings: &Settings, domain: &str, protect: bool) -> anyhow::Result<()> {
    let domain =
        canonical_host(domain).map_err(|error| Misuse(format!("--domain {domain:?}: {error}")))?;
    let opened = file::open(&settings.key)?;
    let passphrase = match opened.passphrase {
        None if protect => Some(passphrase::ask_new(&settings.key)?),
        passphrase => passphrase,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let rotated = SecretKey::rotate_file(&settings.key, passphrase.as_ref(), &domain, now)?;
    // Nobody may be reading; what was done stays done.
    writeln!(io::stderr(), "{}", words(&rotated, &domain)).ok();
    show::show(settings, &rotated.key, None)
}

fn words(rotated: &Rotated, domain: &str) -> String {
    let (key, chain) = (rotated.key_file.display(), rotated.chain_file.display());
    let old = rotated.old_file.display();
    format!(
        "{key} is a new key with the same hostname under {domain}.\n\
         Protected: once the new key has registered at {domain}, that server refuses the old one for ever.\n\
         Not protected: until then, whoever has the old key can still hand the name to a key of their own; at any \
         other server the old key is what it was.\n\
         Now: publish with the new key, soon. Agents that run with the old key are refused from then on.\n\
         Keep copies of {key} and {chain}: the new key has the hostname only with its chain. When it has registered, \
         delete {old}."
    )
}
