//! Join tokens: texts that an operator hands out, one of which an agent must
//! know to be let in. The token itself never crosses; what does is a proof that
//! holds on one link.

use std::{fmt, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use identity::{Claims, join, random_bytes};
use zeroize::Zeroizing;

use super::lines::{self, BadLines, Bounds};

/// A token as an operator hands it out: 16 to 256 printable ASCII characters
/// without spaces. Wiped when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<Zeroizing<String>>);

/// A proof crosses plain connections too, so whoever sees one may try tokens at
/// leisure: shorter ones would be found.
const MIN_TOKEN: usize = 16;

const MAX_TOKEN: usize = 256;

const BOUNDS: Bounds = Bounds {
    file: MAX_TOKENS_FILE,
    line: MAX_TOKEN,
    entries: MAX_TOKENS,
};

/// What an agent showed instead of its token. Kept with its link, so that it can
/// be compared with the tokens of another day.
#[derive(Debug)]
pub(crate) struct Proof {
    mac: [u8; 32],
    nonce: [u8; 32],
    audience: Box<str>,
}

impl Proof {
    /// That of a registration, if it came with one.
    pub(crate) fn of(claims: &Claims) -> Option<Box<Self>> {
        claims.join.map(|mac| {
            Box::new(Self {
                mac,
                nonce: claims.nonce,
                audience: claims.aud.as_str().into(),
            })
        })
    }

    /// Whether it was made with one of these. Takes as long whichever it is.
    pub(crate) fn is_of_one(&self, tokens: &[Token]) -> bool {
        let proves = |token: &&Token| {
            let token = token.expose().as_bytes();
            join::verify(&self.mac, token, &self.nonce, &self.audience)
        };
        tokens.iter().filter(proves).count() > 0
    }
}

/// The largest file of tokens, in bytes.
pub const MAX_TOKENS_FILE: usize = 64 * 1024;

/// The most tokens that are valid at once. Each costs a hash for every
/// registration.
pub const MAX_TOKENS: usize = 64;

/// A text that is no token. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has {MIN_TOKEN} to {MAX_TOKEN} printable ASCII characters and no spaces")]
pub struct NotAToken;

impl Token {
    /// A new token: 32 random bytes in base64url, 43 characters.
    #[must_use]
    pub fn generate() -> Self {
        let bytes = Zeroizing::new(random_bytes::<32>());
        Self(Arc::new(Zeroizing::new(
            BASE64URL_NOPAD.encode(bytes.as_slice()),
        )))
    }

    /// Takes a text for a token.
    ///
    /// # Errors
    /// [`NotAToken`] for one that is too short, too long, or has spaces or other
    /// characters that a shell or a file would lose.
    pub fn new(text: &str) -> Result<Self, NotAToken> {
        let fine = (MIN_TOKEN..=MAX_TOKEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fine {
            Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
        } else {
            Err(NotAToken)
        }
    }

    /// Reads a file of one token a line; blank lines and those that begin with
    /// `#` are skipped.
    ///
    /// # Errors
    /// Every line that is no token. None is quoted.
    pub fn read_file(text: &[u8]) -> Result<Vec<Self>, BadLines> {
        let mut tokens = Vec::new();
        lines::read(text, BOUNDS, |_, line| {
            tokens.push(Self::new(line).map_err(|error| error.to_string())?);
            Ok(())
        })?;
        Ok(tokens)
    }

    /// The text, for the one who hands it out and for the proof.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_generated_token_is_one_and_no_two_are_the_same() {
        let token = Token::generate();
        assert_eq!(token.expose().len(), 43);
        assert_eq!(Token::new(token.expose()), Ok(token.clone()));
        assert_ne!(Token::generate(), token);
    }

    #[test]
    fn a_token_is_long_enough_and_survives_a_shell() {
        let long = "x".repeat(257);
        for wrong in [
            "",
            "fifteen-chars-x",
            "with a space in it",
            "naïve-naïve-naïve",
            &long,
        ] {
            assert_eq!(Token::new(wrong), Err(NotAToken), "{wrong}");
        }
    }

    #[test]
    fn a_file_of_tokens_is_complained_about_by_line_without_quoting_it() {
        let text = b"# of the year\nfirst-token-of-many\nhunter2\nsecond-token-of-many\n";
        let bad = Token::read_file(text).unwrap_err();
        let said = bad.in_file(Path::new("tokens"));
        assert!(said.starts_with("tokens:3: a token has 16"), "{said}");
        assert!(!said.contains("hunter2"));
        let good = Token::read_file(b"first-token-of-many\n\nsecond-token-of-many").unwrap();
        assert_eq!(good.len(), 2);
    }

    #[test]
    fn a_proof_is_of_the_token_it_was_made_with_and_of_one_link() {
        let tokens = [Token::generate(), Token::generate()];
        let proof = |token: &Token, nonce: u8| Proof {
            mac: join::make(token.expose().as_bytes(), &[7; 32], "adit.example"),
            nonce: [nonce; 32],
            audience: "adit.example".into(),
        };
        for token in &tokens {
            assert!(proof(token, 7).is_of_one(&tokens));
            assert!(!proof(token, 8).is_of_one(&tokens));
        }
        assert!(!proof(&Token::generate(), 7).is_of_one(&tokens));
        assert!(!proof(&tokens[0], 7).is_of_one(&[]));
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new("correct-horse-battery").unwrap();
        assert!(!format!("{token:?}").contains("horse"));
    }
}
