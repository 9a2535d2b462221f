//! `adit key export-jwk`: a key for other programs.

use std::io::{self, IsTerminal as _, Write as _};

use super::file;
use crate::end::Misuse;
use crate::settings::Settings;

/// What becomes of the secret half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// It stays in its file.
    Hidden,
    /// It goes to a file or another program, and not to a screen.
    Piped,
    /// It goes wherever stdout does.
    Shown,
}

/// Prints the JWK on stdout.
pub(super) fn export(settings: &Settings, secret: Secret) -> anyhow::Result<()> {
    // Before the passphrase is asked for in vain.
    if secret == Secret::Piped && io::stdout().is_terminal() {
        let words = "the secret key would be shown on this terminal, and stay in its history; \
                     send it to a file or another program, or give --force";
        return Err(Misuse(words.to_owned()).into());
    }
    let key = file::open(&settings.key)?.key;
    let mut out = io::stdout().lock();
    match secret {
        Secret::Hidden => writeln!(out, "{}", key.public().jwk_json())?,
        Secret::Piped | Secret::Shown => writeln!(out, "{}", key.secret_jwk_json().as_str())?,
    }
    Ok(())
}
