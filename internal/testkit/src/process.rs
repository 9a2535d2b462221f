//! The built binaries and other real programs, started as a user starts them.

mod agent;
mod folder;
mod key;
mod program;
mod server;

use std::path::PathBuf;

pub use agent::Agent;
pub use folder::Folder;
pub use key::Key;
pub use program::Program;
pub use server::Server;

/// Where cargo put the workspace's binaries: beside the test that runs.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("tests live in target/PROFILE/deps")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace` first",
        path.display()
    );
    path
}
