//! Header fields of requests, set and removed (`request_headers`).

use http::{HeaderMap, HeaderName, HeaderValue};
use messages::{FieldRules, Policy};
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::request::Call;

/// Names and values, parsed once.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) remove: Vec<HeaderName>,
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
}

impl Fields {
    /// What a checked policy lists; a name or value that breaks the grammar is none
    /// in there, and would be left out.
    pub(super) fn of(rules: &FieldRules) -> Self {
        let name = |text: &String| HeaderName::from_bytes(text.as_bytes()).ok();
        let field = |(key, value): &(String, String)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            // It may be a password of the service: it is not shown.
            value.set_sensitive(true);
            Some((name(key)?, value))
        };
        Self {
            remove: rules.remove.iter().filter_map(name).collect(),
            set: rules.set.iter().filter_map(field).collect(),
        }
    }

    /// First removes, then sets.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}

/// The rule.
#[derive(Debug)]
pub(super) struct RequestFields(Fields);

impl RequestFields {
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let rules = &policy.request_headers;
        (!rules.is_empty()).then(|| Self(Fields::of(rules)))
    }
}

impl Rule for RequestFields {
    async fn apply<S: Next>(&self, mut call: Call, next: S) -> Answer {
        self.0.apply(call.headers_mut());
        next.oneshot(call).await
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::trial::Trial;

    #[tokio::test]
    async fn fields_are_removed_and_then_set() {
        let trial = Trial::of(
            r#"{"request_headers":{"set":[["X-Env","dev"],["Accept","text/plain"]],"remove":["Cookie","X-Env"]}}"#,
        );
        let answer = trial
            .get("/")
            .with("cookie", "a=b")
            .with("x-env", "live")
            .with("accept", "text/html")
            .with("accept", "*/*")
            .with("x-other", "kept")
            .send()
            .await;
        let headers = answer.request().headers();
        assert_eq!(headers.get_all("x-env").iter().collect::<Vec<_>>(), ["dev"]);
        let accept: Vec<_> = headers.get_all("accept").iter().collect();
        assert_eq!(accept, ["text/plain"]);
        assert!(!headers.contains_key("cookie"));
        assert_eq!(headers["x-other"], "kept");
    }

    #[tokio::test]
    async fn responses_are_left_alone() {
        let trial = Trial::of(r#"{"request_headers":{"remove":["Date"]}}"#);
        let answer = trial
            .serving(&[("date", "today")], "")
            .get("/")
            .send()
            .await;
        assert_eq!(answer.headers()["date"], "today");
    }
}
