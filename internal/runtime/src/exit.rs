//! The exit codes of both binaries and the one shape of their last words.

use std::process::ExitCode;

/// How a process ends, as its parent sees it. Scripts and service managers branch on these: never renumber one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Ended as asked: 0.
    Success,
    /// Something failed while running: 1.
    Failure,
    /// The command line was wrong: 2.
    Usage,
    /// A setting is wrong or a file it names cannot be used: 78, `EX_CONFIG` of `sysexits.h`. A service manager should
    /// not start the process again with the same configuration.
    Config,
}

impl Exit {
    /// The number given to the operating system.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// One line for the terminal: `error: what: why: why that`. Causes that only repeat the sentence before are left out.
#[must_use]
pub fn last_words(error: &anyhow::Error) -> String {
    let mut line = String::from("error");
    let mut said = String::new();
    for cause in error.chain() {
        let sentence = cause
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        if !said.contains(&sentence) {
            line.push_str(": ");
            line.push_str(&sentence);
        }
        said = sentence;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_one_line_with_every_cause_once() {
        let cause = std::io::Error::other("Address\nin use");
        let error = anyhow::Error::new(cause)
            .context("listen: cannot bind")
            .context("listen: cannot bind");
        assert_eq!(
            last_words(&error),
            "error: listen: cannot bind: Address in use"
        );
    }
}
