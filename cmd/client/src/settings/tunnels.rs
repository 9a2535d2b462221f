//! The tables `[tunnels.NAME]` of `adit start`: all settings of an agent, and what to publish.

mod service;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use agent::{Hostname, Links, Transports};
use identity::{Mode, check_name};
use runtime::config::{ConfigError, Document, Layers, Loaded};
use runtime::files::Print;
use tunnel::ws::Endpoint;

pub(super) use self::service::Kind;
pub(crate) use self::service::Service;
use super::{BASIC_AUTH_FILE, Settings, Spelling, VARIABLES, Variable, Written};

/// The table of the tables.
const TUNNELS: &str = "tunnels";

/// The most tunnels of one file: one server takes 256 links of one address, unless its operator says otherwise.
const MOST: usize = 1024;

/// Variables that are for all tunnels; others would say of all what only one can be.
const COMMON: [&str; 10] = [
    "ADIT_SERVER",
    "ADIT_KEY",
    "ADIT_EXPECT_DOMAIN",
    "ADIT_TOKEN_FILE",
    "ADIT_MODE",
    "ADIT_LINKS",
    "ADIT_TRANSPORT",
    "ADIT_CA_FILE",
    "ADIT_SELF_CHECK",
    "ADIT_LOG_FORMAT",
];

/// One of several tunnels.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// That of its table.
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) service: Service,
    /// The files that its settings name, as they were just before they were read.
    files: Vec<(PathBuf, Option<Print>)>,
}

/// What a tunnel cannot change while it runs: another place is another agent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    server: &'a Endpoint,
    key: Named<'a>,
    hostname: &'a Hostname,
    expect_domain: Option<&'a str>,
    mode: Mode,
    links: Links,
    transports: Transports,
    ca_file: Option<Named<'a>>,
    self_check: bool,
}

/// A file, and what it was like.
type Named<'a> = (&'a Path, Option<&'a Print>);

impl Tunnel {
    /// The tunnels of a file, in its order, and the settings that they have in common. `layers` are above it.
    ///
    /// # Errors
    /// The first thing that is wrong, where it stands, and what to write instead.
    pub(crate) fn all(
        document: &Document,
        layers: &Layers,
    ) -> Result<(Settings, Vec<Self>), ConfigError> {
        refuse_at_the_top(document)?;
        let common = Settings::read(layers.clone().section(document, TUNNELS, ""))?;
        let names = document.tables(TUNNELS)?;
        if names.is_empty() || names.len() > MOST {
            let problem = format!(
                "there are {}; write 1 to {MOST} tables [tunnels.NAME], each with its target",
                names.len()
            );
            return Err(document.fault(TUNNELS, problem));
        }
        let mut tunnels: Vec<Self> = Vec::new();
        for name in names {
            let field = format!("{TUNNELS}.{name}");
            check_name(&name).map_err(|error| document.fault(&field, error.to_string()))?;
            let section = layers.clone().section(document, TUNNELS, &name);
            let tunnel = Self::read(name, section)?;
            if let Some(other) = tunnels.iter().find(|other| other.is_published_as(&tunnel)) {
                let problem = format!(
                    "it has the hostname of tunnels.{} too; give it another name, subdomain or custom_domain",
                    other.name
                );
                return Err(document.fault(&field, problem));
            }
            tunnels.push(tunnel);
        }
        Ok((common, tunnels))
    }

    fn read(name: String, layers: Layers) -> Result<Self, ConfigError> {
        let mut settings = Settings::read(layers)?;
        let loaded = &settings.loaded;
        if loaded.is_in_section("log_format") {
            let problem = "all tunnels have one log; write it at the top of the file";
            return Err(loaded.fault("log_format", problem));
        }
        let kind = loaded.settings.r#type.unwrap_or_default();
        if let Some((field, of)) = Kind::FIELDS
            .iter()
            .find(|(field, of)| *of != kind && loaded.is_in_section(field))
        {
            let problem = format!(
                "only a tunnel with type = \"{of}\" has it, this one has {kind}; leave it out"
            );
            return Err(loaded.fault(field, problem));
        }
        if kind == Kind::Relay {
            let Written { target, relay, .. } = &mut settings.loaded.settings;
            relay.upstream.clone_from(target);
        }
        let service = Service::read(&settings, kind)?;
        // The name of the table is the name of the tunnel, unless it has a hostname of another kind. An empty name is the
        // key's own.
        if settings.hostname == Hostname::Own && settings.loaded.settings.name.is_none() {
            settings.hostname = Hostname::Named(name.clone());
            settings.name = Some(name.clone());
        }
        let files = settings.files_named();
        let mut files: Vec<_> = files
            .map(|file| (file.to_owned(), Print::of(file)))
            .collect();
        if let Service::Bare(_, Some(key)) = &service {
            files.push(key.clone());
        }
        Ok(Self {
            name,
            settings,
            service,
            files,
        })
    }

