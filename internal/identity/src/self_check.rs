//! The answer to "is it you?": an agent that asks its own public URL signs the question that comes back to it.
//!
//! Whoever answers under the URL can echo the nonce; only the holder of the key can sign it. The `typ` is of its own, so
//! that a visitor who asks gets nothing that registers or rotates.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::jws::{self, JwsError};
use crate::key::{PublicKey, SecretKey};

/// The `typ` of an answer.
pub const SELF_CHECK_TYP: &str = "adit-self-check+jwt";

/// The longest answer, in bytes. With a host of the usual length it has some 400.
pub const MAX_SELF_CHECK_LEN: usize = 1024;

/// Why an answer is not this agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelfCheckError {
    /// It is not signed by a key for this purpose.
    #[error("the answer {0}")]
    Jws(#[from] JwsError),
    /// Another key signed it: somebody else is reached.
    #[error("the answer was signed by another key")]
    OtherKey,
    /// It answers another question.
    #[error("the answer is to another question")]
    OtherQuestion,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    aud: String,
    nonce: String,
}

/// Signs a question: `nonce` as it came, and `audience`, the public host it was asked under. Compact JWS of ASCII text.
#[must_use]
pub fn sign_self_check(key: &SecretKey, nonce: &[u8; 32], audience: &str) -> String {
    let answer = Answer {
        aud: audience.to_owned(),
        nonce: BASE64URL_NOPAD.encode(nonce),
    };
    let payload = serde_json::to_vec(&answer).expect("an answer has only text keys");
    jws::sign(key, SELF_CHECK_TYP, &payload)
}

/// Whether `answer` is `key`'s to this very question.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_self_check(
    answer: &[u8],
    key: PublicKey,
    nonce: &[u8; 32],
    audience: &str,
) -> Result<(), SelfCheckError> {
    if answer.len() > MAX_SELF_CHECK_LEN {
        return Err(JwsError::TooLarge.into());
    }
    let opened = jws::open(answer, SELF_CHECK_TYP)?;
    if opened.key != key {
        return Err(SelfCheckError::OtherKey);
    }
    let members = json::object(&opened.payload, "the claims are no JSON object")?;
    let said: Answer = serde_json::from_value(members.into())
        .map_err(|_| JwsError::Malformed("a claim is missing or of the wrong type"))?;
    if said.aud != audience || said.nonce != BASE64URL_NOPAD.encode(nonce) {
        return Err(SelfCheckError::OtherQuestion);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{REGISTER_TYP, ROTATE_TYP};

    const NONCE: [u8; 32] = [0xab; 32];
    const HOST: &str = "blog.tunnel.example";

    #[test]
    fn the_own_answer_is_known_and_any_other_is_not() {
        let key = SecretKey::generate();
        let answer = sign_self_check(&key, &NONCE, HOST);
        let judge = |key: &SecretKey, nonce, host| {
            verify_self_check(answer.as_bytes(), key.public(), nonce, host)
        };
        assert_eq!(judge(&key, &NONCE, HOST), Ok(()));
        let other = SecretKey::generate();
        assert_eq!(judge(&other, &NONCE, HOST), Err(SelfCheckError::OtherKey));
        let question = Err(SelfCheckError::OtherQuestion);
        assert_eq!(judge(&key, &[0; 32], HOST), question);
        assert_eq!(judge(&key, &NONCE, "tunnel.example"), question);
    }

    #[test]
    fn an_answer_is_not_worth_anything_else_nor_anything_else_an_answer() {
        let key = SecretKey::generate();
        let answer = sign_self_check(&key, &NONCE, HOST);
        for typ in [REGISTER_TYP, ROTATE_TYP] {
            assert_eq!(
                jws::open(answer.as_bytes(), typ).unwrap_err(),
                JwsError::WrongType
            );
            let foreign = jws::sign(&key, typ, b"{}");
            assert_eq!(
                verify_self_check(foreign.as_bytes(), key.public(), &NONCE, HOST),
                Err(JwsError::WrongType.into())
            );
        }
    }

    #[test]
    fn what_a_stranger_serves_under_the_url_is_no_answer() {
        let key = SecretKey::generate().public();
        let large = vec![b'a'; MAX_SELF_CHECK_LEN + 1];
        for (page, why) in [
            (&b"<html>"[..], "not three parts joined by dots"),
            (b"", "not three parts joined by dots"),
        ] {
            assert_eq!(
                verify_self_check(page, key, &NONCE, HOST),
                Err(JwsError::Malformed(why).into())
            );
        }
        assert_eq!(
            verify_self_check(&large, key, &NONCE, HOST),
            Err(JwsError::TooLarge.into())
        );
    }
}
