//! Which pages of other origins may read responses (`cors`; the Fetch standard,
//! 3.2 and 4.8).
//!
//! Preflights are answered here and never reach the service. On everything else
//! the policy has the word, not the service: fields of the kind that come from
//! there are replaced.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN, VARY,
    },
};
use messages::Policy;
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::{
    body::Body,
    failure,
    request::{BodyKind, Call},
    visit,
};

/// What a service may have said of the matter itself.
const FIELDS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The rule, as the values of the fields it writes.
#[derive(Debug)]
pub(super) struct Cors {
    /// `None` for every origin.
    origins: Option<Vec<HeaderValue>>,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

impl Cors {
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let cors = policy.cors.as_ref()?;
        let value = |text: &String| HeaderValue::from_str(text).ok();
        let any = cors.origins.iter().any(|origin| origin == "*");
        Some(Self {
            origins: (!any).then(|| cors.origins.iter().filter_map(value).collect()),
            methods: list(&cors.methods),
            headers: list(&cors.headers),
            expose: list(&cors.expose),
            credentials: cors.credentials,
            max_age: cors.max_age.map(HeaderValue::from),
        })
    }

    /// What a response to a page of `origin` says; nothing allows it when it is
    /// missing or not on the list.
    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origins) = &self.origins else {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return;
        };
        // Whatever the answer is, it depends on who asks: caches must know.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin.filter(|origin| origins.contains(origin)) else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }

    fn preflight(&self, origin: &HeaderValue) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = failure::PREFLIGHT;
        let headers = response.headers_mut();
        self.allow(Some(origin), headers);
        for name in [
            ACCESS_CONTROL_REQUEST_METHOD,
            ACCESS_CONTROL_REQUEST_HEADERS,
        ] {
            headers.append(VARY, name.into());
        }
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            put(headers, ACCESS_CONTROL_ALLOW_METHODS, self.methods.as_ref());
            put(headers, ACCESS_CONTROL_ALLOW_HEADERS, self.headers.as_ref());
            put(headers, ACCESS_CONTROL_MAX_AGE, self.max_age.as_ref());
        }
        response
    }
}

impl Rule for Cors {
    async fn apply<S: Next>(&self, call: Call, next: S) -> Answer {
        // Browsers enforce nothing on what a WebSocket says.
        if call.body().socket.is_some() {
            return next.oneshot(call).await;
        }
        let origin = origin(call.headers()).cloned();
        if let Some(origin) = origin.as_ref().filter(|_| is_preflight(&call)) {
            return Ok(self.preflight(origin));
        }
        let asked = call.body().about.asked;
        let answer = next.oneshot(call).await;
        // A page that may read what the service says may read what is said for it.
        let mut response = answer.unwrap_or_else(|failure| visit::failed(&failure, asked));
        let headers = response.headers_mut();
        for name in FIELDS {
            headers.remove(name);
        }
        self.allow(origin.as_ref(), headers);
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            put(headers, ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.as_ref());
        }
        Ok(response)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value.clone());
    }
}

/// One field of names; `None` for no names.
fn list(names: &[String]) -> Option<HeaderValue> {
    let named = Some(names).filter(|names| !names.is_empty());
    named.and_then(|names| HeaderValue::try_from(names.join(", ")).ok())
}

/// The one origin that the request comes from.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.next().filter(|_| origins.next().is_none())
}

/// A browser's question, and not some other use of OPTIONS: those are the
/// service's to answer.
fn is_preflight(call: &Call) -> bool {
    *call.method() == Method::OPTIONS
        && call.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && call.body().kind == BodyKind::None
}

#[cfg(test)]
mod tests {
    use crate::{
        failure::Failure,
        policy::trial::{Answered, Asking, Trial},
    };

