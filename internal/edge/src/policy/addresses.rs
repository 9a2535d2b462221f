//! Who may call, by network address (`allow_ips`, `deny_ips`).

use messages::{Network, Policy};
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::{failure::Failure, request::Call};

/// The visitor's address, as trusted proxies tell it, must be in one list and not
/// in the other.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Empty for everybody.
    allow: Vec<Network>,
    deny: Vec<Network>,
}

impl Addresses {
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let some = !policy.allow_ips.is_empty() || !policy.deny_ips.is_empty();
        some.then(|| Self {
            allow: policy.allow_ips.clone(),
            deny: policy.deny_ips.clone(),
        })
    }
}

impl Rule for Addresses {
    async fn apply<S: Next>(&self, call: Call, next: S) -> Answer {
        let address = call.body().about.visitor.addr.ip();
        let among = |networks: &[Network]| networks.iter().any(|n| n.contains(address));
        let allowed = self.allow.is_empty() || among(&self.allow);
        if among(&self.deny) || !allowed {
            return Err(Failure::Forbidden);
        }
        next.oneshot(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::trial::Trial;

    #[tokio::test]
    async fn an_address_must_be_allowed_and_must_not_be_denied() {
        let trial =
            Trial::of(r#"{"allow_ips":["10.0.0.0/8","2001:db8::/32"],"deny_ips":["10.9.0.0/16"]}"#);
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::7", true),
            ("10.9.1.1", false),
            ("192.0.2.1", false),
            ("2001:db9::7", false),
        ] {
            let answer = trial.get("/").from(address).send().await;
            let expected = if may {
                Ok(200)
            } else {
                Err(Failure::Forbidden)
            };
            assert_eq!(answer.status(), expected, "{address}");
            assert_eq!(answer.reached_the_service(), may, "{address}");
        }
    }

    #[tokio::test]
    async fn without_a_list_of_the_allowed_all_but_the_denied_may_call() {
        let trial = Trial::of(r#"{"deny_ips":["192.0.2.0/24"]}"#);
        assert_eq!(
            trial.get("/").from("10.0.0.1").send().await.status(),
            Ok(200)
        );
        let denied = trial.get("/").from("192.0.2.9").send().await;
        assert_eq!(denied.status(), Err(Failure::Forbidden));
    }
}
