//! One HTTP/1.1 connection to a remote. Dropped, it is closed, whatever runs on it: there is no other way to cancel.

use std::error::Error as _;
use std::io;
use std::pin::pin;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::cased::{Cased, Heard, Scribe};
use super::connect::{Io, unreachable};
use super::{IDLE, reset};
use crate::body::Body;
use crate::error::{BareError, Code};
use crate::headers::fields::MAX_FIELDS;

/// Most bytes of a response's head, and of a body that are read ahead. Twice Node's own limit, and what fits a tunnel's
/// frame once it is written as JSON.
pub(super) const MAX_HEAD: usize = 32 * 1024;

pub(super) struct Connection {
    sender: SendRequest<Body>,
    scribe: Scribe,
    /// Whether it waits for a request.
    idle: watch::Sender<bool>,
    /// Its place among all connections.
    room: OwnedSemaphorePermit,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Starts HTTP on a connection that is up. Its driver is a task on `tasks`.
    pub(super) async fn open(
        io: Io,
        room: OwnedSemaphorePermit,
        tasks: &TaskTracker,
    ) -> Result<Self, BareError> {
        let scribe = Scribe::default();
        let io = TokioIo::new(Cased::new(io, &scribe));
        let handshake = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .handshake(io)
            .await;
        let (sender, connection) = handshake.map_err(|error| broken(&error))?;
        let (idle, resting) = watch::channel(false);
        let driver = tasks.spawn(async move {
            let mut driving = pin!(connection.with_upgrades());
            tokio::select! {
                ended = driving.as_mut() => if let Err(error) = ended {
                    tracing::debug!(%error, "a remote's connection ended early");
                },
                () = too_long(resting) => {}
            }
        });
        Ok(Self {
            sender,
            scribe,
            idle,
            room,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Sends a request with its names in this case; the head of the answer as the remote wrote it, and the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
        names: Vec<String>,
    ) -> Result<(Heard, Response<Incoming>), BareError> {
        self.sender.ready().await.map_err(|error| broken(&error))?;
        self.scribe.begin(names);
        let response = self.sender.send_request(request).await;
        let heard = self.scribe.end();
        let response = response.map_err(|error| broken(&error))?;
        Ok((heard.ok_or_else(not_http)?, response))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Its place, once the library has let go of it.
    pub(super) fn into_room(self) -> OwnedSemaphorePermit {
        self.room
    }

    /// It waits for a request, or no longer.
    pub(super) fn rest(&self, idle: bool) {
        self.idle.send_replace(idle);
    }
}

/// Until the connection has rested for too long.
async fn too_long(mut resting: watch::Receiver<bool>) {
    loop {
        let idle = *resting.borrow_and_update();
        let changed = tokio::select! {
            changed = resting.changed() => changed,
            () = sleep(IDLE), if idle => return,
        };
        if changed.is_err() {
            // Its user has let go of it; what still runs ends the driver.
            return std::future::pending().await;
        }
    }
}

fn not_http() -> BareError {
    let why = "The remote did not answer in HTTP/1.1 of reasonable size.";
    BareError::internal(Code::Unknown, "response", why)
}

/// Why a connection that was up gave no answer.
fn broken(error: &hyper::Error) -> BareError {
    if error.is_parse() {
        return not_http();
    }
    if error.is_user() {
        let why = "The request broke off before it was complete.";
        return BareError::internal(Code::Unknown, "request.body", why);
    }
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.map_or_else(reset, unreachable)
}
