//! Requests that came without TLS are sent to the same URL with it
//! (`https_only`).

use http::{HeaderValue, Method, header::HOST, uri::Authority};
use messages::{Policy, Scheme};
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::{failure::Failure, host, request::Call};

/// Whether there was TLS is the connection's to say, or a trusted proxy's; a
/// visitor's own `X-Forwarded-Proto` is not asked.
#[derive(Debug)]
pub(super) struct HttpsOnly;

impl HttpsOnly {
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        policy.https_only.then_some(Self)
    }
}

impl Rule for HttpsOnly {
    async fn apply<S: Next>(&self, call: Call, next: S) -> Answer {
        if call.body().about.visitor.scheme == Scheme::Https {
            return next.oneshot(call).await;
        }
        Err(Failure::HttpsOnly {
            location: location(&call)?,
            // Old clients know 301 alone, and may only repeat these two as they are.
            keeps_method: !matches!(*call.method(), Method::GET | Method::HEAD),
        })
    }
}

/// Host, path and query are kept. The port is not: where HTTP was answered there
/// is no TLS, so it is the usual one.
fn location(call: &Call) -> Result<HeaderValue, Failure> {
    let refuse = || Failure::BadRequest("the request target is neither a path nor a URL");
    let field = call.headers().get(HOST).map(HeaderValue::as_bytes);
    let authority = Authority::try_from(field.unwrap_or_default()).map_err(|_| refuse())?;
    let target = host::origin_form(call.uri(), call.method())?;
    let path = Some(target.as_str()).filter(|path| *path != "*");
    let url = format!("https://{}{}", authority.host(), path.unwrap_or("/"));
    HeaderValue::try_from(url).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::trial::Trial;

    fn redirect(to: &'static str, keeps_method: bool) -> Failure {
        Failure::HttpsOnly {
            location: HeaderValue::from_static(to),
            keeps_method,
        }
    }

    #[tokio::test]
    async fn a_request_without_tls_goes_to_the_same_url_with_it() {
        let trial = Trial::of(r#"{"https_only":true}"#);
        let answer = trial.get("/a//b?c=d&e").send().await;
        let expected = redirect("https://tunnel.example/a//b?c=d&e", false);
        assert_eq!(answer.status(), Err(expected));
        assert!(!answer.reached_the_service());
    }

    #[tokio::test]
    async fn a_method_with_a_body_is_kept_and_the_port_is_not() {
        let trial = Trial::of(r#"{"https_only":true}"#);
        let answer = trial
            .post("/", "x")
            .with("host", "tunnel.example:8080")
            .send();
        let expected = redirect("https://tunnel.example/", true);
        assert_eq!(answer.await.status(), Err(expected));
    }

    #[tokio::test]
    async fn what_came_with_tls_passes_and_a_visitors_word_for_it_does_not() {
        let trial = Trial::of(r#"{"https_only":true}"#);
        assert_eq!(trial.get("/").over_tls().send().await.status(), Ok(200));
        let claimed = trial.get("/").with("x-forwarded-proto", "https").send();
        assert!(claimed.await.status().is_err());
    }
}
