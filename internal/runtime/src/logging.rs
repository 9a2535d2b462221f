//! Logs: tracing events on stderr, as text for people or JSON for collectors.
//!
//! stdout is left for what a command was asked for. Events never carry header values, query strings or keys: that is a
//! rule of those who write them, since no filter here could know a secret from a word.

mod plain;
mod writer;

use std::fmt;
use std::io::{self, IsTerminal};
use std::panic;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::Scalar;

pub use writer::{Lines, Written};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event; coloured when stderr is a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is no log format")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl Scalar for LogFormat {
    const WANTED: &'static str = "text or json";
}

/// Which events are written: a level (`info`), or levels by the start of a target (`info,adit=debug`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// What `-v` flags ask for: 0 is `info`, 1 adds Adit's own `debug`, 2 its `trace`, more everything there is.
    #[must_use]
    pub fn verbosity(flags: u8) -> Self {
        Self(match flags {
            0 => "info".to_owned(),
            1 => "info,adit=debug".to_owned(),
            2 => "info,adit=trace".to_owned(),
            _ => "trace".to_owned(),
        })
    }

    /// Nothing but warnings and errors.
    #[must_use]
    pub fn quiet() -> Self {
        Self("warn".to_owned())
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self::verbosity(0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The library takes a misspelt level for a target, and then writes nothing at all.
        for piece in text.split(',').map(str::trim) {
            if !piece.contains(['=', '[']) && piece.parse::<LevelFilter>().is_err() {
                return Err(format!("{piece:?} is no log level"));
            }
        }
        EnvFilter::try_new(text).map_err(|error| format!("{text:?} is no log filter: {error}"))?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scalar for LogFilter {
    const WANTED: &'static str =
        "off, error, warn, info, debug or trace, or levels by target such as info,adit_edge=debug";
}

/// Sends every event of this process to stderr from now on, and panics too, as one `error` event each.
///
/// Lines are written by a thread of their own: whoever logs never waits for a slow reader of stderr. What is still on its
/// way when [`Written`] is dropped is written first; keep it until the process has said its last. A second call in one
/// process sends events nowhere new.
#[must_use = "dropped, it takes the last lines with it"]
pub fn start(format: LogFormat, filter: &LogFilter) -> (Lines, Written) {
    let colour = io::stderr().is_terminal();
    let (lines, written) = writer::start(io::stderr());
    subscribe(format, filter, colour, lines.clone());
    (lines, written)
}

fn subscribe(format: LogFormat, filter: &LogFilter, colour: bool, lines: Lines) {
    let events = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&filter.0))
        .with_ansi(colour)
        .with_writer(lines);
    let started = match format {
        LogFormat::Text if colour => events.try_init(),
        LogFormat::Text => events.event_format(plain::Plain).try_init(),
        LogFormat::Json => events.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// A task that panics is caught by its runtime: without this line nobody would hear of it.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(place, "panic: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_and_not_taken_for_a_target() {
        assert_eq!(
            "inof".parse::<LogFilter>(),
            Err("\"inof\" is no log level".to_owned())
        );
        assert!("info,adit_edge=loud".parse::<LogFilter>().is_err());
    }

    #[test]
    fn levels_and_targets_are_taken() {
        for good in [
            "off",
            "WARN",
            "info,adit=debug",
            "adit_edge[exchange]=trace",
        ] {
            assert_eq!(good.parse::<LogFilter>().unwrap().to_string(), good);
        }
    }
}
