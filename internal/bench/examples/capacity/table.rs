//! Markdown, and numbers that people can read.

use std::io::{self, Write};

/// A table with its heading.
pub(crate) struct Table {
    title: String,
    columns: usize,
    lines: Vec<String>,
    note: String,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let rule = columns.iter().enumerate();
        let rule: Vec<&str> = rule.map(|(at, _)| ["---", "---:"][at.min(1)]).collect();
        Self {
            title: title.to_owned(),
            columns: columns.len(),
            lines: vec![line(columns), line(&rule)],
            note: String::new(),
        }
    }

    /// # Panics
    /// When the row has another number of cells than the table has columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: &[String; N]) {
        assert_eq!(N, self.columns, "a row has a cell for each column");
        self.lines.push(line(cells));
    }

    pub(crate) fn with_note(mut self, note: String) -> Self {
        self.note = note;
        self
    }

    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n### {}\n\n{}", self.title, self.lines.join("\n"))?;
        if !self.note.is_empty() {
            writeln!(out, "\n{}", self.note)?;
        }
        Ok(())
    }
}

fn line(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |", cells.join(" | "))
}

/// Three digits that count, in thousands where there are many.
pub(crate) fn number(value: f64) -> String {
    let digits: usize = match value {
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction.trim_end_matches('0') {
        "" => grouped,
        fraction => format!("{grouped}.{fraction}"),
    }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

pub(crate) fn memory(bytes: f64) -> String {
    let kib = bytes / 1024.0;
    match kib {
        small if small < 1024.0 => format!("{} KiB", number(small)),
        some if some < 1024.0 * 1024.0 => format!("{} MiB", number(some / 1024.0)),
        much => format!("{} GiB", number(much / 1024.0 / 1024.0)),
    }
}
