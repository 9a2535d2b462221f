//! Header fields of responses, set and removed (`response_headers`).
//!
//! What the service answers is changed, a WebSocket's acceptance included; Adit's
//! own pages are not.

use http::header::{HeaderMap, SET_COOKIE};
use messages::Policy;
use tower::ServiceExt;

use super::{
    layer::{Answer, Next, Rule},
    request_fields::Fields,
};
use crate::{headers, request::Call};

/// The rule.
#[derive(Debug)]
pub(super) struct ResponseFields(Fields);

impl ResponseFields {
    pub(super) fn of(policy: &Policy, domain: &str) -> Option<Self> {
        let rules = &policy.response_headers;
        if rules.is_empty() {
            return None;
        }
        let mut fields = Fields::of(rules);
        // A policy sets no cookie that its tunnel could not set.
        fields.set.retain(|(name, value)| {
            let mut alone = HeaderMap::from_iter([(name.clone(), value.clone())]);
            headers::keep_cookies_at_home(&mut alone, domain);
            *name != SET_COOKIE || !alone.is_empty()
        });
        Some(Self(fields))
    }
}

impl Rule for ResponseFields {
    async fn apply<S: Next>(&self, call: Call, next: S) -> Answer {
        let mut response = next.oneshot(call).await?;
        self.0.apply(response.headers_mut());
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::trial::Trial;

    #[tokio::test]
    async fn fields_of_the_service_are_removed_and_set() {
        let trial = Trial::of(
            r#"{"response_headers":{"set":[["X-Frame-Options","DENY"]],"remove":["Server"]}}"#,
        );
        let serving = trial.serving(&[("server", "old/1"), ("x-frame-options", "ALLOWALL")], "");
        let answer = serving
            .get("/")
            .with("server", "of the request")
            .send()
            .await;
        assert!(!answer.headers().contains_key("server"));
        assert_eq!(answer.headers()["x-frame-options"], "DENY");
        assert_eq!(answer.request().headers()["server"], "of the request");
    }

    #[tokio::test]
    async fn a_policy_sets_no_cookie_for_sibling_tunnels() {
        let trial = Trial::of(
            r#"{"response_headers":{"set":[["Set-Cookie","a=b; Domain=localhost"],["X-A","b"]]}}"#,
        );
        let answer = trial.get("/").send().await;
        assert!(!answer.headers().contains_key("set-cookie"));
        assert_eq!(answer.headers()["x-a"], "b");
    }

    #[tokio::test]
    async fn a_policy_sets_a_cookie_of_its_own() {
        let trial = Trial::of(r#"{"response_headers":{"set":[["Set-Cookie","a=b"]]}}"#);
        let answer = trial.get("/").send().await;
        assert_eq!(answer.headers()["set-cookie"], "a=b");
    }
}
