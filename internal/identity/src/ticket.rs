//! Asking for a ticket: who may open an encrypted channel to the server, proved before the channel is there.
//!
//! What is signed is what a registration says, over a nonce that the server need not remember ([`TicketNonces`]) and under
//! a `typ` of its own: a request that was overheard registers nothing, and a nonce that a stranger passes off as that of
//! a link is signed for a ticket alone.

mod nonce;

use serde_json::Value;

use crate::claims::Claims;
use crate::error::VerifyError;
use crate::json;
use crate::jws::{self, JwsError};
use crate::key::{PublicKey, SecretKey};
use crate::registration::{Expectation, VerifiedRegistration, judge};

pub use nonce::{NONCE_LIFETIME, TicketNonces};

/// The `typ` of a request for a ticket.
pub const TICKET_TYP: &str = "adit-ticket+jwt";

/// The longest `username`, in bytes. It is logged, never looked up.
const MAX_USERNAME: usize = 128;

/// Signs a request as a compact JWS of ASCII text. The claims are those of the registration to come; `nonce` is the
/// server's for tickets, and there is no channel to claim yet.
#[must_use]
pub fn sign_ticket_request(key: &SecretKey, claims: &Claims) -> String {
    let payload = serde_json::to_vec(claims).expect("claims have only text keys");
    jws::sign(key, TICKET_TYP, &payload)
}

/// A request whose key, signature and claims were proved; only [`verify_ticket_request`] builds it.
#[derive(Debug)]
#[must_use]
pub struct TicketRequest {
    asked: VerifiedRegistration,
    username: Option<String>,
}

impl TicketRequest {
    /// The key that was proved: the ticket is good for nobody else.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.asked.key()
    }

    /// What the registration to come would say: for rules that can be asked early. It registers nothing.
    pub fn asked(&self) -> &VerifiedRegistration {
        &self.asked
    }

    /// What the agent's owner is called elsewhere, if it says: at most 128 printable ASCII characters, for logs. Who is
    /// admitted is a matter of keys.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }
}

/// Verifies a request as a registration is verified, but for the channel: there is none. `expectation.nonce` is not looked
/// at; the nonce must be one of `nonces` that has not expired.
///
/// A request may have two claims that registrations have not: `subdomain`, short for `host` with that label under the
/// server's domain, and `username`.
///
/// # Errors
///
/// The first rule that is broken; [`VerifyError::refusal`] is what the agent is told.
pub fn verify_ticket_request(
    jws: &[u8],
    nonces: &TicketNonces,
    expectation: &Expectation<'_>,
) -> Result<TicketRequest, VerifyError> {
    let opened = jws::open(jws, TICKET_TYP)?;
    let mut members = json::object(&opened.payload, "the claims are no JSON object")?;
    let username = username(members.remove("username"))?;
    if let Some(subdomain) = members.remove("subdomain").filter(|it| !it.is_null()) {
        let label = subdomain
            .as_str()
            .ok_or(JwsError::Malformed("subdomain is no text"))?;
        let host = format!("{label}.{}", expectation.domain).into();
        if members
            .insert("host".to_owned(), host)
            .is_some_and(|other| !other.is_null())
        {
            return Err(VerifyError::TwoNames);
        }
    }
    let claims = Claims::from_members(members)?;
    nonces.check(&claims.nonce, expectation.now)?;
    let nonce = claims.nonce;
    let expectation = Expectation {
        nonce: &nonce,
        channel: None,
        ..*expectation
    };
    let asked = judge(opened.key, claims, &expectation)?;
    Ok(TicketRequest { asked, username })
}

fn username(said: Option<Value>) -> Result<Option<String>, JwsError> {
    let printable = |byte| matches!(byte, b' '..=b'~');
    match said {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.len() <= MAX_USERNAME && name.bytes().all(printable) => {
            Ok(Some(name))
        }
        Some(_) => Err(JwsError::Malformed(
            "username is not at most 128 printable ASCII characters",
        )),
    }
}

#[cfg(test)]
mod tests;
