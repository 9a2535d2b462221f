//! Connections over in-memory pipes, the far end raw bytes, time at a standstill.

use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::yield_now;

use super::*;

const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// A pool, and the tasks that drive its connections and look after it.
struct Bench {
    pool: Pool,
    tasks: TaskTracker,
}

impl Bench {
    fn keeping(max_idle: usize) -> Self {
        let tasks = TaskTracker::new();
        Self {
            pool: Pool::new(max_idle, IDLE_TIMEOUT, &tasks),
            tasks,
        }
    }

    async fn dial(&self) -> (Connection, DuplexStream) {
        let (ours, theirs) = duplex(4096);
        let (connection, driver) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        self.tasks.spawn(driver);
        (connection, theirs)
    }

    /// Asks over this connection, and is answered so.
    async fn ask(
        &self,
        mut connection: Connection,
        target: &mut DuplexStream,
        answer: &str,
    ) -> Response<LeasedBody> {
        let asking = connection.send_request(Request::new(RequestBody::empty()));
        let answering = async {
            let mut head = [0; 1024];
            assert!(target.read(&mut head).await.unwrap() > 0);
            target.write_all(answer.as_bytes()).await.unwrap();
        };
        let (response, ()) = tokio::join!(asking, answering);
        self.pool.lend(connection, None, response.unwrap())
    }

    /// A connection that has answered a request and come back.
    async fn kept(&self) -> DuplexStream {
        let (connection, mut target) = self.dial().await;
        let response = self.ask(connection, &mut target, OK).await;
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "hi"
        );
        target
    }

    fn idle(&self) -> usize {
        self.pool.0.lock().connections.len()
    }
}

/// Lets every task do what it can.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// Whether our end has closed.
async fn is_closed(target: &mut DuplexStream) -> bool {
    let read = target.read_u8();
    tokio::select! {
        biased;
        end = read => end.is_err(),
        () = settle() => false,
    }
}

#[tokio::test]
async fn the_connection_that_came_back_last_is_taken_first() {
    let bench = Bench::keeping(8);
    let mut first = bench.kept().await;
    let mut last = bench.kept().await;
    // Not read yet, so they stay out.
    let mut unread = Vec::new();
    for target in [&mut last, &mut first] {
        let taken = bench.pool.take(None).unwrap();
        unread.push(bench.ask(taken, target, OK).await);
    }
    assert!(bench.pool.take(None).is_none());
}

#[tokio::test]
async fn a_connection_is_out_until_its_response_has_been_read_to_the_end() {
    for (answer, chunks) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlo", "ng"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nlo\r\n",
            "2\r\nng\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nlo\r\n",
            "2\r\nng\r\n0\r\ngrpc-status: 0\r\n\r\n",
        ),
    ] {
        let bench = Bench::keeping(8);
        let (connection, mut target) = bench.dial().await;
        let mut body = bench.ask(connection, &mut target, answer).await.into_body();
        let start = body.frame().await.unwrap().unwrap();
        assert_eq!(start.into_data().unwrap(), "lo");
        assert_eq!(bench.idle(), 0, "the rest is still to come");
        target.write_all(chunks.as_bytes()).await.unwrap();
        let rest = body.collect().await.unwrap();
        assert_eq!(rest.to_bytes(), "ng");
        assert!(bench.pool.take(None).is_some());
    }
}

#[tokio::test]
async fn a_response_without_a_body_gives_its_connection_back_at_once() {
    let bench = Bench::keeping(8);
    let (connection, mut target) = bench.dial().await;
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let _response = bench.ask(connection, &mut target, answer).await;
    assert!(bench.pool.take(None).is_some());
}

#[tokio::test]
async fn a_response_that_is_dropped_on_the_way_closes_its_connection() {
    let bench = Bench::keeping(8);
    let (connection, mut target) = bench.dial().await;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let mut response = bench.ask(connection, &mut target, answer).await;
    response.body_mut().frame().await.unwrap().unwrap();
    assert!(!is_closed(&mut target).await);
    drop(response);
    assert!(is_closed(&mut target).await);
    assert_eq!(bench.idle(), 0);
    assert_eq!(bench.tasks.len(), 0, "nothing is left of it");
}

#[tokio::test]
async fn a_connection_that_closed_meanwhile_is_dropped_and_the_next_one_taken() {
    let bench = Bench::keeping(8);
    let _open = bench.kept().await;
    let closed = bench.kept().await;
    drop(closed);
    settle().await;
    assert_eq!(bench.idle(), 2);
    assert!(bench.pool.take(None).is_some());
    assert_eq!(bench.idle(), 0);
}

#[tokio::test]
async fn what_a_target_says_unasked_closes_its_connection() {
    let bench = Bench::keeping(8);
    let mut target = bench.kept().await;
    target.write_all(OK.as_bytes()).await.unwrap();
    settle().await;
    assert!(bench.pool.take(None).is_none());
    assert!(is_closed(&mut target).await);
}

#[tokio::test]
async fn of_too_many_idle_connections_the_oldest_go() {
    let bench = Bench::keeping(2);
    let mut targets = Vec::new();
    for _ in 0..3 {
        targets.push(bench.kept().await);
    }
    assert_eq!(bench.idle(), 2);
    assert!(is_closed(&mut targets[0]).await);
    assert!(!is_closed(&mut targets[1]).await && !is_closed(&mut targets[2]).await);
}

#[tokio::test]
async fn a_pool_without_room_keeps_nothing() {
    let bench = Bench::keeping(0);
    let mut target = bench.kept().await;
    assert!(bench.pool.take(None).is_none());
    assert!(is_closed(&mut target).await);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_go_when_their_time_is_over_each_at_its_own() {
    let bench = Bench::keeping(8);
    let mut first = bench.kept().await;
    tokio::time::advance(Duration::from_secs(3)).await;
    let mut second = bench.kept().await;
    assert_eq!(bench.tasks.len(), 3, "two drivers and one timer for both");
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(!is_closed(&mut first).await);
    tokio::time::advance(Duration::from_millis(2)).await;
    assert!(is_closed(&mut first).await && !is_closed(&mut second).await);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(is_closed(&mut second).await);
    assert_eq!(bench.tasks.len(), 0, "without connections nothing runs");
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_starts_its_idle_time_anew() {
    let bench = Bench::keeping(8);
    let mut target = bench.kept().await;
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(3)).await;
        let taken = bench
            .pool
            .take(None)
            .expect("it was used three seconds ago");
        let response = bench.ask(taken, &mut target, OK).await;
        response.into_body().collect().await.unwrap();
    }
    tokio::time::advance(IDLE_TIMEOUT + Duration::from_millis(2)).await;
    assert!(is_closed(&mut target).await);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_dropped_leaves_no_task_behind() {
    let bench = Bench::keeping(8);
    let mut target = bench.kept().await;
    let Bench { pool, tasks } = bench;
    drop(pool);
    tasks.close();
    tasks.wait().await;
    assert!(is_closed(&mut target).await);
}
