//! What a link was admitted by: enough to judge it again when the rules change.

use bytes::Bytes;
use identity::{VerifiedRegistration, policy_id};
use messages::{Policy, PolicyError, PolicyId, TunnelId};

use super::{ceiling::Extent, denial::Denial, tokens::Proof};

/// An agent that has proved its key, as far as rules care.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Who it is, however often its key was rotated.
    pub(crate) root: TunnelId,
    /// Every key of its chain, by the tunnel that is its own; the root first.
    pub(crate) keys: Box<[TunnelId]>,
    /// The host it wants that is not its key's.
    pub(crate) host: Option<Box<str>>,
    /// The server was asked to pick that host.
    pub(crate) auto: bool,
    /// The DNS has said that the host is this key's to publish under.
    pub(crate) proved_by_dns: bool,
    /// That it knows a join token, if it offered one.
    pub(crate) proof: Option<Box<Proof>>,
    pub(crate) policy: PolicyId,
    pub(crate) extent: Extent,
}

impl Standing {
    /// Reads what a registration asks for, and the canonical JSON of its policy
    /// (empty without one).
    pub(crate) fn of(registration: &VerifiedRegistration) -> Result<(Self, Bytes), Denial> {
        let claims = registration.claims();
        let policy = match &claims.policy {
            Some(json) => read_policy(json)?,
            None => Policy::default(),
        };
        let document = if policy.is_empty() {
            Bytes::new()
        } else {
            policy.to_json()
        };
        let keys = registration.keys().iter().map(|key| key.tunnel_id(None));
        let standing = Self {
            root: registration.root(),
            keys: keys.collect(),
            host: registration.wanted_host().map(Into::into),
            auto: claims.auto,
            proved_by_dns: false,
            proof: Proof::of(claims),
            policy: policy_id(&document),
            extent: Extent::of(&policy),
        };
        Ok((standing, document))
    }
}

fn read_policy(json: &serde_json::Value) -> Result<Policy, Denial> {
    // serde would take a list of the fields' values for them.
    if !json.is_object() {
        return Err(Denial::BadPolicy(PolicyError {
            field: "policy",
            rule: "a JSON object".to_owned(),
        }));
    }
    let json = serde_json::to_vec(json).expect("what was read as JSON can be written");
    Policy::from_json(&json).map_err(Denial::BadPolicy)
}
