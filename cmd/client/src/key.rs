//! `adit key`: the life of a key, from the file it is made in to the key that takes its name over.

mod args;
mod export;
mod file;
mod passphrase;
mod rotate;
mod show;

use anyhow::Context as _;
use identity::SecretKey;

pub(crate) use self::args::Key;
pub(crate) use self::file::open_or_make;
pub(crate) use self::passphrase::PassphraseError;
use crate::settings::{self, Settings, Variable};

/// Runs `adit key …`.
pub(crate) fn run(
    command: Key,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let environment = settings::environment(variables)?;
    match command {
        Key::New {
            settings,
            passphrase,
        } => {
            let settings = Settings::load(settings.layers(environment))?;
            let key = file::make(&settings.key, passphrase)?;
            show::show(&settings, &key, None)
        }
        Key::Show { settings, domain } => {
            let settings = Settings::load(settings.layers(environment))?;
            let domain = domain
                .as_deref()
                .map(identity::canonical_host)
                .transpose()
                .context("--domain")?;
            let key = file::open(&settings.key)?.key;
            show::show(&settings, &key, domain.as_deref())
        }
        Key::Rotate {
            settings,
            domain,
            passphrase,
        } => {
            let settings = Settings::load(settings.layers(environment))?;
            rotate::rotate(&settings, &domain, passphrase)
        }
        Key::ExportJwk {
            settings,
            private,
            force,
        } => {
            let settings = Settings::load(settings.layers(environment))?;
            let secret = match (private, force) {
                (false, _) => export::Secret::Hidden,
                (true, false) => export::Secret::Piped,
                (true, true) => export::Secret::Shown,
            };
            export::export(&settings, secret)
        }
    }
}

/// `1 time`, `2 times`.
fn times(key: &SecretKey) -> String {
    match key.chain().sequence() {
        1 => "1 time".to_owned(),
        many => format!("{many} times"),
    }
}
