//! Search engines are told to stay away (`no_robots`).

use http::{HeaderName, HeaderValue};
use messages::Policy;
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::request::Call;

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// Unless the response says otherwise.
#[derive(Debug)]
pub(super) struct NoRobots;

impl NoRobots {
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        policy.no_robots.then_some(Self)
    }
}

impl Rule for NoRobots {
    async fn apply<S: Next>(&self, call: Call, next: S) -> Answer {
        let is_page = call.body().socket.is_none();
        let mut response = next.oneshot(call).await?;
        if is_page && !response.headers().contains_key(ROBOTS) {
            let stay_away = HeaderValue::from_static("noindex, nofollow");
            response.headers_mut().insert(ROBOTS, stay_away);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::trial::Trial;

    const POLICY: &str = r#"{"no_robots":true}"#;

    #[tokio::test]
    async fn robots_stay_away_unless_the_service_says_otherwise() {
        let trial = Trial::of(POLICY);
        let silent = trial.get("/").send().await;
        assert_eq!(silent.headers()["x-robots-tag"], "noindex, nofollow");
        let trial = Trial::of(POLICY).serving(&[("x-robots-tag", "all")], "");
        assert_eq!(trial.get("/").send().await.headers()["x-robots-tag"], "all");
    }

    #[tokio::test]
    async fn a_field_that_the_policy_sets_is_the_owners_word_too() {
        let trial = Trial::of(
            r#"{"no_robots":true,"response_headers":{"set":[["X-Robots-Tag","nosnippet"]]}}"#,
        );
        let answer = trial.get("/").send().await;
        assert_eq!(answer.headers()["x-robots-tag"], "nosnippet");
    }
}
