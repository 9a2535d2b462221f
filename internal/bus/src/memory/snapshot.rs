//! The file that pins survive a restart in: text, read whole at start, replaced whole when a pin is added.
//!
//! ```text
//! adit pins 1
//! NAME SEQUENCE TIP          for each name, in order; names and tips in base32 as labels are
//! end COUNT CHECKSUM         CRC-32 (IEEE) of all lines before, eight hexadecimal digits
//! ```
//!
//! A file that is not exactly that is an error and never repaired: to go on with some of the pins would be to let
//! retired keys back in. The checksum is against bad disks and editors, not against people.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use messages::TunnelId;
use thiserror::Error;

use crate::law::{MAX_PINS, Pin, Pins};

const FIRST_LINE: &str = "adit pins 1";

/// Two labels, the longest number, two spaces and the end of the line.
const MAX_LINE: usize = 52 + 1 + 20 + 1 + 52 + 1;

/// With its first and its last line, which are shorter.
const MAX_FILE: usize = (MAX_PINS + 2) * MAX_LINE;

/// Why pins could not be read, or their file not be made.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The file cannot be read, or not be made where it is missing.
    #[error("the pins of rotated keys in {path:?} cannot be kept: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not as it was written.
    #[error(
        "the pins of rotated keys in {path:?} are damaged in line {line}: {why}; restore the file, \
         or remove it to forget which keys were retired"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// Reads the file; where there is none it is made, so that a place that cannot be written to is noticed at once.
pub(super) fn open(path: &Path) -> Result<Pins, SnapshotError> {
    let io = |source| SnapshotError::Io {
        path: path.to_owned(),
        source,
    };
    match read(path) {
        Ok(bytes) => decode(&bytes).map_err(|(line, why)| SnapshotError::Damaged {
            path: path.to_owned(),
            line,
            why,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pins = Pins::default();
            write(path, &encode(&pins)).map_err(io)?;
            Ok(pins)
        }
        Err(error) => Err(io(error)),
    }
}

/// Replaces the file; it is on disk when this returns. A crash leaves the old or the new one, and at worst a temporary
/// file beside it.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".adit-pins.")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

pub(super) fn encode(pins: &Pins) -> String {
    let mut text = String::with_capacity(MAX_LINE * (pins.len() + 2));
    text.push_str(FIRST_LINE);
    text.push('\n');
    for (name, Pin { sequence, tip }) in pins.iter() {
        let (name, tip) = (TunnelId(name), TunnelId(tip));
        writeln!(text, "{name} {sequence} {tip}").expect("a string takes everything");
    }
    let (count, sum) = (pins.len(), crc32fast::hash(text.as_bytes()));
    writeln!(text, "end {count} {sum:08x}").expect("a string takes everything");
    text
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let limit = MAX_FILE as u64 + 1;
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// On an error the line, and what is wrong with it.
fn decode(bytes: &[u8]) -> Result<Pins, (usize, &'static str)> {
    if bytes.len() > MAX_FILE {
        return Err((1, "it is larger than it can be"));
    }
    let text = str::from_utf8(bytes).map_err(|_| (1, "it is no text"))?;
    let mut pins = Pins::default();
    let mut read = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let number = at + 1;
        let words: Vec<&str> = line.split([' ', '\n']).collect();
        match words[..] {
            _ if at == 0 && line.strip_suffix('\n') == Some(FIRST_LINE) => {}
            _ if at == 0 => return Err((number, "it does not begin as such a file does")),
            ["end", count, sum, ""] => {
                let (before, after) = text.split_at(read);
                let whole = crc32fast::hash(before.as_bytes());
                return if count != pins.len().to_string() || sum != format!("{whole:08x}") {
                    Err((number, "the lines before are not those that were written"))
                } else if after.len() > line.len() {
                    Err((number + 1, "something follows the end"))
                } else {
                    Ok(pins)
                };
            }
            [name, sequence, tip, ""] => {
                let (name, pin) =
                    decode_pin(name, sequence, tip).ok_or((number, "it is no pin"))?;
                if pins.remember(name, pin).is_some() {
                    return Err((number, "its name was there before"));
                }
            }
            _ => return Err((number, "it is no pin")),
        }
        read += line.len();
    }
    Err((text.lines().count() + 1, "the end is missing"))
}

fn decode_pin(name: &str, sequence: &str, tip: &str) -> Option<([u8; 32], Pin)> {
    let TunnelId(name) = TunnelId::from_label(name).ok()?;
    let TunnelId(tip) = TunnelId::from_label(tip).ok()?;
    let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0)?;
    Some((name, Pin { sequence, tip }))
}

#[cfg(test)]
mod tests;
