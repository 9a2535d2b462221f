//! One line of the access log: who fetched what, and what came of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;

/// One request, when its outcome is known: a response has begun, a WebSocket was opened, or neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who asked.
    pub visitor: IpAddr,
    /// The protocol's version: 1, 2 or 3.
    pub version: u8,
    /// What was asked of the remote.
    pub method: Method,
    /// Whether it was a WebSocket.
    pub socket: bool,
    /// The remote's URL without its query. `None` where the request named none that can be read.
    pub remote: Option<String>,
    /// The remote's status, or the code of the error.
    pub outcome: Result<u16, &'static str>,
    /// From the request to its outcome.
    pub elapsed: Duration,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.socket {
            "WS"
        } else {
            self.method.as_str()
        };
        let remote = self.remote.as_deref().unwrap_or("-");
        write!(f, "{} v{} {what} {remote} ", self.visitor, self.version)?;
        match &self.outcome {
            Ok(status) => write!(f, "{status}")?,
            Err(code) => f.write_str(code)?,
        }
        write!(f, " {}ms", self.elapsed.as_millis())
    }
}
