//! What answers under the server's own names: the base-domain page, the health checks, and the agents' door.

use std::net::SocketAddr;
use std::sync::Arc;

use edge::{Body, Reserved};
use futures_util::future::BoxFuture;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY,
};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use messages::TICKETS_PATH;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uplink::Uplink;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection, Reply};

use crate::settings::PublicUrl;

/// Where agents open their links.
const CONNECT: &str = "/_adit/connect";

/// The pages, and the uplink behind the agents' door.
pub(crate) struct Pages {
    routes: BoxedFilter<(warp::reply::Response,)>,
    uplink: Arc<Uplink>,
}

impl Pages {
    /// Pages of the server at `public`, not ready for a load balancer from `leaving` on.
    pub(crate) fn new(public: &PublicUrl, leaving: CancellationToken, uplink: Arc<Uplink>) -> Self {
        Self {
            routes: routes(public, leaving),
            uplink,
        }
    }
}

impl Reserved for Pages {
    fn call(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> BoxFuture<'static, Response<Body>> {
        if request.uri().path() == CONNECT {
            let answer = self.uplink.upgrade(request, peer).map(Body::boxed);
            return Box::pin(std::future::ready(answer));
        }
        if request.uri().path() == TICKETS_PATH {
            let answer = self.uplink.clone().ticket(request, peer);
            return Box::pin(async move { answer.await.map(Body::boxed) });
        }
        let answer = warp::service(self.routes.clone()).oneshot(request);
        Box::pin(async move {
            let Ok(answer) = answer.await;
            answer.map(Body::boxed)
        })
    }
}

/// Each route is boxed: unboxed, their types grow with every `or` until the compiler takes minutes.
fn routes(public: &PublicUrl, leaving: CancellationToken) -> BoxedFilter<(warp::reply::Response,)> {
    let home = Home::new(public);
    let home = warp::path::end()
        .and(warp::header::optional::<String>(ACCEPT.as_str()))
        .map(move |accept: Option<String>| home.answer(accept.as_deref()))
        .boxed();
    let live = warp::path!("_adit" / "health" / "live")
        .and(warp::header::optional::<String>(ACCEPT.as_str()))
        .map(|accept: Option<String>| ALIVE.answer(accept.as_deref()))
        .boxed();
    let ready = warp::path!("_adit" / "health" / "ready")
        .and(warp::header::optional::<String>(ACCEPT.as_str()))
        .map(move |accept: Option<String>| readiness(&leaving).answer(accept.as_deref()))
        .boxed();
    let pages = home.or(live).unify().boxed().or(ready).unify().boxed();
    let reading = warp::get().or(warp::head()).unify().boxed();
    // The method last: a path that is here with another method is 405, and 404 is left to what is not here.
    pages.and(reading).recover(refusal).unify().boxed()
}

