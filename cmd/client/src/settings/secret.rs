//! Secrets: from a variable, or from the file that a setting names. They are never arguments, and wiped when they have
//! served.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use messages::Secret;
use runtime::config::{ConfigError, Loaded};
use zeroize::Zeroizing;

use super::{Variable, Written};

/// The largest file of secrets, in bytes: eight of the longest lines, and some to spare.
const MAX_FILE: u64 = 16 * 1024;

/// The longest token, in bytes, as servers make and take them.
const MAX_TOKEN: usize = 256;

/// Secrets that variables hold themselves.
#[derive(Default)]
pub(crate) struct Secrets {
    token: Option<Zeroizing<String>>,
    basic_auth: Option<Zeroizing<String>>,
}

/// Where a secret is, and what to call that.
pub(super) enum Source<'a> {
    Variable(&'static str, &'a str),
    File(&'a Path),
}

impl Secrets {
    /// Takes the secrets out of the environment; blank ones are not set.
    ///
    /// # Errors
    /// One that is no text.
    pub(crate) fn of(variables: &[Variable]) -> Result<Self, ConfigError> {
        let text = |name: &str| {
            let found = variables.iter().find(|(variable, _)| variable == name);
            let Some((_, value)) = found else {
                return Ok(None);
            };
            let unreadable = || ConfigError::Variable {
                variable: name.to_owned(),
                why: "the value is not Unicode text".to_owned(),
            };
            let value = value.to_str().ok_or_else(unreadable)?;
            let set = !value.trim().is_empty();
            Ok(set.then(|| Zeroizing::new(value.to_owned())))
        };
        Ok(Self {
            token: text("ADIT_TOKEN")?,
            basic_auth: text("ADIT_BASIC_AUTH")?,
        })
    }

    /// The join token, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(super) fn token(&self, loaded: &Loaded<Written>) -> Result<Option<Secret>, ConfigError> {
        let file = loaded.settings.token_file.as_deref();
        let asked = Asked {
            field: "token_file",
            flag: "--token-file",
            variable: "ADIT_TOKEN",
            of_file: "ADIT_TOKEN_FILE",
        };
        let text = match asked.source(loaded, self.token.as_ref(), file)? {
            None => return Ok(None),
            Some(Source::Variable(_, text)) => Zeroizing::new(text.to_owned()),
            Some(Source::File(path)) => {
                read(path).map_err(|why| loaded.fault("token_file", why))?
            }
        };
        let token = text.trim();
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > MAX_TOKEN || !visible {
            let why = format!("the token is one word of 1 to {MAX_TOKEN} visible ASCII characters");
            return Err(asked.fault(loaded, self.token.is_some(), why));
        }
        Ok(Some(Secret::new(token)))
    }

    /// Where the passwords of visitors are, if they are asked for any.
    ///
    /// # Errors
    /// Two places at once.
    pub(super) fn basic_auth<'a>(
        &'a self,
        loaded: &'a Loaded<Written>,
    ) -> Result<Option<Source<'a>>, ConfigError> {
        let file = loaded.settings.policy.basic_auth_file.as_deref();
        let asked = Asked {
            field: "policy.basic_auth_file",
            flag: "--basic-auth-file",
            variable: "ADIT_BASIC_AUTH",
            of_file: "ADIT_BASIC_AUTH_FILE",
        };
        asked.source(loaded, self.basic_auth.as_ref(), file)
    }
}

/// The names of one secret.
struct Asked {
    field: &'static str,
    flag: &'static str,
    variable: &'static str,
    of_file: &'static str,
}

impl Asked {
    /// The place that counts: the flag's file, above the environment, above the file that a file names.
    fn source<'a>(
        &self,
        loaded: &Loaded<Written>,
        text: Option<&'a Zeroizing<String>>,
        file: Option<&'a Path>,
    ) -> Result<Option<Source<'a>>, ConfigError> {
        let origin = origin(loaded, self.field);
        match (text, file) {
            (Some(_), Some(_)) if origin == format!("from {}", self.of_file) => {
                Err(ConfigError::Variable {
                    variable: self.variable.to_owned(),
                    why: format!("{} is set too; unset one of them", self.of_file),
                })
            }
            (Some(_), Some(path)) if origin == format!("from {}", self.flag) => {
                Ok(Some(Source::File(path)))
            }
            (Some(text), _) => Ok(Some(Source::Variable(self.variable, text))),
            (None, Some(path)) => Ok(Some(Source::File(path))),
            (None, None) => Ok(None),
        }
    }

    fn fault(&self, loaded: &Loaded<Written>, in_variable: bool, why: String) -> ConfigError {
        let flag = origin(loaded, self.field) == format!("from {}", self.flag);
        if in_variable && !flag {
            let variable = self.variable.to_owned();
            return ConfigError::Variable { variable, why };
        }
        loaded.fault(self.field, why)
    }
}

/// Where a setting came from, in the words of complaints.
pub(super) fn origin(loaded: &Loaded<Written>, field: &str) -> String {
    match loaded.fault(field, "") {
        ConfigError::Field { origin, .. } => origin,
        _ => String::new(),
    }
}

/// The text of a file of secrets.
///
/// # Errors
/// Half a sentence: it cannot be read, is too large, or no text.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let mut text = Zeroizing::new(String::with_capacity(512));
    let limited = File::open(path).map(|file| file.take(MAX_FILE + 1));
    let read = limited.and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(format!("{shown} is not UTF-8 text"))
        }
        Err(error) => Err(format!("cannot read {shown}: {error}")),
        Ok(length) if length as u64 > MAX_FILE => {
            Err(format!("{shown} is larger than {MAX_FILE} bytes"))
        }
        Ok(_) => Ok(text),
    }
}
