//! Connections to the one authority of a target.

use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::deepest;
use crate::TargetError;

/// Dials its own authority; nobody can ask it for another one.
///
/// Every address of the host is tried, both families side by side (RFC 8305), and bytes leave without waiting for more.
#[derive(Clone)]
pub(super) struct Dial {
    http: HttpConnector,
    to: Uri,
}

impl Dial {
    pub(super) fn new(authority: Authority, connect_timeout: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(connect_timeout));
        http.set_nodelay(true);
        let to = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query("/")
            .build()
            .expect("scheme, authority and path make a URI");
        Self { http, to }
    }

    /// A new connection. Dropping the future gives the attempt up.
    pub(super) async fn connect(&self) -> Result<TokioIo<TcpStream>, TargetError> {
        let dialled = self.http.clone().oneshot(self.to.clone()).await;
        dialled.map_err(|error| {
            TargetError::Unreachable(format!("cannot connect to the target: {}", deepest(&error)))
        })
    }
}
