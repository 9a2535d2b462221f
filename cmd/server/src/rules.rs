//! The rules of admission, from the settings and the files they name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use runtime::config::{ConfigError, Loaded};
use uplink::{BadLines, Keys, MAX_KEYS_FILE, MAX_TOKENS, MAX_TOKENS_FILE, Rules, Token};

use crate::settings::{FilePath, Settings};

/// Reads the files, and makes rules of them and the settings.
///
/// # Errors
/// The first file that cannot be used, with each of its lines that breaks a rule.
pub(crate) fn read(loaded: &Loaded<Settings>) -> Result<Rules, ConfigError> {
    let Settings {
        admission,
        policy,
        domain,
        ..
    } = &loaded.settings;
    let keys = admission.keys_file.as_ref().map(|file| {
        let keys = |text: &[u8]| Keys::read_file(text, domain.as_str());
        read_file(file, MAX_KEYS_FILE, keys).map_err(|why| loaded.fault("admission.keys_file", why))
    });
    let mut tokens: Vec<_> = admission
        .tokens
        .0
        .iter()
        .map(|token| token.0.clone())
        .collect();
    if let Some(file) = &admission.token_file {
        let fault = |why: String| loaded.fault("admission.token_file", why);
        let more = read_file(file, MAX_TOKENS_FILE, Token::read_file).map_err(fault)?;
        if more.is_empty() {
            // To be asked for a token was wished for; everybody would come in.
            return Err(fault(format!(
                "{file}: no token is in it; put one there with `adit-server token new`"
            )));
        }
        tokens.extend(more);
    }
    if tokens.len() > MAX_TOKENS {
        let why = format!(
            "{} tokens; at most {MAX_TOKENS} are valid at once",
            tokens.len()
        );
        return Err(loaded.fault("admission.tokens", why));
    }
    Ok(Rules {
        mode: admission.mode.0,
        keys: keys.transpose()?.unwrap_or_default(),
        tokens,
        custom_domains: admission.custom_domains.0,
        max_links_per_key: admission.max_links_per_key.0,
        ceiling: policy.ceiling(),
    })
}

/// Whatever is wrong is one line that begins with the file's name.
fn read_file<T>(
    file: &FilePath,
    most: usize,
    read: impl FnOnce(&[u8]) -> Result<T, BadLines>,
) -> Result<T, String> {
    let path = file.as_path();
    let text = contents(path, most).map_err(|error| format!("{file}: {error}"))?;
    read(&text).map_err(|bad| bad.in_file(path))
}

/// One byte more than is taken is enough for the reader to refuse it.
fn contents(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut text)?;
    Ok(text)
}
