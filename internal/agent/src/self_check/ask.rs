//! The asking half: one request as a visitor would make it, and what its answer says.

mod dial;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use identity::{MAX_SELF_CHECK_LEN, SecretKey, SelfCheckError, random_bytes, verify_self_check};
use messages::{Granted, Policy};
use tokio::time::timeout;

use super::{Verdict, path};
use crate::Config;
use crate::error::printable;
use dial::{Tls, dial};

/// Asks the public URL of a grant.
pub(crate) type Ask = Arc<dyn Fn(Granted) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// The longest time for a question, from the look-up of the name to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The label that stands for the `*` of a wildcard.
const STAND_IN: &str = "adit-probe";

/// Asks over the network.
pub(crate) fn asking(config: &Config) -> Ask {
    let asker = Arc::new(Asker {
        key: config.key.clone(),
        policy: config.policy.clone().unwrap_or_default(),
        tls: config.connect.tls.clone(),
        user_agent: config.connect.user_agent.clone(),
    });
    Arc::new(move |granted| {
        let asker = asker.clone();
        async move { asker.ask(&granted).await }.boxed()
    })
}

/// Who asks, and by which rules it may be turned away.
struct Asker {
    key: Arc<SecretKey>,
    policy: Policy,
    tls: Tls,
    user_agent: HeaderValue,
}

/// Where a question goes.
struct Place {
    scheme: Scheme,
    authority: Authority,
}

impl Asker {
    async fn ask(&self, granted: &Granted) -> Verdict {
        let Some(place) = self.place(&granted.url) else {
            return Verdict::Missed("the server gave an URL that cannot be asked".to_owned());
        };
        let nonce = random_bytes();
        match timeout(PATIENCE, self.get(&place, &nonce)).await {
            Ok(Ok((status, None, page))) => self.judge_page(&place, &nonce, status, &page),
            Ok(Ok((status, Some(code), _))) => self.judge_code(status, &code),
            Ok(Err(why)) => Verdict::Missed(why),
            Err(_) => Verdict::Missed(format!(
                "no answer from {} within {} s",
                place.authority,
                PATIENCE.as_secs()
            )),
        }
    }

    /// Where a visitor would go with this URL. A tunnel that sends everybody to TLS is asked there at once.
    fn place(&self, url: &str) -> Option<Place> {
        let parts = url.parse::<Uri>().ok()?.into_parts();
        let (scheme, authority) = (parts.scheme?, parts.authority?);
        let host = match authority.host().strip_prefix('*') {
            Some(rest) => format!("{STAND_IN}{rest}"),
            None => authority.host().to_owned(),
        };
        let upgraded = self.policy.https_only && scheme == Scheme::HTTP;
        let (scheme, port) = match upgraded {
            true => (Scheme::HTTPS, None),
            false => (scheme, authority.port_u16()),
        };
        let authority = match port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        Some(Place {
            scheme,
            authority: authority.parse().ok()?,
        })
    }

    /// Status, Adit's own code where the edge answered, and the page.
    async fn get(
        &self,
        place: &Place,
        nonce: &[u8; 32],
    ) -> Result<(StatusCode, Option<String>, Bytes), String> {
        let socket = dial(place, &self.tls).await?;
        let shaken = http1::handshake(TokioIo::new(socket)).await;
        let (mut sender, driver) = shaken.map_err(|error| broken(place, &error))?;
        let request = self.request(place, nonce);
        let asking = async move {
            let answered = sender.send_request(request).await;
            read(answered.map_err(|error| broken(place, &error))?).await
        };
        let (mut asking, driver) = (pin!(asking), pin!(driver));
        tokio::select! {
            biased;
            read = &mut asking => return read,
            // Its end is the end of the answer too, which is there then.
            _ = driver => {}
        }
        asking.await
    }

    fn request(&self, place: &Place, nonce: &[u8; 32]) -> Request<Empty<Bytes>> {
        let prefix = self.policy.strip_prefix.as_deref().unwrap_or_default();
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::try_from(path(prefix, nonce))
            .expect("a prefix that was checked and base64url are a path");
        let fields = request.headers_mut();
        let host = HeaderValue::try_from(place.authority.as_str());
        fields.insert(
            HOST,
            host.expect("an authority has only visible characters"),
        );
        fields.insert(USER_AGENT, self.user_agent.clone());
        fields.insert(ACCEPT, HeaderValue::from_static("text/plain"));
        request
    }

    fn judge_page(
        &self,
        place: &Place,
        nonce: &[u8; 32],
        status: StatusCode,
        page: &[u8],
    ) -> Verdict {
        let host = place.authority.host();
        match verify_self_check(page, self.key.public(), nonce, host) {
            Ok(()) => Verdict::Reached,
            Err(SelfCheckError::OtherKey) => {
                Verdict::Missed(format!("an agent with another key answers at {host}"))
            }
            Err(_) => Verdict::Missed(format!(
                "what answers at {host}, with status {}, is neither this agent nor its server",
                status.as_u16()
            )),
        }
    }

    /// What a code of the edge's means to the one who set the rules. See [`Policy`]'s fields.
    fn judge_code(&self, status: StatusCode, code: &str) -> Verdict {
        let policy = &self.policy;
        let addresses = !policy.allow_ips.is_empty() || !policy.deny_ips.is_empty();
        match code {
            "password-required" if policy.basic_auth.is_some() => Verdict::Guarded("a password"),
            "forbidden" if addresses => Verdict::Guarded("another address than this machine's"),
            "webhook-unverified" if policy.webhook.is_some() => {
                Verdict::Guarded("a webhook's signature")
            }
            "rate-limited" | "too-many-passwords" | "policy-unavailable" | "overloaded"
            | "draining" => Verdict::Unclear(format!("the server answers {code}")),
            _ => Verdict::Missed(format!(
                "the server answers {} ({})",
                status.as_u16(),
                printable(code)
            )),
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, Option<String>, Bytes), String> {
    let (parts, body) = response.into_parts();
    let code = parts.headers.get("adit-error");
    let code = code.map(|code| String::from_utf8_lossy(code.as_bytes()).into_owned());
    // A page that is longer is none of ours, so that it matters no more what it says.
    let page = Limited::new(body, MAX_SELF_CHECK_LEN).collect().await;
    let page = page.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    Ok((parts.status, code, page))
}

fn broken(place: &Place, error: &hyper::Error) -> String {
    format!("{} does not speak HTTP: {error}", place.authority)
}

#[cfg(test)]
mod tests;
