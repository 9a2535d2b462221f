//! The operator's ceiling: what no policy on this server may ask for, however
//! well formed it is.

use messages::Policy;

/// Every field of a policy, as it is spelled in JSON.
const FIELDS: [&str; 12] = [
    "basic_auth",
    "allow_ips",
    "deny_ips",
    "request_headers",
    "response_headers",
    "cors",
    "strip_prefix",
    "add_prefix",
    "https_only",
    "compress",
    "no_robots",
    "webhook",
];

/// What policies may ask for. The default permits all that a policy can say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceiling {
    forbidden: Vec<&'static str>,
    max_credentials: Option<usize>,
}

/// A policy asks for more than the operator permits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy.{field}: {rule}")]
pub(crate) struct Beyond {
    field: &'static str,
    rule: String,
}

/// How far a policy goes, without what it says: kept for as long as a link lives,
/// so that a ceiling that is lowered finds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    fields: Vec<&'static str>,
    credentials: usize,
}

impl Extent {
    pub(crate) fn of(policy: &Policy) -> Self {
        let auth = policy.basic_auth.as_ref();
        Self {
            fields: policy.fields(),
            credentials: auth.map_or(0, |auth| auth.credentials.len()),
        }
    }
}

impl Ceiling {
    /// Forbids a field of policies.
    ///
    /// # Errors
    /// The fields there are, when this is none of them.
    pub fn forbid(&mut self, field: &str) -> Result<(), String> {
        let Some(known) = FIELDS.into_iter().find(|known| *known == field) else {
            return Err(format!("no policy has a field {field:?}"));
        };
        if !self.forbidden.contains(&known) {
            self.forbidden.push(known);
        }
        Ok(())
    }

    /// Permits at most so many user names and passwords of basic authentication.
    pub fn limit_credentials(&mut self, most: usize) {
        self.max_credentials = Some(most);
    }

    /// Every field that can be forbidden.
    #[must_use]
    pub fn fields() -> &'static [&'static str] {
        &FIELDS
    }

    pub(crate) fn check(&self, extent: &Extent) -> Result<(), Beyond> {
        let mut fields = extent.fields.iter().copied();
        if let Some(field) = fields.find(|field| self.forbidden.contains(field)) {
            let rule = "the operator of this server does not permit it".to_owned();
            return Err(Beyond { field, rule });
        }
        match self.max_credentials {
            Some(most) if extent.credentials > most => Err(Beyond {
                field: "basic_auth",
                rule: format!("the operator of this server permits at most {most} credentials"),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::{BasicAuth, Cors, Credential, Secret};

    use super::*;

    fn credential() -> Credential {
        Credential {
            username: None,
            hash: Secret::new("$argon2id$"),
        }
    }

    #[test]
    fn a_forbidden_field_is_named_and_others_pass() {
        let mut ceiling = Ceiling::default();
        ceiling.forbid("cors").unwrap();
        let policy = Policy {
            compress: true,
            ..Policy::default()
        };
        assert_eq!(ceiling.check(&Extent::of(&policy)), Ok(()));
        let policy = Policy {
            cors: Some(Cors::default()),
            ..policy
        };
        let beyond = ceiling.check(&Extent::of(&policy)).unwrap_err().to_string();
        assert_eq!(
            beyond,
            "policy.cors: the operator of this server does not permit it"
        );
    }

    #[test]
    fn credentials_are_counted() {
        let mut ceiling = Ceiling::default();
        ceiling.limit_credentials(1);
        let with = |count| Policy {
            basic_auth: Some(BasicAuth {
                credentials: vec![credential(); count],
            }),
            ..Policy::default()
        };
        assert_eq!(ceiling.check(&Extent::of(&with(1))), Ok(()));
        let beyond = ceiling
            .check(&Extent::of(&with(2)))
            .unwrap_err()
            .to_string();
        assert_eq!(
            beyond,
            "policy.basic_auth: the operator of this server permits at most 1 credentials"
        );
    }

    #[test]
    fn every_field_of_policies_can_be_forbidden() {
        // What serde says of a field that a policy does not have.
        let said = Policy::from_json(b"{\"?\":0}").unwrap_err().to_string();
        let list = said.split_once("expected one of ").unwrap().1;
        let known: Vec<_> = list.split('`').skip(1).step_by(2).collect();
        assert_eq!(known, Ceiling::fields());
    }

    #[test]
    fn only_fields_that_policies_have_can_be_forbidden() {
        assert!(Ceiling::default().forbid("cars").is_err());
        for field in Ceiling::fields() {
            assert_eq!(Ceiling::default().forbid(field), Ok(()));
        }
    }
}
