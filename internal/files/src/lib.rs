//! A folder as a web site: its files with ranges and conditional requests, and no way out of the folder.
//!
//! From the outside in: [`Folder::answer`] takes a request's head and gives a response; the path becomes names, none of
//! which can lead upwards; each name is opened below the one before it, through handles and not through one long path, so
//! that nothing which is moved or linked meanwhile leads elsewhere; what was opened is then judged by RFC 9110's
//! conditions and ranges.
//!
//! What this crate refuses to know: where requests come from and who may send them. It writes nothing, runs nothing, and
//! serves nothing but regular files and, where that is wanted, a list of names.

mod answer;
mod body;
mod conditions;
mod folder;
mod listing;
mod open;
mod path;
mod range;

pub use body::{BoxError, FileBody};
pub use folder::{Config, Folder};