    const NAMED: &str = r#"{"cors":{"origins":["https://app.example","http://localhost:3000"],"methods":["PUT","DELETE"],
        "headers":["Authorization","X-Token"],"expose":["X-Total"],"credentials":true,"max_age":600}}"#;

    fn preflight(trial: &Trial, origin: &str) -> Asking {
        trial
            .ask("OPTIONS", "/")
            .with("origin", origin)
            .with("access-control-request-method", "PUT")
            .with("access-control-request-headers", "x-token")
    }

    fn said(answer: &Answered, name: &str) -> Vec<String> {
        let values = answer.headers().get_all(name).iter();
        values.map(|v| v.to_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_preflight_is_answered_at_the_edge() {
        let trial = Trial::of(NAMED);
        let answer = preflight(&trial, "https://app.example").send().await;
        assert_eq!(answer.status(), Ok(204));
        assert!(!answer.reached_the_service());
        for (name, value) in [
            ("access-control-allow-origin", "https://app.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "PUT, DELETE"),
            ("access-control-allow-headers", "Authorization, X-Token"),
            ("access-control-max-age", "600"),
        ] {
            assert_eq!(said(&answer, name), [value]);
        }
        assert_eq!(said(&answer, "vary")[0], "Origin");
    }

    #[tokio::test]
    async fn a_preflight_from_elsewhere_is_allowed_nothing() {
        let trial = Trial::of(NAMED);
        for origin in ["https://evil.example", "https://app.example.evil", "null"] {
            let answer = preflight(&trial, origin).send().await;
            assert_eq!(answer.status(), Ok(204));
            let names = answer.headers().keys().map(http::HeaderName::as_str);
            assert!(names.into_iter().all(|name| name == "vary"), "{origin}");
            assert!(!answer.reached_the_service());
        }
    }

    #[tokio::test]
    async fn other_uses_of_options_are_the_services_to_answer() {
        let trial = Trial::of(NAMED);
        let plain = trial
            .ask("OPTIONS", "/")
            .with("origin", "https://app.example")
            .send();
        assert!(plain.await.reached_the_service());
        let no_origin = trial
            .ask("OPTIONS", "/")
            .with("access-control-request-method", "PUT");
        assert!(no_origin.send().await.reached_the_service());
        let get = preflight(&trial, "https://app.example")
            .method("GET")
            .send();
        assert!(get.await.reached_the_service());
        let doubled = preflight(&trial, "https://app.example").with("origin", "https://b.example");
        assert!(doubled.send().await.reached_the_service());
    }

    #[tokio::test]
    async fn the_policy_has_the_word_and_not_the_service() {
        let service = [
            ("access-control-allow-origin", "https://evil.example"),
            ("access-control-allow-methods", "*"),
            ("vary", "Accept"),
        ];
        let trial = Trial::of(NAMED).serving(&service, "");
        let answer = trial
            .get("/")
            .with("origin", "http://localhost:3000")
            .send()
            .await;
        assert_eq!(
            said(&answer, "access-control-allow-origin"),
            ["http://localhost:3000"]
        );
        assert_eq!(said(&answer, "access-control-expose-headers"), ["X-Total"]);
        assert!(said(&answer, "access-control-allow-methods").is_empty());
        assert_eq!(said(&answer, "vary"), ["Accept", "Origin"]);
        let evil = trial
            .get("/")
            .with("origin", "https://evil.example")
            .send()
            .await;
        assert!(said(&evil, "access-control-allow-origin").is_empty());
        assert_eq!(said(&evil, "vary"), ["Accept", "Origin"]);
    }

    #[tokio::test]
    async fn everybody_is_everybody() {
        let trial = Trial::of(r#"{"cors":{"origins":["*"]}}"#);
        let answer = trial.get("/").with("origin", "null").send().await;
        assert_eq!(said(&answer, "access-control-allow-origin"), ["*"]);
        assert!(said(&answer, "vary").is_empty());
    }

    #[tokio::test]
    async fn a_page_may_read_why_the_service_was_not_asked() {
        let policy = NAMED.replacen('{', r#"{"strip_prefix":"/api","#, 1);
        let trial = Trial::of(&policy);
        let answer = trial
            .get("/")
            .with("origin", "https://app.example")
            .send()
            .await;
        assert_eq!(answer.status(), Ok(404));
        assert_eq!(answer.headers()["adit-error"], "path-not-published");
        assert_eq!(
            said(&answer, "access-control-allow-origin"),
            ["https://app.example"]
        );
        // What decides before it is not for pages.
        let policy = NAMED.replacen('{', r#"{"deny_ips":["0.0.0.0/0"],"#, 1);
        let answer = preflight(&Trial::of(&policy), "https://app.example")
            .send()
            .await;
        assert_eq!(answer.status(), Err(Failure::Forbidden));
    }
}
