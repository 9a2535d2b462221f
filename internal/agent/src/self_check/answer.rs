//! The answering half: what is asked of the agent itself does not reach the target.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Request, Response};
use identity::{SecretKey, sign_self_check};
use messages::RequestHead;

use super::question;
use crate::{Context, RequestBody, SocketAnswer, Target, TargetBody, TargetError};

/// A target behind an agent that answers for itself. It does so whether it asks or not: of several agents with one key,
/// any may be reached by another's question.
pub(crate) struct Answering {
    pub(crate) key: Arc<SecretKey>,
    pub(crate) target: Arc<dyn Target>,
}

impl Target for Answering {
    fn http(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        match question(request.uri().path()) {
            None => self.target.http(request, context),
            Some(nonce) => {
                let host = public_host(request.headers());
                ready(Ok(answer(&self.key, &nonce, &host))).boxed()
            }
        }
    }

    fn socket(
        &self,
        head: RequestHead,
        context: Context,
    ) -> BoxFuture<'_, Result<SocketAnswer, TargetError>> {
        self.target.socket(head, context)
    }
}

fn answer(key: &SecretKey, nonce: &[u8; 32], host: &str) -> Response<TargetBody> {
    let mut response = Response::new(TargetBody::full(sign_self_check(key, nonce, host)));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The host that was asked, without its port. There is one: the link's messages name it.
fn public_host(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let authority = Authority::try_from(host.unwrap_or_default()).ok();
    authority.map_or_else(String::new, |authority| authority.host().to_owned())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use identity::verify_self_check;

    use super::super::path;
    use super::*;
    use crate::testing::{Bench, Doing, get, request};

    #[tokio::test]
    async fn a_question_is_answered_with_the_key_and_nothing_else_is_taken_from_the_target() {
        let key = Arc::new(SecretKey::generate());
        let target = Doing(async |_, _| Ok(Response::new(TargetBody::full("the service"))));
        let mut bench = Bench::serving(Answering {
            key: key.clone(),
            target: Arc::new(target),
        })
        .await;
        let nonce = [7; 32];
        let asked = path("/behind/a/prefix", &nonce);
        let stream = bench.server.ask(&get(&asked), b"", true).await;
        let (head, answer) = bench.server.response(stream).await;
        assert_eq!(head.headers[CACHE_CONTROL], "no-store");
        let host = "label.tunnels.example";
        assert_eq!(
            verify_self_check(&answer, key.public(), &nonce, host),
            Ok(())
        );
        let head = request(Method::HEAD, &asked, &[]);
        let stream = bench.server.ask(&head, b"", true).await;
        assert_eq!(bench.server.response(stream).await.1, b"");
        for other in ["/", "/.well-known/adit-probe/x"] {
            let stream = bench.server.ask(&get(other), b"", true).await;
            assert_eq!(bench.server.response(stream).await.1, b"the service");
        }
        assert_eq!(
            bench.diary.read().len(),
            2,
            "the agent's talk with itself is no request of a visitor"
        );
    }
}
