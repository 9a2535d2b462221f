//! Files of one entry a line, as an operator writes them: read within bounds,
//! and complained about by line.

use std::{fmt, path::Path};

/// Complaints that are kept; an operator mends a few at a time.
const MAX_COMPLAINTS: usize = 16;

/// The lines of a file that cannot be used. None of the file is then in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadLines {
    first: Vec<(usize, String)>,
    more: usize,
}

impl BadLines {
    /// Each line with the file's name and the rule it breaks, on one line:
    /// `keys:3: unknown option …; keys:7: …`.
    #[must_use]
    pub fn in_file(&self, file: &Path) -> String {
        let complaints = self.first.iter().map(|(line, rule)| match line {
            0 => format!("{}: {rule}", file.display()),
            line => format!("{}:{line}: {rule}", file.display()),
        });
        let mut text = complaints.collect::<Vec<_>>().join("; ");
        if self.more > 0 {
            text.push_str(&format!("; and {} more lines", self.more));
        }
        text
    }

    pub(super) fn push(&mut self, line: usize, rule: impl fmt::Display) {
        if self.first.len() < MAX_COMPLAINTS {
            self.first.push((line, rule.to_string()));
        } else {
            self.more += 1;
        }
    }
}

/// How large a file, and each of its lines, may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) entries: usize,
}

/// Reads every line that is neither blank nor a comment (`#` first). `take` gets
/// the line's number, from 1, and its text without white space at the edges, and
/// says which rule it breaks.
///
/// All lines are looked at before it fails, so that one round of mending is
/// enough.
pub(super) fn read<'t>(
    text: &'t [u8],
    bounds: Bounds,
    mut take: impl FnMut(usize, &'t str) -> Result<(), String>,
) -> Result<(), BadLines> {
    let mut bad = BadLines::default();
    if text.len() > bounds.file {
        bad.push(0, format_args!("more than {} bytes", bounds.file));
        return Err(bad);
    }
    let mut entries = 0;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        entries += 1;
        if entries > bounds.entries {
            bad.push(number, format_args!("more than {} entries", bounds.entries));
            break;
        }
        if let Err(rule) = check(line, bounds).and_then(|line| take(number, line)) {
            bad.push(number, rule);
        }
    }
    if bad == BadLines::default() {
        Ok(())
    } else {
        Err(bad)
    }
}

fn check(line: &[u8], bounds: Bounds) -> Result<&str, String> {
    if line.len() > bounds.line {
        return Err(format!("longer than {} bytes", bounds.line));
    }
    std::str::from_utf8(line).map_err(|_| "not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        file: 200,
        line: 20,
        entries: 4,
    };

    fn read_all(text: &[u8]) -> Result<Vec<(usize, String)>, String> {
        let mut lines = Vec::new();
        let read = read(text, BOUNDS, |number, line| {
            if line == "wrong" {
                return Err("is wrong".to_owned());
            }
            lines.push((number, line.to_owned()));
            Ok(())
        });
        read.map(|()| lines)
            .map_err(|bad| bad.in_file(Path::new("list")))
    }

    #[test]
    fn blank_lines_and_comments_count_as_lines_and_say_nothing() {
        let text = b"# head\n\n  one \r\n\t# note\ntwo";
        assert_eq!(
            read_all(text).unwrap(),
            [(3, "one".to_owned()), (5, "two".to_owned())]
        );
        assert_eq!(read_all(b"").unwrap(), []);
    }

    #[test]
    fn every_bad_line_is_named_and_none_of_the_file_is_taken() {
        let text = b"one\nwrong\n\xff\nthis line is far too long\n";
        assert_eq!(
            read_all(text).unwrap_err(),
            "list:2: is wrong; list:3: not UTF-8 text; list:4: longer than 20 bytes"
        );
    }

    #[test]
    fn a_file_has_bounds() {
        assert_eq!(
            read_all(&[b'#'; 201]).unwrap_err(),
            "list: more than 200 bytes"
        );
        assert_eq!(
            read_all(b"1\n2\n3\n4\n5\n6\n").unwrap_err(),
            "list:5: more than 4 entries"
        );
    }

    #[test]
    fn what_is_said_of_a_file_of_nothing_but_mistakes_is_bounded() {
        let bounds = Bounds {
            entries: 100,
            ..BOUNDS
        };
        let bad = read(&b"x\n".repeat(40), bounds, |_, _| Err("no".to_owned())).unwrap_err();
        let said = bad.in_file(Path::new("list"));
        assert!(said.ends_with("list:16: no; and 24 more lines"), "{said}");
    }
}
