//! Which remote a client means: four headers in versions 1 and 2, a URL in version 3. Its parts are checked one by one and
//! never put together again, so none can reach into another.

use http::HeaderMap;
use http::uri::PathAndQuery;
use url::{Host, Url};

use crate::error::BareError;
use crate::headers::{HOST, PATH, PORT, PROTOCOL, URL, text};

/// A remote, and what to ask it for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// In origin form; the path is never empty.
    pub(crate) path: PathAndQuery,
    /// The header that named the host.
    pub(crate) named_by: &'static str,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Socket,
}

impl Kind {
    fn is_tls(self, protocol: &str) -> Option<bool> {
        match (self, protocol) {
            (Self::Http, "http:") | (Self::Socket, "ws:") => Some(false),
            (Self::Http, "https:") | (Self::Socket, "wss:") => Some(true),
            _ => None,
        }
    }
}

/// The four parts, as text.
pub(crate) struct Parts {
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) protocol: String,
    pub(crate) path: String,
}

impl Parts {
    /// Those of a request of version 1 or 2.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, BareError> {
        let part = |name| text(headers, name).ok_or_else(|| BareError::missing(name));
        Ok(Self {
            host: part(HOST)?,
            port: part(PORT)?,
            protocol: part(PROTOCOL)?,
            path: part(PATH)?,
        })
    }
}

impl Target {
    /// # Errors
    /// By the header whose value is none.
    pub(crate) fn of_parts(parts: &Parts, kind: Kind) -> Result<Self, BareError> {
        let port = parts.port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| BareError::invalid(PORT, "Header was not a valid port."))?;
        let tls = kind.is_tls(&parts.protocol);
        let tls = tls.ok_or_else(|| BareError::invalid(PROTOCOL, "Header was invalid"))?;
        let host = Host::parse(&parts.host);
        let host = host.map_err(|_| BareError::invalid(HOST, "Header was no host."))?;
        Ok(Self {
            tls,
            host,
            port,
            path: path(&parts.path)
                .ok_or_else(|| BareError::invalid(PATH, "Header was no path."))?,
            named_by: HOST,
        })
    }

    /// The remote of a request of version 3. Userinfo and fragment are dropped.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Self, BareError> {
        let url = text(headers, URL).ok_or_else(|| BareError::missing(URL))?;
        Self::of_url(&url, Kind::Http)
            .ok_or_else(|| BareError::invalid(URL, "Header was no URL of http: or https:."))
    }

    pub(crate) fn of_url(url: &str, kind: Kind) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let tls = kind.is_tls(&format!("{}:", url.scheme()))?;
        let path = match url.query() {
            Some(query) => path(&format!("{}?{query}", url.path()))?,
            None => path(url.path())?,
        };
        Some(Self {
            tls,
            host: url.host()?.to_owned(),
            port: url.port_or_known_default().filter(|port| *port > 0)?,
            path,
            named_by: URL,
        })
    }

    /// For people: where it goes, without the query.
    pub(crate) fn shown(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path.path())
    }
}

fn path(text: &str) -> Option<PathAndQuery> {
    let text = match text.as_bytes().first() {
        None => "/".to_owned(),
        Some(b'/') => text.to_owned(),
        Some(b'?') => format!("/{text}"),
        Some(_) => return None,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: [&str; 4]) -> Result<Target, String> {
        let [host, port, protocol, path] = parts.map(str::to_owned);
        let parts = Parts {
            host,
            port,
            protocol,
            path,
        };
        Target::of_parts(&parts, Kind::Http).map_err(|error| error.id)
    }

    #[test]
    fn four_headers_name_a_remote() {
        let target = of(["Example.ORG", "8080", "http:", "/a/../b?c=d"]).unwrap();
        assert_eq!(target.host.to_string(), "example.org");
        assert_eq!((target.port, target.tls), (8080, false));
        assert_eq!(target.path.as_str(), "/a/../b?c=d");
        assert_eq!(of(["x.org", "1", "https:", ""]).unwrap().path, "/");
        assert!(of(["[::1]", "1", "https:", "?q"]).unwrap().tls);
    }

    #[test]
    fn a_part_that_is_none_is_told_by_its_header() {
        for (parts, header) in [
            (["", "80", "http:", "/"], HOST),
            (["a b", "80", "http:", "/"], HOST),
            (["a@b", "80", "http:", "/"], HOST),
            (["a/b", "80", "http:", "/"], HOST),
            (["a:80", "80", "http:", "/"], HOST),
            (["::1", "80", "http:", "/"], HOST),
            (["a", "", "http:", "/"], PORT),
            (["a", "x", "http:", "/"], PORT),
            (["a", "80x", "http:", "/"], PORT),
            (["a", "99999", "http:", "/"], PORT),
            (["a", "0", "http:", "/"], PORT),
            (["a", "80", "http", "/"], PROTOCOL),
            (["a", "80", "ws:", "/"], PROTOCOL),
            (["a", "80", "file:", "/"], PROTOCOL),
            (["a", "80", "http:", "index"], PATH),
            (["a", "80", "http:", "@b/"], PATH),
            (["a", "80", "http:", "/a b"], PATH),
        ] {
            assert_eq!(
                of(parts),
                Err(format!("request.headers.{header}")),
                "{parts:?}"
            );
        }
    }

    #[test]
    fn a_url_names_a_remote_without_its_userinfo_and_fragment() {
        let of = |url| Target::of_url(url, Kind::Http);
        let target = of("https://user:pw@example.org/a?b=1#c").unwrap();
        assert_eq!(target.shown(), "https://example.org:443/a");
        assert_eq!(target.path, "/a?b=1");
        assert_eq!(of("http://0x7f.1/").unwrap().host.to_string(), "127.0.0.1");
        for url in [
            "",
            "example.org",
            "//a/",
            "ftp://a/",
            "ws://a/",
            "http://",
            "data:x",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
        let socket = Target::of_url("wss://a/x", Kind::Socket).unwrap();
        assert_eq!((socket.tls, socket.port), (true, 443));
        assert_eq!(Target::of_url("http://a/", Kind::Socket), None);
    }
}
