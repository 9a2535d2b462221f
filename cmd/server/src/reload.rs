//! What changes while the server runs: the rules of admission, whenever a file of theirs does, or at SIGHUP.
//!
//! Files are looked at and not watched: [`runtime::files`] says why.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime::config::{ConfigError, Loaded};
use runtime::files::{Files, LOOK};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use uplink::{Rules, Uplink};

use crate::rules;
use crate::settings::{FilePath, Settings};

/// Fields that can change while the server runs; a section stands for all its fields.
const RELOADED: [&str; 7] = [
    "admission.mode",
    "admission.keys_file",
    "admission.token_file",
    "admission.tokens",
    "admission.custom_domains",
    "admission.max_links_per_key",
    "policy",
];

/// Reads the settings anew, from the same places as at the start.
pub(crate) type Source = Arc<dyn Fn() -> Result<Loaded<Settings>, ConfigError> + Send + Sync>;

/// Keeps the rules up to date.
pub(crate) struct Reload {
    source: Source,
    /// The file of settings itself, if there is one.
    config: Option<PathBuf>,
    hangup: Signal,
    began_with: Value,
}

impl Reload {
    /// Takes SIGHUP over from now on.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub(crate) fn listen(
        source: Source,
        config: Option<PathBuf>,
        settings: &Settings,
    ) -> io::Result<Self> {
        Ok(Self {
            source,
            config,
            hangup: signal(SignalKind::hangup())?,
            began_with: fields(settings),
        })
    }

    /// Exchanges the rules of `uplink` whenever they change, for as long as it is polled. Cancel safe.
    pub(crate) async fn keep(mut self, uplink: &Uplink, settings: &Settings) {
        let mut files = Files::of(of_rules(settings, self.config.as_deref()));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                signal = self.hangup.recv() => signal.is_some(),
                _ = looks.tick(), if !files.is_empty() => false,
            };
            let looked = spawn_blocking(move || {
                let changed = files.have_changed();
                (files, changed)
            });
            // A look that panicked has lost the files; nothing in it does.
            let Ok((found, changed)) = looked.await else {
                return;
            };
            files = found;
            if asked || changed {
                tracing::info!(
                    by = if asked { "SIGHUP" } else { "a file" },
                    "reading the rules anew"
                );
                files = self.once(uplink, files).await;
            }
        }
    }

    /// What cannot be used changes nothing, and is said.
    async fn once(&self, uplink: &Uplink, files: Files) -> Files {
        let source = self.source.clone();
        let read = spawn_blocking(move || {
            let loaded = source()?;
            let rules = rules::read(&loaded)?;
            Ok::<_, ConfigError>((loaded.settings, rules))
        });
        match read.await {
            Ok(Ok((settings, rules))) => {
                self.warn_of_what_needs_a_restart(&settings);
                put_in_force(uplink, rules);
                files.follow(of_rules(&settings, self.config.as_deref()))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the rules cannot be read: those that were in force stay");
                files
            }
            Err(_) => files,
        }
    }

    fn warn_of_what_needs_a_restart(&self, settings: &Settings) {
        let mut changed = Vec::new();
        differences("", &self.began_with, &fields(settings), &mut changed);
        if !changed.is_empty() {
            let fields = changed.join(", ");
            tracing::warn!(fields, "these settings were changed and need a restart");
        }
    }
}

fn put_in_force(uplink: &Uplink, rules: Rules) {
    let (keys, tokens) = (rules.keys.len(), rules.tokens.len());
    let cut = uplink.set_rules(rules);
    tracing::info!(keys, tokens, cut, "the rules are in force");
}

/// The files that rules come from.
fn of_rules<'a>(
    settings: &'a Settings,
    config: Option<&'a Path>,
) -> impl Iterator<Item = &'a Path> {
    let admission = &settings.admission;
    let named = [&admission.keys_file, &admission.token_file];
    named
        .into_iter()
        .flatten()
        .map(FilePath::as_path)
        .chain(config)
}

fn fields(settings: &Settings) -> Value {
    serde_json::to_value(settings).expect("settings have only strings, numbers and lists")
}

/// The paths of the fields that differ and are not reloaded.
fn differences(path: &str, before: &Value, now: &Value, found: &mut Vec<String>) {
    if RELOADED.contains(&path) || before == now {
        return;
    }
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            let names: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let field = |fields: &serde_json::Map<_, _>| fields.get(name).cloned();
                let (before, now) = (field(before), field(now));
                differences(
                    &path,
                    &before.unwrap_or(Value::Null),
                    &now.unwrap_or(Value::Null),
                    found,
                );
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use runtime::config::Layers;

    use super::*;
    use crate::settings::checked;

    fn settings(fields: &[(&str, &str)]) -> Settings {
        let layers = fields.iter().fold(Layers::new(), |layers, (path, value)| {
            layers.flag(path, "a flag", Some(value))
        });
        layers.load().and_then(checked).unwrap().settings
    }

    #[test]
    fn what_needs_a_restart_is_named_and_what_is_reloaded_is_not() {
        let changed = |after: &[(&str, &str)]| {
            let mut found = Vec::new();
            differences(
                "",
                &fields(&settings(&[])),
                &fields(&settings(after)),
                &mut found,
            );
            found
        };
        assert_eq!(changed(&[]), Vec::<String>::new());
        assert_eq!(
            changed(&[
                ("workers", "2"),
                ("admission.max_pending", "9"),
                ("pins_file", "/pins"),
            ]),
            ["admission.max_pending", "pins_file", "workers"]
        );
        let reloaded = [
            ("admission.mode", "listed"),
            ("admission.keys_file", "/keys"),
            ("admission.token_file", "/tokens"),
            ("admission.tokens", "a-token-of-sixteen"),
            ("admission.custom_domains", "true"),
            ("admission.max_links_per_key", "1"),
            ("policy.forbid", "cors"),
            ("policy.max_credentials", "1"),
        ];
        assert_eq!(changed(&reloaded), Vec::<String>::new());
    }
}
