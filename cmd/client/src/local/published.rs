//! A local service as the target of an agent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use agent::{Context, RequestBody, SocketAnswer, Target, TargetBody, TargetError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri, header::HOST, header::HeaderValue};
use http_body_util::BodyExt as _;
use messages::{RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{Local, LocalBody, Run, Upgrade, Visitor};

/// Bytes of a WebSocket that wait between the exchange and the service, each way.
const PIPE: usize = 64 * 1024;

/// How long a service may go on after its visitor has left: what he sent last is still on its way to it.
const LINGER: Duration = Duration::from_secs(5);

/// Publishes a [`Local`].
pub(crate) struct Published<L> {
    service: Arc<L>,
    /// Holds the WebSockets.
    tasks: TaskTracker,
}

impl<L: Local> Published<L> {
    /// WebSockets are tasks on `tasks`; each ends soon after its exchange.
    pub(crate) fn new(service: Arc<L>, tasks: &TaskTracker) -> Self {
        Self {
            service,
            tasks: tasks.clone(),
        }
    }

    /// Starts the service on one end of a pipe, whose other end the exchange gets.
    fn start(&self, run: Run) -> Piped {
        let (near, far) = duplex(PIPE);
        let left = CancellationToken::new();
        let guard = left.clone().drop_guard();
        self.tasks.spawn(async move {
            let mut running = run(Box::pin(far));
            tokio::select! {
                biased;
                () = &mut running => return,
                () = left.cancelled() => {}
            }
            if timeout(LINGER, running).await.is_err() {
                tracing::debug!("a WebSocket was cut: its visitor had left");
            }
        });
        Piped {
            pipe: near,
            _left: guard,
        }
    }
}

impl<L: Local> Target for Published<L> {
    fn http(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        let request = request.map(|body| -> LocalBody { body.map_err(Into::into).boxed_unsync() });
        let answering = self.service.http(request, visitor(&context));
        async move { Ok(answering.await.map(TargetBody::boxed)) }.boxed()
    }

    fn socket(
        &self,
        head: RequestHead,
        context: Context,
    ) -> BoxFuture<'_, Result<SocketAnswer, TargetError>> {
        async move {
            let answer = self.service.socket(request(head), visitor(&context)).await;
            Ok(match answer {
                Upgrade::Accepted { head, run } => SocketAnswer::Accepted {
                    head: ResponseHead {
                        status: StatusCode::SWITCHING_PROTOCOLS,
                        headers: head.into_parts().0.headers,
                    },
                    socket: Box::pin(self.start(run)),
                },
                Upgrade::Refused(response) => {
                    SocketAnswer::Refused(response.map(TargetBody::boxed))
                }
            })
        }
        .boxed()
    }
}

fn visitor(context: &Context) -> Visitor {
    Visitor {
        addr: context.visitor.addr.ip().to_canonical(),
    }
}

/// The upgrade as the service gets it: origin form, and the public authority as its Host.
fn request(head: RequestHead) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(head.target);
    *request.headers_mut() = head.headers;
    let host =
        HeaderValue::try_from(head.authority).expect("an authority has only visible characters");
    request.headers_mut().insert(HOST, host);
    request
}

/// The exchange's end of the pipe. Dropped, it tells the service that the visitor has left.
struct Piped {
    pipe: DuplexStream,
    _left: DropGuard,
}

impl AsyncRead for Piped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Piped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
