//! Passwords of visitors: read, hashed, and forgotten. Only the hashes go into a policy.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use messages::{Credential, Secret};
use zeroize::Zeroizing;

/// The most credentials of one tunnel, as policies have them. Each costs 19 MiB for some 40 ms while it is hashed.
const MAX_CREDENTIALS: usize = 8;

/// The longest name and password together in bytes, with the colon between them: servers read no more of a visitor's.
const MAX_LINE: usize = 1024;

/// The cost of a hash, fixed by the protocol: KiB of memory, passes, lanes.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Reads lines of `user:password`, `:password` or `password`, and hashes them with fresh salts.
///
/// # Errors
/// Half a sentence with the line's number.
pub(super) fn credentials(text: &str) -> Result<Vec<Credential>, String> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.is_empty());
    let mut read = Vec::new();
    for (line, number) in lines {
        read.push(parse(line).map_err(|why| format!("line {number}: {why}"))?);
    }
    match read.len() {
        0 => {
            return Err("there is no password in it; write user:password, or :password".to_owned());
        }
        1..=MAX_CREDENTIALS => {}
        many => return Err(format!("at most {MAX_CREDENTIALS} lines, these are {many}")),
    }
    Ok(read.into_iter().map(|line| line.hashed()).collect())
}

/// One line, apart. The password is borrowed from a text that is wiped.
struct Line<'a> {
    username: Option<&'a str>,
    password: &'a str,
}

fn parse(line: &str) -> Result<Line<'_>, &'static str> {
    let (username, password) = match line.split_once(':') {
        None => (None, line),
        Some(("", password)) => (None, password),
        Some((username, password)) => (Some(username), password),
    };
    if password.is_empty() {
        return Err("there is no password behind the colon");
    }
    if line.len() > MAX_LINE || line.chars().any(char::is_control) {
        return Err("user and password have at most 1024 bytes and no control characters");
    }
    Ok(Line { username, password })
}

impl Line<'_> {
    fn hashed(&self) -> Credential {
        let (memory, passes, lanes) = COST;
        let salt: [u8; 16] = identity::random_bytes();
        let mut digest = Zeroizing::new([0; 32]);
        let params = Params::new(memory, passes, lanes, Some(digest.len()));
        let params = params.expect("the protocol's cost is one that Argon2 takes");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.password.as_bytes(), &salt, &mut *digest)
            .expect("a password of at most a KiB and 16 bytes of salt can be hashed");
        let (salt, digest) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&*digest));
        let hash = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${digest}");
        Credential {
            username: self.username.map(str::to_owned),
            hash: Secret::new(hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::{BasicAuth, Policy};

    use super::*;

    /// Hashed anew with the salt that was drawn.
    fn opens(credential: &Credential, password: &str) -> bool {
        let (salt, digest) = credential.parts().unwrap();
        let params = Params::new(COST.0, COST.1, COST.2, Some(32)).unwrap();
        let mut again = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &salt, &mut again)
            .unwrap();
        again == digest
    }

    #[test]
    fn a_line_is_a_user_and_a_password_or_a_password_for_anybody() {
        let lines = "ann:correct horse: battery\r\n\n:for any: body\nlone\n";
        let read = credentials(lines).unwrap();
        let names: Vec<_> = read.iter().map(|it| it.username.as_deref()).collect();
        assert_eq!(names, [Some("ann"), None, None]);
        for (credential, password) in
            read.iter()
                .zip(["correct horse: battery", "for any: body", "lone"])
        {
            assert!(opens(credential, password), "{password}");
            assert!(!opens(credential, "lonely"));
        }
        let policy = Policy {
            basic_auth: Some(BasicAuth { credentials: read }),
            ..Policy::default()
        };
        assert_eq!(policy.check(), Ok(()));
    }

    #[test]
    fn equal_passwords_do_not_look_equal() {
        let read = credentials("a:same\nb:same\n").unwrap();
        assert_ne!(read[0].hash, read[1].hash);
    }

    #[test]
    fn what_is_no_password_is_refused_by_its_line_and_never_repeated() {
        let many = "secret\n".repeat(9);
        let long = "x".repeat(1025);
        for (text, why) in [
            ("", "no password in it"),
            ("\n\n", "no password in it"),
            ("ok\nann:\n", "line 2: there is no password"),
            (":", "line 1: there is no password"),
            ("ann:secret\u{7}", "line 1: user and password"),
            (&long, "line 1: user and password"),
            (&many, "at most 8 lines, these are 9"),
        ] {
            let said = credentials(text).unwrap_err();
            assert!(said.contains(why), "{said:?} is not {why:?}");
            assert!(!said.contains("secret"));
        }
    }
}