async fn refusal(rejection: Rejection) -> Result<warp::reply::Response, std::convert::Infallible> {
    if rejection.is_not_found() {
        let sentence = "There is nothing here: this is the Adit server itself, not a tunnel.\n";
        return Ok(text(StatusCode::NOT_FOUND, sentence));
    }
    let mut answer = text(
        StatusCode::METHOD_NOT_ALLOWED,
        "This page can only be read.\n",
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Ok(answer)
}

/// What a probe hears: a word, or JSON where it asks for that.
struct Health {
    status: StatusCode,
    text: &'static str,
    json: &'static str,
}

const ALIVE: Health = Health {
    status: StatusCode::OK,
    text: "alive\n",
    json: r#"{"probe":"live","status":"ok"}"#,
};
const READY: Health = Health {
    status: StatusCode::OK,
    text: "ready\n",
    json: r#"{"probe":"ready","status":"ok"}"#,
};
const LEAVING: Health = Health {
    status: StatusCode::SERVICE_UNAVAILABLE,
    text: "draining\n",
    json: r#"{"probe":"ready","status":"draining"}"#,
};

impl Health {
    fn answer(&self, accept: Option<&str>) -> warp::reply::Response {
        let json = accept.is_some_and(|accept| accept.contains("application/json"));
        let mut answer = text(self.status, if json { self.json } else { self.text });
        let headers = answer.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept"));
        if json {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        answer
    }
}

fn readiness(leaving: &CancellationToken) -> &'static Health {
    if leaving.is_cancelled() {
        &LEAVING
    } else {
        &READY
    }
}

fn text(status: StatusCode, text: &'static str) -> warp::reply::Response {
    let mut answer = warp::reply::with_status(text, status).into_response();
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The page of the base domain, made once: HTML for browsers, text for everybody else.
#[derive(Clone)]
struct Home {
    html: Arc<str>,
    text: Arc<str>,
}

impl Home {
    fn new(public: &PublicUrl) -> Self {
        let url = public.to_string();
        // A domain and a URL of scheme, host and port have no character that HTML would take for markup.
        let html = include_str!("page.html")
            .replace("{domain}", &public.host)
            .replace("{url}", &url);
        let text = format!(
            "This is an Adit server. It publishes services that sit behind a firewall.\n\n\
             To publish what listens on port 3000 of your machine:\n\n  adit http 3000 --server {url}\n\n\
             It prints a URL under {}; whoever holds the key holds the name.\n",
            public.host
        );
        Self {
            html: html.into(),
            text: text.into(),
        }
    }

    fn answer(&self, accept: Option<&str>) -> warp::reply::Response {
        let html = accept.is_some_and(|accept| accept.contains("text/html"));
        let (page, kind) = if html {
            (&self.html, "text/html; charset=utf-8")
        } else {
            (&self.text, "text/plain; charset=utf-8")
        };
        let mut answer = page.to_string().into_response();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        answer
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty};

    use super::*;
    use crate::settings::Domain;

    async fn ask(
        method: &str,
        path: &str,
        accept: Option<&str>,
        leaving: &CancellationToken,
    ) -> (u16, String) {
        let public = PublicUrl::plain(&Domain::localhost(), 8080);
        let mut request = Request::builder().method(method).uri(path);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let service = warp::service(routes(&public, leaving.clone()));
        let Ok(answer) = service.oneshot(request).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_base_page_is_html_for_browsers_and_text_for_curl() {
        let here = CancellationToken::new();
        for accept in [None, Some("*/*")] {
            let (status, page) = ask("GET", "/", accept, &here).await;
            assert_eq!(status, 200);
            assert!(
                page.contains("adit http 3000 --server http://localhost:8080\n"),
                "{page}"
            );
        }
        let (status, page) = ask("GET", "/?x", Some("text/html,*/*;q=0.8"), &here).await;
        assert_eq!(status, 200);
        assert!(
            page.starts_with("<!doctype html>")
                && !page.contains("{domain}")
                && !page.contains("{url}")
        );
    }

    #[tokio::test]
    async fn a_server_that_leaves_is_alive_but_not_ready() {
        let leaving = CancellationToken::new();
        assert_eq!(
            ask("GET", "/_adit/health/ready", None, &leaving).await,
            (200, "ready\n".into())
        );
        leaving.cancel();
        assert_eq!(
            ask("GET", "/_adit/health/ready", None, &leaving).await,
            (503, "draining\n".into())
        );
        assert_eq!(
            ask("HEAD", "/_adit/health/live", None, &leaving).await.0,
            200
        );
    }

    #[tokio::test]
    async fn a_probe_that_wants_json_gets_it() {
        let here = CancellationToken::new();
        let ask = async |path, leaving| ask("GET", path, Some("application/json"), leaving).await;
        assert_eq!(
            ask("/_adit/health/live", &here).await,
            (200, r#"{"probe":"live","status":"ok"}"#.into())
        );
        assert_eq!(
            ask("/_adit/health/ready", &here).await,
            (200, r#"{"probe":"ready","status":"ok"}"#.into())
        );
        here.cancel();
        assert_eq!(
            ask("/_adit/health/ready", &here).await,
            (503, r#"{"probe":"ready","status":"draining"}"#.into())
        );
    }

    #[tokio::test]
    async fn what_is_not_here_is_404_and_what_can_only_be_read_is_405() {
        let here = CancellationToken::new();
        assert_eq!(ask("GET", "/index.php", None, &here).await.0, 404);
        assert_eq!(ask("POST", "/_adit/ticket", None, &here).await.0, 404);
        assert_eq!(ask("POST", "/", None, &here).await.0, 405);
        assert_eq!(
            ask("DELETE", "/_adit/health/live", None, &here).await.0,
            405
        );
    }
}
