//! Merging the layers, and remembering where each value came from.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use config::{Config, FileFormat, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::error::ConfigError;

/// The layers above the defaults, which are the settings' own `Default` (`#[serde(default, deny_unknown_fields)]`).
#[derive(Debug, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    environment: Vec<Setting>,
    flags: Vec<Setting>,
}

/// One value of the environment or the command line.
#[derive(Debug)]
struct Setting {
    path: String,
    origin: String,
    value: String,
}

impl Layers {
    /// Nothing but defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a TOML file above the defaults.
    #[must_use]
    pub fn file(mut self, file: Option<PathBuf>) -> Self {
        self.file = file;
        self
    }

    /// Puts the variables that begin with `prefix` above the file: `ADIT_LIMITS__MAX_BODY` is `limits.max_body`.
    ///
    /// An empty variable counts as not set. The names in `others` belong to someone else and are left alone.
    ///
    /// # Errors
    /// [`ConfigError::Variable`] when a value is no Unicode.
    pub fn environment(
        mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        others: &[&str],
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| !others.contains(name)) else {
                continue;
            };
            let Some(path) = name.strip_prefix(prefix) else {
                continue;
            };
            let value = value.into_string().map_err(|_| ConfigError::Variable {
                variable: name.to_owned(),
                why: "the value is not Unicode text".to_owned(),
            })?;
            if !value.is_empty() {
                let path = path.to_ascii_lowercase().replace("__", ".");
                self.environment.push(Setting {
                    path,
                    origin: format!("from {name}"),
                    value,
                });
            }
        }
        Ok(self)
    }

    /// Puts the value of a command-line flag above everything else, when it was given.
    #[must_use]
    pub fn flag(mut self, path: &str, flag: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.flags.push(Setting {
                path: path.to_owned(),
                origin: format!("from {flag}"),
                value: value.to_string(),
            });
        }
        self
    }

    /// Merges the layers and reads the settings out of them.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`ConfigError`] lists them.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, ConfigError> {
        let mut builder = Config::builder();
        if let Some(file) = &self.file {
            let text = fs::read_to_string(file).map_err(|why| ConfigError::Unreadable {
                file: file.clone(),
                why,
            })?;
            builder = builder.add_source(config::File::from_str(&text, FileFormat::Toml));
        }
        // One map of overrides, filled in order: a flag replaces the variable of the same path.
        for Setting {
            path,
            origin,
            value,
        } in self.environment.into_iter().chain(self.flags)
        {
            let value = Value::new(Some(&origin), ValueKind::String(value));
            let unusable = |_| ConfigError::Variable {
                variable: origin,
                why: "the name is no setting".to_owned(),
            };
            builder = builder.set_override(path, value).map_err(unusable)?;
        }
        let merged = builder.build().and_then(|merged| merged.collect());
        let values = merged.map_err(|error| syntax(self.file.as_deref(), &error))?;
        let origins = Origins {
            values,
            file: self.file,
        };
        let root = Value::new(None, ValueKind::Table(origins.values.clone()));
        let settings = serde_path_to_error::deserialize(root).map_err(|error| {
            let field = error.path().to_string();
            origins.fault(&field, sentence(error.into_inner()))
        })?;
        Ok(Loaded { settings, origins })
    }
}

/// Settings, and where each came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// What was read.
    pub settings: T,
    origins: Origins,
}

impl<T> Loaded<T> {
    /// A complaint about one field, for what only the settings as a whole can show to be wrong.
    #[must_use]
    pub fn fault(&self, field: &str, problem: impl Into<String>) -> ConfigError {
        self.origins.fault(field, problem.into())
    }
}

#[derive(Debug)]
struct Origins {
    values: Map<String, Value>,
    file: Option<PathBuf>,
}

impl Origins {
    fn fault(&self, field: &str, problem: String) -> ConfigError {
        ConfigError::Field {
            field: field.to_owned(),
            origin: self.of(field),
            problem,
        }
    }

    /// Values of the file carry no origin: they were read from text here, so that a missing file and a broken one differ.
    fn of(&self, field: &str) -> String {
        let mut found: Option<&Value> = None;
        for segment in field.split(['.', '[']) {
            let table = match found.map(|value| &value.kind) {
                None => &self.values,
                Some(ValueKind::Table(table)) => table,
                Some(_) => break,
            };
            let Some(value) = table.get(segment) else {
                return "the default".to_owned();
            };
            found = Some(value);
        }
        let file = || {
            self.file
                .as_ref()
                .map(|file| format!("in {}", file.display()))
        };
        let origin = found.and_then(Value::origin).map(ToOwned::to_owned);
        origin
            .or_else(file)
            .unwrap_or_else(|| "the default".to_owned())
    }
}

/// The library's own sentence, without the key and the origin that it may repeat.
fn sentence(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, .. } => sentence(*error),
        config::ConfigError::Type {
            unexpected,
            expected,
            ..
        } => format!("found {unexpected}; write {expected}"),
        other => other.to_string(),
    }
}

/// A TOML error is a drawing of several lines; its first line and its last say it all.
fn syntax(file: Option<&Path>, error: &config::ConfigError) -> ConfigError {
    let drawing = match error {
        config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let mut lines = drawing
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let first = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("TOML parse error ")
        .to_owned();
    let why = lines
        .next_back()
        .map_or_else(|| first.clone(), |last| format!("{first}: {last}"));
    ConfigError::Syntax {
        file: file.map(Path::to_path_buf).unwrap_or_default(),
        why,
    }
}
