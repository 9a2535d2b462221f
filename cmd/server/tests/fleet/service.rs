//! The service behind the agents: it does what its paths say, and knows what it was asked.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use testkit::{
    origin::{Origin, OriginBody, full},
    visitor::PATIENCE,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Bytes of `/large`: most of what a body may have.
pub(crate) const LARGE: usize = 450_000;

/// Bytes of `/download`.
pub(crate) const DOWNLOAD: usize = 100 << 20;

/// Bytes of one piece of `/download`.
const PIECE: usize = 64 << 10;

/// A service with a name, which it answers on every path that is none of these:
///
/// - `/echo`: the body and trailers it got
/// - `/large`: [`LARGE`] bytes
/// - `/download`: [`DOWNLOAD`] bytes in pieces
/// - `/events`: an event every 50 ms, for ever
/// - `/hold`: its name, once it is released
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) origin: Origin,
    book: Book,
}

/// What it was asked, and whether it answers what it holds.
#[derive(Debug, Clone)]
struct Book {
    asked: watch::Sender<BTreeMap<String, usize>>,
    released: watch::Sender<bool>,
}

impl Service {
    pub(crate) async fn named(name: &'static str) -> Self {
        let book = Book {
            asked: watch::Sender::default(),
            released: watch::Sender::default(),
        };
        let kept = book.clone();
        let origin = Origin::serving(move |request| answer(name, kept.clone(), request)).await;
        Self { origin, book }
    }

    /// As `adit http` takes it.
    pub(crate) fn port(&self) -> String {
        self.origin.port()
    }

    /// How often a path was asked for by a method: `GET /hold`.
    pub(crate) fn asked(&self, what: &str) -> usize {
        self.book.asked.borrow().get(what).copied().unwrap_or(0)
    }

    /// Waits until it was asked for that so often.
    pub(crate) async fn until_asked(&self, what: &str, times: usize) {
        let mut asked = self.book.asked.subscribe();
        let reached = asked.wait_for(|asked| asked.get(what).is_some_and(|&count| count >= times));
        let reached = timeout(PATIENCE, reached).await.is_ok();
        assert!(reached, "{what} was asked for {} times", self.asked(what));
    }

    /// Answers all that is held, and holds nothing any more.
    pub(crate) fn release(&self) {
        self.book.released.send_replace(true);
    }
}

async fn answer(
    name: &'static str,
    book: Book,
    request: Request<Incoming>,
) -> Response<OriginBody> {
    let what = format!("{} {}", request.method(), request.uri().path());
    book.asked
        .send_modify(|asked| *asked.entry(what).or_default() += 1);
    match request.uri().path() {
        "/echo" => echo(request).await,
        "/large" => Response::new(full(large())),
        "/download" => Response::new(pieces()),
        "/events" => events(),
        "/hold" => {
            let mut released = book.released.subscribe();
            released.wait_for(|&released| released).await.unwrap();
            Response::new(full(name))
        }
        _ => Response::new(full(name)),
    }
}

/// What `/large` answers.
pub(crate) fn large() -> Bytes {
    (0..LARGE).map(|index| index.to_le_bytes()[0]).collect()
}

async fn echo(request: Request<Incoming>) -> Response<OriginBody> {
    let Ok(body) = request.into_body().collect().await else {
        // The visitor or the way to him is gone.
        return Response::new(full("nothing whole"));
    };
    let trailers = body.trailers().cloned();
    let data = body.to_bytes();
    let Some(trailers) = trailers else {
        return Response::new(full(data));
    };
    let mut response = Response::new(with_trailers(data, trailers));
    let announced = HeaderValue::from_static("x-sum");
    response.headers_mut().insert("trailer", announced);
    response
}

/// A body of one piece and trailers.
pub(crate) fn with_trailers(data: Bytes, trailers: HeaderMap) -> OriginBody {
    let frames = [Ok(Frame::data(data)), Ok(Frame::trailers(trailers))];
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

fn pieces() -> OriginBody {
    let piece = Bytes::from(vec![b'd'; PIECE]);
    let pieces = stream::iter(std::iter::repeat_n(piece, DOWNLOAD / PIECE));
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

fn events() -> Response<OriginBody> {
    let events = stream::iter(0..).then(|number: u64| async move {
        if number > 0 {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Frame::data(Bytes::from(format!("data: {number}\n\n"))))
    });
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .body(StreamBody::new(events).boxed_unsync())
        .unwrap()
}
