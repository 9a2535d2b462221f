//! A password before anything reaches the service (`basic_auth`; RFC 7617).
//!
//! A right one is taken out of the request: what protects the tunnel is none of
//! the service's business. On tunnels without this rule `Authorization` is left
//! as it is.

mod checker;
mod guesses;
mod offered;

use std::{fmt, sync::Arc};

use argon2::{Algorithm, Argon2, Params, Version};
use http::header::AUTHORIZATION;
use messages::{Credential, Policy, PolicyId};
use subtle::ConstantTimeEq;
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::{failure::Failure, request::Call};

use checker::{Mark, Who};
use offered::Offered;

pub(super) use checker::Passwords;

/// The rule: one of the credentials must be offered.
#[derive(Debug)]
pub(super) struct BasicAuth {
    credentials: Arc<[Known]>,
    /// Makes marks that are good for this policy alone.
    policy: PolicyId,
    passwords: Arc<Passwords>,
}

/// A credential, ready to be compared with.
struct Known {
    /// `None` for any name.
    username: Option<String>,
    salt: Vec<u8>,
    digest: [u8; 32],
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl BasicAuth {
    pub(super) fn of(policy: &Policy, id: PolicyId, passwords: &Arc<Passwords>) -> Option<Self> {
        let auth = policy.basic_auth.as_ref()?;
        Some(Self {
            credentials: auth.credentials.iter().filter_map(Known::of).collect(),
            policy: id,
            passwords: passwords.clone(),
        })
    }

    async fn admit(&self, call: &Call) -> Result<(), Failure> {
        let offered = Offered::of(call.headers())?.ok_or(Failure::PasswordRequired)?;
        let mark = self.mark(&offered);
        let about = call.body().about;
        let who = Who {
            tunnel: about.tunnel,
            address: about.visitor.addr.ip(),
        };
        let credentials = self.credentials.clone();
        let right = self
            .passwords
            .check(who, mark, move || fits(&credentials, &offered));
        if right.await? {
            Ok(())
        } else {
            Err(Failure::PasswordRequired)
        }
    }

    fn mark(&self, offered: &Offered) -> Mark {
        self.passwords.mark(&self.policy.0, offered.bytes())
    }
}

impl Known {
    /// `None` for what a checked policy has not.
    fn of(credential: &Credential) -> Option<Self> {
        let (salt, digest) = credential.parts()?;
        Some(Self {
            username: credential.username.clone(),
            salt,
            digest,
        })
    }

    fn is_named(&self, name: &str) -> bool {
        self.username.as_ref().is_none_or(|own| own == name)
    }

    /// Takes some 20 ms and 19 MiB.
    fn has_password(&self, password: &[u8]) -> bool {
        let Ok(params) = Params::new(19 * 1024, 2, 1, Some(self.digest.len())) else {
            return false;
        };
        let mut digest = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, &self.salt, &mut digest)
            .is_ok_and(|()| digest.ct_eq(&self.digest).into())
    }
}

/// True for one of the credentials. A name that is not among them takes as long as
/// one that is: names are not to be found out by the clock.
fn fits(credentials: &[Known], offered: &Offered) -> bool {
    let (name, password) = offered.parts();
    let mut named = credentials
        .iter()
        .filter(|known| known.is_named(name))
        .peekable();
    if named.peek().is_none() {
        let decoy = credentials.first();
        return decoy.is_some_and(|decoy| decoy.has_password(password) && decoy.is_named(name));
    }
    named.any(|known| known.has_password(password))
}

impl Rule for BasicAuth {
    async fn apply<S: Next>(&self, mut call: Call, next: S) -> Answer {
        self.admit(&call).await?;
        call.headers_mut().remove(AUTHORIZATION);
        next.oneshot(call).await
    }
}

#[cfg(test)]
mod tests;
