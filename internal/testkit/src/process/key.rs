//! Key files, made and looked at by `adit key`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Program, binary};

/// A key file in a directory of its own.
#[derive(Debug)]
pub struct Key(TempDir);

impl Key {
    /// A place for a key; the agent makes it at first use.
    pub fn fresh() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// A key that is there already.
    pub async fn made() -> Self {
        let key = Self::fresh();
        key.adit("new", &[]).await;
        key
    }

    /// Another place with what is in that file.
    pub fn copied(file: &Path) -> Self {
        let key = Self::fresh();
        fs::copy(file, key.path()).expect("the key can be copied");
        key
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// Where the key is kept that was here before it was rotated for the first time.
    pub fn before(&self) -> PathBuf {
        self.0.path().join("key.pem.old-1")
    }

    /// What an operator writes into the keys file for it.
    pub async fn entry(&self) -> String {
        self.shown("keys file").await
    }

    /// Its label.
    pub async fn label(&self) -> String {
        self.shown("label").await
    }

    /// Puts a new key in its place, with the same name under that domain.
    pub async fn rotate(&self, domain: &str) {
        self.adit("rotate", &["--domain", domain]).await;
    }

    async fn shown(&self, what: &str) -> String {
        let facts = self.adit("show", &[]).await;
        let fact = facts.iter().find_map(|fact| fact.strip_prefix(what));
        fact.unwrap_or_else(|| panic!("no {what} in {facts:?}"))
            .trim()
            .to_owned()
    }

    async fn adit(&self, what: &str, options: &[&str]) -> Vec<String> {
        let file = self.path().display().to_string();
        let words = ["key", what, "--key", &file];
        let mut program = Program::start(binary("adit"), words.iter().chain(options));
        let ended = program.ended().await;
        assert!(ended.success(), "{}", program.output().join("\n"));
        program.output()
    }
}
