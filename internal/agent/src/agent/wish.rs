//! What an agent asks servers for.

use std::sync::Arc;

use tunnel::handshake::{HANDSHAKE_TIMEOUT, Registration, Wanted};

use super::Config;
use super::terms::{Stated, Terms};
use crate::error::LinkError;

/// The wishes of one session.
#[derive(Clone)]
pub(super) struct Wishes {
    pub(super) config: Arc<Config>,
    pub(super) session: [u8; 16],
    pub(super) terms: Terms,
}

impl Wishes {
    /// The domain under which the wished host is, as far as it is known without a server: `None` where its Hello must say it
    /// first, and nothing where the host does not hang on it.
    pub(super) fn needs_domain(&self) -> bool {
        self.config.hostname.anywhere().is_none() && self.config.expect_domain.is_none()
    }

    /// What to ask a server for that says that this is its domain; the pinned one counts more.
    ///
    /// # Errors
    /// There is no such host under that domain.
    pub(super) fn under(&self, domain: &str, terms: &Stated) -> Result<Registration, LinkError> {
        let config = &self.config;
        let wanted = match config.hostname.anywhere() {
            Some(wanted) => wanted,
            None => {
                let domain = config.expect_domain.as_deref().unwrap_or(domain);
                let wanted = config.hostname.under(domain);
                wanted.map_err(|why| LinkError::Domain {
                    domain: domain.to_owned(),
                    why,
                })?
            }
        };
        Ok(self.of(wanted, terms))
    }

    fn of(&self, wanted: Wanted, terms: &Stated) -> Registration {
        let config = &self.config;
        Registration {
            audience: config.server.audience(),
            expect_domain: config.expect_domain.clone(),
            wanted,
            token: terms.token.clone(),
            policy: terms.policy.clone(),
            session: self.session,
            generation: None,
            mode: config.mode,
            agent: config.agent.clone(),
            channel: None,
            timeout: HANDSHAKE_TIMEOUT,
        }
    }
}
