//! The front of the path (`strip_prefix`, `add_prefix`).
//!
//! Paths are compared and changed byte by byte, as the visitor spelled them:
//! nothing is decoded, no `..` is resolved, and the query stays as it is. So a
//! prefix says where a service begins; it is no fence around a part of one.

use http::uri::{PathAndQuery, Uri};
use messages::Policy;
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::{failure::Failure, host, request::Call};

/// First one is taken off, then the other is put in front. Neither ends with `/`.
#[derive(Debug)]
pub(super) struct Prefixes {
    strip: String,
    add: String,
}

impl Prefixes {
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let some = policy.strip_prefix.is_some() || policy.add_prefix.is_some();
        some.then(|| Self {
            strip: policy.strip_prefix.clone().unwrap_or_default(),
            add: policy.add_prefix.clone().unwrap_or_default(),
        })
    }

    /// `None` for a path outside of what is published.
    fn moved(&self, target: &str) -> Option<String> {
        let rest = target.strip_prefix(self.strip.as_str())?;
        let rest = match rest.chars().next() {
            Some('/') => rest.to_owned(),
            // The prefix alone, perhaps with a query: the root of the service.
            None | Some('?') => format!("/{rest}"),
            // `/api` is not the front of `/apis`.
            Some(_) => return None,
        };
        Some(format!("{}{rest}", self.add))
    }
}

impl Rule for Prefixes {
    async fn apply<S: Next>(&self, mut call: Call, next: S) -> Answer {
        let target = host::origin_form(call.uri(), call.method())?;
        // `OPTIONS *` asks about the whole server, not about a path of it.
        if target != "*" {
            let moved = self
                .moved(target.as_str())
                .ok_or(Failure::PathNotPublished)?;
            let target = PathAndQuery::try_from(moved).map_err(|_| Failure::HeadTooLarge)?;
            *call.uri_mut() = Uri::from(target);
        }
        next.oneshot(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::trial::Trial;

    #[tokio::test]
    async fn a_prefix_is_taken_off_and_another_put_in_front() {
        let trial = Trial::of(r#"{"strip_prefix":"/api","add_prefix":"/v1"}"#);
        for (asked, got) in [
            ("/api", "/v1/"),
            ("/api/", "/v1/"),
            ("/api?a=/api", "/v1/?a=/api"),
            ("/api/users?a=b?c", "/v1/users?a=b?c"),
            ("/api//x", "/v1//x"),
            ("/api/../x", "/v1/../x"),
            ("/api/%2e%2e/%2fx", "/v1/%2e%2e/%2fx"),
        ] {
            let answer = trial.get(asked).send().await;
            assert_eq!(answer.request().uri().to_string(), got, "{asked}");
        }
    }

    #[tokio::test]
    async fn what_lies_outside_of_the_prefix_is_not_published() {
        let trial = Trial::of(r#"{"strip_prefix":"/api"}"#);
        for asked in [
            "/", "/apis", "/API/x", "/x/api", "//api/x", "/%61pi/x", "/?/api",
        ] {
            let answer = trial.get(asked).send().await;
            assert_eq!(answer.status(), Err(Failure::PathNotPublished), "{asked}");
            assert!(!answer.reached_the_service());
        }
    }

    #[tokio::test]
    async fn two_slashes_after_a_prefix_stay_a_path() {
        let trial = Trial::of(r#"{"strip_prefix":"/api"}"#);
        let answer = trial.get("/api//evil.example/x").send().await;
        assert_eq!(answer.request().uri().path(), "//evil.example/x");
        assert_eq!(answer.request().uri().authority(), None);
    }

    #[tokio::test]
    async fn the_asterisk_is_no_path() {
        let trial = Trial::of(r#"{"strip_prefix":"/api"}"#);
        let answer = trial.ask("OPTIONS", "*").send().await;
        assert_eq!(answer.request().uri().to_string(), "*");
    }
}
