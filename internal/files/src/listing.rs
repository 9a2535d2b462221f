//! A folder as a page of names.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{AtFlags, Dir, FileType, statat};

use crate::open::Place;
use crate::path::is_dotfile;

/// The most names on one page. A folder with more says so.
const MOST: usize = 10_000;

/// What stands for itself in a link.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One name of a folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Files after folders.
    is_file: bool,
    name: Vec<u8>,
}

/// The page of a folder: only what would be served under it.
pub(crate) fn page(
    place: &Place,
    title: &str,
    dotfiles: bool,
    symlinks: bool,
) -> io::Result<String> {
    let folder = place.listed()?;
    let mut entries = Vec::new();
    let mut more = false;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") || (!dotfiles && is_dotfile(name)) {
            continue;
        }
        let mut kind = entry.file_type();
        let asked = match kind {
            FileType::Unknown => Some(AtFlags::SYMLINK_NOFOLLOW),
            FileType::Symlink if symlinks => Some(AtFlags::empty()),
            _ => None,
        };
        if let Some(flags) = asked {
            // One that is gone, or leads nowhere, is left out.
            let stat = statat(&folder, entry.file_name(), flags);
            kind = stat.map_or(FileType::Unknown, |stat| {
                FileType::from_raw_mode(stat.st_mode)
            });
        }
        let is_file = match kind {
            FileType::RegularFile => true,
            FileType::Directory => false,
            _ => continue,
        };
        if entries.len() == MOST {
            more = true;
            break;
        }
        entries.push(Entry {
            is_file,
            name: name.to_owned(),
        });
    }
    entries.sort_unstable();
    Ok(render(&entries, title, more))
}

fn render(entries: &[Entry], title: &str, more: bool) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if title != "/" {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for entry in entries {
        let slash = if entry.is_file { "" } else { "/" };
        let link = percent_encode(&entry.name, KEPT);
        let shown = escaped(&OsStr::from_bytes(&entry.name).to_string_lossy());
        // Relative, and so right under whatever prefix the folder is published. The dot keeps "a:b" from being a scheme.
        writeln!(page, "<li><a href=\"./{link}{slash}\">{shown}{slash}</a>")
            .expect("a string takes all");
    }
    page.push_str("</ul>\n");
    if more {
        writeln!(
            page,
            "<p>There are more than {MOST}; these are some of them.</p>"
        )
        .expect("a string takes all");
    }
    page
}

fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut escaped, c| {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                c if c.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
                c => escaped.push(c),
            }
            escaped
        })
}

/// A link to the last of a path's segments as a folder, relative to the path without its slash.
pub(crate) fn as_folder(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    format!("./{last}/")
}
