//! A table whose fields are the flags of a command: `allow_host = ["a", "b"]` is `--allow-host a --allow-host b`. So what a
//! setting means, and what is wrong with one, is said in one place.

use std::collections::BTreeMap;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Command};
use serde::Deserialize;

/// Flags, as a table has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Flags(BTreeMap<String, Value>);

/// What a field says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Value {
    Switch(bool),
    Number(i64),
    Text(String),
    List(Vec<Self>),
}

/// A field that is wrong, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FlagError {
    pub(crate) field: String,
    pub(crate) problem: String,
}

impl Flags {
    /// The flags, read as a command reads them.
    ///
    /// # Errors
    /// The first field that is no flag, or has a value that its flag does not take.
    pub(crate) fn parse<T: Args>(&self) -> Result<T, FlagError> {
        let command = Command::new("table")
            .no_binary_name(true)
            .disable_help_flag(true);
        let command = T::augment_args(command);
        let matches = command.clone().try_get_matches_from(self.words());
        let parsed = matches.and_then(|matches| T::from_arg_matches(&matches));
        parsed.map_err(|error| explain(&command, &error))
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (field, value) in &self.0 {
            value.spell(&format!("--{}", field.replace('_', "-")), &mut words);
        }
        words
    }
}

impl Value {
    fn spell(&self, flag: &str, words: &mut Vec<String>) {
        match self {
            Self::Switch(true) => words.push(flag.to_owned()),
            Self::Switch(false) => {}
            Self::Number(number) => words.push(format!("{flag}={number}")),
            Self::Text(text) => words.push(format!("{flag}={text}")),
            Self::List(values) => values.iter().for_each(|value| value.spell(flag, words)),
        }
    }
}

fn explain(command: &Command, error: &clap::Error) -> FlagError {
    let field = |flag: &str| flag.trim_start_matches('-').replace('-', "_");
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.split([' ', '=']).next().unwrap_or_default(),
        _ => "",
    };
    let known = || command.get_arguments().filter_map(|flag| flag.get_long());
    let problem = if known().any(|known| flag.trim_start_matches('-') == known) {
        let said = error.to_string();
        let line = said.lines().next().unwrap_or_default();
        line.trim_start_matches("error: ").to_owned()
    } else {
        let known: Vec<_> = known().map(|flag| format!("`{}`", field(flag))).collect();
        format!(
            "unknown field `{}`, expected one of {}",
            field(flag),
            known.join(", ")
        )
    };
    FlagError {
        field: field(flag),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use crate::args::BareFlags;

    use super::*;

    fn bare(fields: &str) -> Result<BareFlags, FlagError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bare.toml");
        std::fs::write(&file, fields).unwrap();
        let layers = runtime::config::Layers::new().file(Some(file));
        layers.load::<Flags>().unwrap().settings.parse()
    }

    #[test]
    fn a_table_is_read_as_the_flags_of_its_command() {
        let fields = "directory = '/bare/'\nallow_host = ['*.example', 'b.example']\nallow_port = [443]\n\
                      no_block_local = true\nvisitor_requests = 0\n";
        let written = format!("{:?}", bare(fields).unwrap());
        for said in [
            "/bare/",
            "b.example",
            "[443]",
            "no_block_local: true",
            "visitor_requests: 0",
        ] {
            assert!(written.contains(said), "{said} is not in {written}");
        }
        assert!(bare("no_block_local = false").is_ok());
    }

    #[test]
    fn what_is_no_flag_or_no_value_of_one_is_told_by_its_field() {
        let unknown = bare("allow_hosts = 'x'").err().unwrap();
        assert_eq!(unknown.field, "allow_hosts");
        assert!(
            unknown.problem.contains("expected one of `directory`"),
            "{}",
            unknown.problem
        );
        let wrong = bare("allow_network = ['here']").err().unwrap();
        assert_eq!(wrong.field, "allow_network");
        assert!(
            wrong.problem.contains("write a network such as 10.0.0.0/8"),
            "{}",
            wrong.problem
        );
        assert_eq!(wrong.problem.lines().count(), 1);
        assert!(bare("directory = true").is_err());
        assert!(bare("no_block_local = 'yes'").is_err());
    }
}
