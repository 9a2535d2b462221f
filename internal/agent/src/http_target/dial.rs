//! Connections to the one authority of a target.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

type DialError = <HttpConnector as Service<Uri>>::Error;

/// Dials its own authority, whatever it is asked for.
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
}

impl Service<Uri> for Dial {
    type Response = Dialled;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Dialled, DialError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        self.http.poll_ready(cx)
    }

    fn call(&mut self, _asked: Uri) -> Self::Future {
        let dialling = self.http.call(self.to.clone());
        async move {
            let tcp = dialling.await?;
            Ok(Dialled {
                tcp,
                kept: Kept::default(),
            })
        }
        .boxed()
    }
}

/// Whether a connection has answered a request before: then the next one finds it used, and perhaps closed.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<AtomicBool>);

impl Kept {
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection that the pool can tell from others.
pub(super) struct Dialled {
    tcp: TokioIo<TcpStream>,
    kept: Kept,
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.kept.clone())
    }
}

impl Read for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl Write for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }
}
