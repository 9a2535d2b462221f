//! What a file of tunnels comes to: settings, and what of them takes reading other files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use agent::{Config, Dials};
use identity::SecretKey;
use runtime::config::{ConfigError, Document, Layers};
use runtime::files::Print;

use crate::args::BareFlags;
use crate::bare;
use crate::key;
use crate::publish;
use crate::settings::{
    self, Flags, Secrets, Service, Settings, Tunnel, Variable, refuse_variables,
};

/// Attempts at links of one server that may be under way at once: half of what servers let an address have, so that
/// others behind the same address come in too.
const DIALS: usize = 8;

/// Where tunnels are read from, each time they are.
pub(super) struct Source {
    file: PathBuf,
    layers: Layers,
    secrets: Secrets,
    keys: Mutex<Keys>,
    dials: Mutex<HashMap<String, Dials>>,
}

/// Keys that have been opened: a passphrase is asked for once.
type Keys = HashMap<PathBuf, (Option<Print>, Arc<SecretKey>)>;

/// What a file says.
pub(super) struct Plan {
    pub(super) common: Settings,
    pub(super) tunnels: Vec<Tunnel>,
}

/// A tunnel that can be begun.
pub(super) struct Ready {
    pub(super) tunnel: Tunnel,
    pub(super) config: Config,
    /// The key file that was made for it.
    pub(super) made: Option<PathBuf>,
}

impl Source {
    /// # Errors
    /// A variable that cannot be for several tunnels, or is no text.
    pub(super) fn new(
        file: &Path,
        variables: Vec<Variable>,
        above: impl FnOnce(Layers) -> Layers,
    ) -> Result<Self, ConfigError> {
        refuse_variables(&variables)?;
        let secrets = Secrets::of(&variables)?;
        Ok(Self {
            file: file.to_owned(),
            layers: above(settings::environment(variables)?),
            secrets,
            keys: Mutex::default(),
            dials: Mutex::default(),
        })
    }

    /// Reads the file. It may block.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn read(&self) -> Result<Plan, ConfigError> {
        let document = Document::read(&self.file)?;
        let (common, tunnels) = Tunnel::all(&document, &self.layers)?;
        Ok(Plan { common, tunnels })
    }

    /// Reads what a tunnel's settings name. It may block: a password takes some 40 ms to hash.
    ///
    /// # Errors
    /// A rule that is broken, or a file that cannot be used.
    pub(super) fn ready(&self, mut tunnel: Tunnel) -> anyhow::Result<Ready> {
        servable(&tunnel)?;
        let settings = &tunnel.settings;
        let (token, policy) = (
            settings.token(&self.secrets)?,
            settings.policy(&self.secrets)?,
        );
        let (key, made) = self.key(&settings.key)?;
        let mut config = publish::config(settings, key, false)?;
        config.token = token;
        config.policy = policy;
        config.dials = Some(self.dials(settings));
        let key = settings.key.clone();
        tunnel.used(&key);
        let made = made.then_some(key);
        Ok(Ready {
            tunnel,
            config,
            made,
        })
    }

    /// Looks at everything that a tunnel names, and makes nothing.
    ///
    /// # Errors
    /// As [`Source::ready`], but for the key.
    pub(super) fn check(&self, tunnel: &Tunnel) -> Result<(), ConfigError> {
        let settings = &tunnel.settings;
        settings.token(&self.secrets)?;
        settings.policy(&self.secrets)?;
        servable(tunnel)
    }

    fn key(&self, path: &Path) -> anyhow::Result<(Arc<SecretKey>, bool)> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let print = Print::of(path);
        if let Some((known, key)) = keys.get(path)
            && *known == print
        {
            return Ok((key.clone(), false));
        }
        let (key, made) = key::open_or_make(path)?;
        let key = Arc::new(key);
        keys.insert(path.to_owned(), (Print::of(path), key.clone()));
        Ok((key, made))
    }

    /// One pace for all that dial the same server.
    fn dials(&self, settings: &Settings) -> Dials {
        let mut dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        let server = settings.server.to_string();
        dials
            .entry(server)
            .or_insert_with(|| Dials::at_most(DIALS))
            .clone()
    }
}

/// Whether what a tunnel publishes is there, as far as that is known before anybody asks for it.
fn servable(tunnel: &Tunnel) -> Result<(), ConfigError> {
    let there = match &tunnel.service {
        Service::Http(..) => Ok(()),
        Service::Relay(..) => tunnel.settings.relay().map(drop),
        Service::Files(root, config) => files::Folder::new(root, config.clone())
            .map(drop)
            .map_err(Into::into),
        Service::Bare(flags, _) => bare_flags(flags)
            .and_then(|flags| bare::access_key(&flags))
            .map(drop),
    };
    there.map_err(|error| tunnel.unusable(&error))
}

/// The flags of a table that has been read.
pub(super) fn bare_flags(flags: &Flags) -> anyhow::Result<BareFlags> {
    flags
        .parse()
        .map_err(|wrong| anyhow::anyhow!(wrong.problem))
}

impl Plan {
    /// All files that it was read from, or will be.
    pub(super) fn files<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Path> {
        let named = self.tunnels.iter().flat_map(Tunnel::files);
        std::iter::once(&*source.file).chain(named)
    }
}
