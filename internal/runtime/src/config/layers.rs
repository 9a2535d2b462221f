//! Merging the layers, and remembering where each value came from.

use std::ffi::OsString;
use std::path::PathBuf;

use config::{Config, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::document::{Document, syntax};
use super::error::ConfigError;

/// The layers above the defaults, which are the settings' own `Default` (`#[serde(default, deny_unknown_fields)]`).
#[derive(Debug, Clone, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    section: Option<Section>,
    environment: Vec<Setting>,
    flags: Vec<Setting>,
}

/// A table of a file that has settings of its own above those that all such tables have in common.
#[derive(Debug, Clone)]
struct Section {
    document: Document,
    /// The table that holds it, and others like it.
    among: String,
    name: String,
}

impl Section {
    fn path(&self) -> String {
        format!("{}.{}", self.among, self.name)
    }
}

/// Values as a source of settings.
#[derive(Debug, Clone)]
struct Values(Map<String, Value>);

impl Source for Values {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// One value of the environment or the command line.
#[derive(Debug, Clone)]
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

    /// Puts a file that was read already above the defaults, and above its own top level its table `among.name`. The other
    /// tables in `among` are left out. It stands in the place of [`Layers::file`].
    #[must_use]
    pub fn section(mut self, document: &Document, among: &str, name: &str) -> Self {
        self.section = Some(Section {
            document: document.clone(),
            among: among.to_owned(),
            name: name.to_owned(),
        });
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
        let document = match (&self.section, &self.file) {
            (Some(section), _) => Some(section.document.clone()),
            (None, Some(file)) => Some(Document::read(file)?),
            (None, None) => None,
        };
        if let Some(document) = &document {
            let among = self.section.as_ref().map(|section| &*section.among);
            builder = builder.add_source(Values(document.top(among)));
        }
        if let Some(section) = &self.section {
            builder = builder.add_source(Values(section.document.table(&section.path())));
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
        let file = document.as_ref().map(Document::file);
        let values = merged.map_err(|error| syntax(file, &error))?;
        let origins = Origins {
            values,
            document,
            section: self.section.map(|section| section.path()),
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

    /// Whether the section itself says something of this field, and not only what is above or around it.
    #[must_use]
    pub fn is_in_section(&self, field: &str) -> bool {
        let Origins {
            document, section, ..
        } = &self.origins;
        let (Some(document), Some(section)) = (document, section) else {
            return false;
        };
        document.has(&format!("{section}.{field}"))
    }

    /// Whether the layers above the defaults say the same as those of `other`, and from the same places.
    #[must_use]
    pub fn is_written_like<U>(&self, other: &Loaded<U>) -> bool {
        self.origins.values == other.origins.values
    }
}

#[derive(Debug)]
struct Origins {
    values: Map<String, Value>,
    document: Option<Document>,
    /// The path of the table whose settings these are, where they are not the whole file's.
    section: Option<String>,
}

impl Origins {
    fn fault(&self, field: &str, problem: String) -> ConfigError {
        let (path, origin) = self.of(field);
        ConfigError::Field {
            field: path,
            origin,
            problem,
        }
    }

    /// The path of a field in its file, and where its value came from. Values of the file carry no origin: they were read
    /// from text, so that a missing file and a broken one differ.
    fn of(&self, field: &str) -> (String, String) {
        let mut found: Option<&Value> = None;
        for segment in field.split(['.', '[']) {
            let table = match found.map(|value| &value.kind) {
                None => Some(&self.values),
                Some(ValueKind::Table(table)) => Some(table),
                Some(_) => break,
            };
            found = table.and_then(|table| table.get(segment));
            if found.is_none() {
                return self.absent(field);
            }
        }
        if let Some(origin) = found.and_then(Value::origin) {
            return (field.to_owned(), origin.to_owned());
        }
        self.written(field)
    }

    /// A field of the file: of the section's own table, or of the top that all have in common.
    fn written(&self, field: &str) -> (String, String) {
        let Some(document) = &self.document else {
            return (field.to_owned(), "the default".to_owned());
        };
        let own = self
            .section
            .as_ref()
            .map(|section| format!("{section}.{field}"));
        let scalar = |path: &String| document.has(path.split('[').next().unwrap_or(path));
        let path = own.filter(scalar).unwrap_or_else(|| field.to_owned());
        let origin = document.origin(&path);
        (path, origin)
    }

    /// A field that is written nowhere. In a section it belongs there.
    fn absent(&self, field: &str) -> (String, String) {
        match (&self.section, &self.document) {
            (Some(section), Some(document)) => {
                let path = format!("{section}.{field}");
                let origin = document.origin(&path);
                (path, origin)
            }
            _ => (field.to_owned(), "the default".to_owned()),
        }
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
