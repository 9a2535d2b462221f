//! A TOML file that has been read: its values, and on which line each stands.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{FileFormat, Map, Source as _, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// The largest file of settings, in bytes: some thousand tunnels with their rules.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A TOML file that has been read. Clones share it.
#[derive(Debug, Clone)]
pub struct Document(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    text: String,
    values: Map<String, Value>,
}

impl Document {
    /// Reads a file of at most 4 MiB.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is no TOML.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |why| ConfigError::Unreadable {
            file: file.to_owned(),
            why,
        };
        let text = read(file).map_err(unreadable)?;
        let source = config::File::from_str(&text, FileFormat::Toml);
        let values = source.collect();
        let values = values.map_err(|error| syntax(Some(file), &error))?;
        Ok(Self(Arc::new(Inner {
            file: file.to_owned(),
            text,
            values,
        })))
    }

    /// Where it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// The tables in the table `name`, in the order in which they are written. None where there is no such table.
    ///
    /// # Errors
    /// It is no table, or something in it is none.
    pub fn tables(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let Some(value) = self.0.values.get(name) else {
            return Ok(Vec::new());
        };
        let ValueKind::Table(tables) = &value.kind else {
            let problem = format!(
                "found {}; write [{name}.NAME] and the settings below it",
                kind(value)
            );
            return Err(self.fault(name, problem));
        };
        let mut names = Vec::new();
        for (key, value) in tables {
            let field = format!("{name}.{key}");
            if !matches!(value.kind, ValueKind::Table(_)) {
                let problem = format!(
                    "found {}; write [{field}] and the settings below it",
                    kind(value)
                );
                return Err(self.fault(&field, problem));
            }
            names.push((self.line(&field), key.clone()));
        }
        names.sort();
        Ok(names.into_iter().map(|(_, key)| key).collect())
    }

    /// A complaint about one field, with its line.
    #[must_use]
    pub fn fault(&self, field: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Field {
            field: field.to_owned(),
            origin: self.origin(field),
            problem: problem.into(),
        }
    }

    /// All values but the table `without`.
    pub(super) fn top(&self, without: Option<&str>) -> Map<String, Value> {
        let mut values = self.0.values.clone();
        without.map(|name| values.remove(name));
        values
    }

    /// The values of a table, by its path.
    pub(super) fn table(&self, path: &str) -> Map<String, Value> {
        match self.find(path).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.clone(),
            _ => Map::new(),
        }
    }

    /// Whether a value is written there.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    fn find(&self, path: &str) -> Option<&Value> {
        let mut segments = path.split('.');
        let first = self.0.values.get(segments.next()?)?;
        segments.try_fold(first, |value, segment| match &value.kind {
            ValueKind::Table(table) => table.get(segment),
            _ => None,
        })
    }

    /// Where a field stands, in the words of complaints.
    pub(super) fn origin(&self, field: &str) -> String {
        let file = self.0.file.display();
        match self.line(field) {
            Some(line) => format!("in {file}, line {line}"),
            None => format!("in {file}"),
        }
    }

    /// The line of a field, or of the innermost table around it that is written. Asked only for complaints, so the text is
    /// read again for each.
    fn line(&self, field: &str) -> Option<usize> {
        let text = &self.0.text;
        let table = DeTable::parse(text).ok()?;
        let mut at = None;
        let mut inside = Some(table.into_inner());
        for segment in field.split(['.', '[']) {
            let Some(table) = inside.take() else {
                break;
            };
            let Some((key, value)) = table.into_iter().find(|(key, _)| key.get_ref() == segment)
            else {
                break;
            };
            at = Some(key.span().start);
            if let DeValue::Table(table) = value.into_inner() {
                inside = Some(table);
            }
        }
        let before = text.as_bytes().get(..at?)?;
        Some(1 + before.iter().filter(|byte| **byte == b'\n').count())
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_FILE} bytes"
        )));
    }
    Ok(text)
}

fn kind(value: &Value) -> &'static str {
    match value.kind {
        ValueKind::Array(_) => "a list",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a table",
        _ => "a single value",
    }
}

/// A TOML error is a drawing of several lines; its first line and its last say it all.
pub(super) fn syntax(file: Option<&Path>, error: &config::ConfigError) -> ConfigError {
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