    fn is_published_as(&self, other: &Self) -> bool {
        let hostname = |tunnel: &Self| {
            let Settings {
                server,
                key,
                hostname,
                ..
            } = &tunnel.settings;
            (server.clone(), key.clone(), hostname.clone())
        };
        hostname(self) == hostname(other)
    }

    /// Whether nothing of it differs: not what is written, and not the files that are named there.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.settings.loaded.is_written_like(&other.settings.loaded) && self.files == other.files
    }

    /// Takes note of what a file is like now that it has been used, or made.
    pub(crate) fn used(&mut self, file: &Path) {
        let known = self.files.iter_mut().find(|(path, _)| path == file);
        if let Some((_, print)) = known {
            *print = Print::of(file);
        }
    }

    /// What another agent would have to be begun for.
    pub(crate) fn place(&self) -> Place<'_> {
        let settings = &self.settings;
        Place {
            server: &settings.server,
            key: self.named(&settings.key),
            hostname: &settings.hostname,
            expect_domain: settings.expect_domain.as_deref(),
            mode: settings.mode,
            links: settings.links,
            transports: settings.transports,
            ca_file: settings.ca_file.as_deref().map(|file| self.named(file)),
            self_check: settings.self_check,
        }
    }

    fn named<'a>(&'a self, file: &'a Path) -> Named<'a> {
        let known = self.files.iter().find(|(path, _)| path == file);
        (file, known.and_then(|(_, print)| print.as_ref()))
    }

    /// The files that its settings name.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| &**path)
    }

    /// A complaint about what it publishes.
    pub(crate) fn unusable(&self, error: &anyhow::Error) -> ConfigError {
        let field = match self.service {
            Service::Http(..) | Service::Files(..) | Service::Relay(..) => "target",
            Service::Bare(..) => "bare.access_key_file",
        };
        let problem = format!("{} cannot be served: {error:#}", self.service);
        self.settings.loaded.fault(field, problem)
    }
}

impl Settings {
    fn files_named(&self) -> impl Iterator<Item = &Path> {
        let written = &self.loaded.settings;
        [
            Some(&*self.key),
            self.ca_file.as_deref(),
            written.token_file.as_deref(),
        ]
        .into_iter()
        .chain(written.policy.files())
        .flatten()
    }
}

/// A single tunnel has its target on the command line.
pub(super) fn refuse_its_fields(loaded: &Loaded<Written>) -> Result<(), ConfigError> {
    let Written { r#type, target, .. } = &loaded.settings;
    for (field, written) in [("type", r#type.is_some()), ("target", target.is_some())] {
        if written {
            let problem = "it belongs under [tunnels.NAME], in a file for adit start; this command has it as its argument";
            return Err(loaded.fault(field, problem));
        }
    }
    Ok(())
}

/// What only one tunnel can be or have is not said of all.
fn refuse_at_the_top(document: &Document) -> Result<(), ConfigError> {
    let hostnames = Spelling::ALL.map(Spelling::field);
    let own = hostnames.into_iter().chain(["type", "target"]);
    match own.into_iter().find(|field| document.has(field)) {
        Some(field) => {
            let problem = "each tunnel has its own; write it under [tunnels.NAME]";
            Err(document.fault(field, problem))
        }
        None => Ok(()),
    }
}

/// Refuses variables that say of all tunnels what one is: to pass one over could leave a password out.
///
/// # Errors
/// The first that is set.
pub(crate) fn refuse_variables(variables: &[Variable]) -> Result<(), ConfigError> {
    let single = VARIABLES.iter().filter(|name| !COMMON.contains(name));
    let single = single.chain([&BASIC_AUTH_FILE.0, &"ADIT_BASIC_AUTH"]);
    for name in single {
        let found = variables.iter().find(|(variable, _)| variable == name);
        if found.is_some_and(|(_, value)| !value.to_string_lossy().trim().is_empty()) {
            return Err(ConfigError::Variable {
                variable: (*name).to_owned(),
                why: "it is for a single tunnel; write what it says under [tunnels.NAME] in the file, and unset it".to_owned(),
            });
        }
    }
    Ok(())
}
