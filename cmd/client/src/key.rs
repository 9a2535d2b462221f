//! `adit key`: the public half of a key and what it is called. The secret half is never shown.

use std::io::{self, Write as _};

use anyhow::Context as _;
use identity::{KeyFileError, PublicKey, SecretKey, canonical_host};

use crate::args::Key;
use crate::settings::{self, Settings, Variable};

/// Runs `adit key …`.
pub(crate) fn run(
    command: Key,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let environment = settings::environment(variables)?;
    match command {
        Key::Show { settings, domain } => {
            let settings = Settings::load(settings.layers(environment))?;
            let domain = domain
                .as_deref()
                .map(canonical_host)
                .transpose()
                .context("--domain")?;
            let key = SecretKey::load(&settings.key).map_err(missing)?;
            show(&settings, key.public(), domain.as_deref())
        }
        Key::New { settings } => {
            let settings = Settings::load(settings.layers(environment))?;
            let key = SecretKey::create_new(&settings.key)?;
            show(&settings, key.public(), None)
        }
    }
}

/// A file that is not there can be made; the other errors say themselves what to do.
fn missing(error: KeyFileError) -> anyhow::Error {
    let not_found = matches!(error, KeyFileError::NotFound { .. });
    let error = anyhow::Error::new(error);
    if not_found {
        error.context("make a key with `adit key new`, or name its file with --key")
    } else {
        error
    }
}

fn show(settings: &Settings, key: PublicKey, domain: Option<&str>) -> anyhow::Result<()> {
    let label = key.label(settings.name.as_deref());
    let domain = domain.unwrap_or("<domain of the server>");
    let lines = [
        ("file", settings.key.display().to_string()),
        ("jwk", key.jwk_json()),
        ("thumbprint", key.thumbprint().to_string()),
        ("label", label.clone()),
        ("hostname", format!("{label}.{domain}")),
    ];
    let mut out = io::stdout().lock();
    for (what, value) in lines {
        writeln!(out, "{what:<11} {value}")?;
    }
    Ok(())
}
