//! What an agent asks for: signed for the server it meets, and compared with what that grants.

use std::time::Duration;

use identity::{Claims, MAX_LIFETIME, Mode, SecretKey, join};
use messages::{Granted, Hello, PROTOCOL_VERSION, Policy, Secret};

use super::{RegisterError, Wanted};

/// What an agent asks for.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The host that was dialled, as it was configured: [`Endpoint::audience`](crate::ws::Endpoint::audience).
    pub audience: String,
    /// The only domain to register under, if the agent's owner pinned one.
    pub expect_domain: Option<String>,
    /// Which tunnel.
    pub wanted: Wanted,
    /// The server's join token, if it wants one: a proof of it is sent, never the token.
    pub token: Option<Secret>,
    /// What the edge is to enforce; none for nothing.
    pub policy: Option<Policy>,
    /// Random for each agent process.
    pub session: [u8; 16],
    /// What the session's first link was granted.
    pub generation: Option<u64>,
    /// Alone, or pooled with other sessions.
    pub mode: Mode,
    /// What the agent calls itself: at most 128 printable ASCII characters.
    pub agent: String,
    /// The TLS exporter value: [`Connected::channel`](crate::ws::Connected::channel).
    pub channel: Option<String>,
    /// How long the server may take for each of its words: [`HANDSHAKE_TIMEOUT`](super::HANDSHAKE_TIMEOUT) unless configured.
    pub timeout: Duration,
}

impl Registration {
    pub(super) fn check(&self, hello: &Hello) -> Result<(), RegisterError> {
        if !hello.versions.contains(&PROTOCOL_VERSION) {
            return Err(RegisterError::Version(hello.versions.clone()));
        }
        match &self.expect_domain {
            Some(expected) if !expected.eq_ignore_ascii_case(&hello.domain) => {
                Err(RegisterError::WrongDomain {
                    expected: expected.clone(),
                    got: hello.domain.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// What this key may sign for the server that says this Hello.
    ///
    /// # Errors
    /// It is not the server that is wanted, or not of a version that is spoken, or the key was rotated for another.
    pub(crate) fn claims_for(
        &self,
        key: &SecretKey,
        hello: &Hello,
    ) -> Result<Claims, RegisterError> {
        self.check(hello)?;
        check_chain(key, hello)?;
        Ok(self.claims(key, hello))
    }

    /// Dated by the server's clock, so that a device without one can register.
    pub(super) fn claims(&self, key: &SecretKey, hello: &Hello) -> Claims {
        let prove =
            |token: &Secret| join::make(token.expose().as_bytes(), &hello.nonce, &self.audience);
        let policy = self.policy.as_ref().map(|policy| {
            serde_json::to_value(policy).expect("a policy has only strings, numbers and lists")
        });
        Claims {
            aud: self.audience.clone(),
            nonce: hello.nonce,
            iat: hello.time,
            exp: hello.time.saturating_add(MAX_LIFETIME),
            name: self.wanted.name(),
            host: self.wanted.host(),
            auto: self.wanted == Wanted::Auto,
            session: data_encoding::HEXLOWER.encode(&self.session),
            generation: self.generation,
            mode: self.mode,
            agent: self.agent.clone(),
            versions: vec![PROTOCOL_VERSION],
            policy,
            channel: self.channel.clone(),
            join: self.token.as_ref().map(prove),
            chain: key.chain().statements().to_vec(),
        }
    }

    pub(super) fn check_grant(
        &self,
        key: &SecretKey,
        hello: &Hello,
        granted: &Granted,
    ) -> Result<(), RegisterError> {
        let url = granted.url.parse::<http::Uri>().ok();
        let url_host = url.as_ref().and_then(http::Uri::host);
        if url_host == Some(&granted.hostname) && self.wanted.is_met_by(key, &hello.domain, granted)
        {
            return Ok(());
        }
        Err(RegisterError::ForeignGrant {
            own: self.wanted.hostname(key, &hello.domain),
            got: format!("{} at {}", granted.tunnel, granted.url),
        })
    }
}

/// A key that was rotated holds its name under one domain alone. To any other server it would be a stranger with a
/// hostname that nobody expects, so nothing is signed for that.
pub(super) fn check_chain(key: &SecretKey, hello: &Hello) -> Result<(), RegisterError> {
    let chain = key.chain();
    match (chain.check_domain(&hello.domain), chain.domain()) {
        (Err(_), Some(domain)) => Err(RegisterError::WrongDomain {
            expected: domain.to_owned(),
            got: hello.domain.clone(),
        }),
        _ => Ok(()),
    }
}
