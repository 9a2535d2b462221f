//! A fleet with a service behind it, and what the tests ask of both.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use testkit::{
    fault::FaultProxy,
    fleet::{Fleet, FleetToBe},
    load::Report,
    process::{Agent, Key},
    redis::Redis,
    visitor::{PATIENCE, Visitor},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::service::Service;

/// Options of an agent that is content with one link, at the node it dialled.
pub(crate) const ONE_LINK: &[&str] = &["-q", "--links", "1"];

/// Options of an agent with links to two nodes.
pub(crate) const TWO_LINKS: &[&str] = &["-q", "--links", "2"];

/// A fleet and a service that is called `service`.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) service: Service,
    pub(crate) key: Key,
}

impl Stage {
    pub(crate) async fn with(fleet: FleetToBe) -> Self {
        Self {
            fleet: fleet.start().await,
            service: Service::named("service").await,
            key: Key::fresh(),
        }
    }

    pub(crate) async fn of(nodes: usize) -> Self {
        Self::with(Fleet::of(nodes)).await
    }

    /// Publishes the service by one link to that node.
    pub(crate) async fn agent_at(&self, node: usize) -> Agent {
        self.agent_by(self.fleet.addr_of(node), ONE_LINK).await
    }

    /// Publishes the service through whatever listens there.
    pub(crate) async fn agent_by(&self, door: SocketAddr, options: &[&str]) -> Agent {
        Agent::dial(door, &self.service.port(), &self.key, options).await
    }

    /// A way to these nodes by turns, past those that are dead.
    pub(crate) async fn door(&self, nodes: &[usize]) -> FaultProxy {
        let addrs: Vec<_> = nodes.iter().map(|&node| self.fleet.addr_of(node)).collect();
        FaultProxy::among(&addrs).await
    }

    /// Waits until the fleet knows so many links.
    pub(crate) async fn until_links(&self, count: i64) {
        let redis = &self.fleet.redis;
        within(PATIENCE, "so many links", async || {
            links(redis).await == count
        })
        .await;
    }
}

/// One test at a time that needs most of the machine.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    MACHINE.lock().await
}

/// All keys in Redis that end so.
pub(crate) async fn keys(redis: &Redis, end: &str) -> Vec<String> {
    let found = redis.command(["KEYS", &format!("*{end}")]).await.list();
    found.into_iter().map(|key| key.text()).collect()
}

/// Links that the fleet knows, of all tunnels.
pub(crate) async fn links(redis: &Redis) -> i64 {
    let mut count = 0;
    for key in keys(redis, ":links").await {
        count += redis.command(["HLEN", &key]).await.number();
    }
    count
}

/// Waits until it is so; how long that took.
pub(crate) async fn within(
    limit: Duration,
    what: &str,
    mut is_so: impl AsyncFnMut() -> bool,
) -> Duration {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

/// Waits until that visitor gets this text on `/`; how long that took.
pub(crate) async fn gets(visitor: &Visitor, text: &str, limit: Duration) -> Duration {
    let began = Instant::now();
    let mut others = Vec::new();
    loop {
        let answer = visitor.get("/").await;
        if answer.status == 200 && answer.text() == text {
            return began.elapsed();
        }
        let error = answer.error().map(str::to_owned);
        if others.last().is_none_or(|(last, _)| *last != error) {
            others.push((error, began.elapsed()));
        }
        assert!(
            began.elapsed() < limit,
            "no {text:?} within {limit:?}, but {others:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// Nothing failed but with one of these codes. `--nocapture` shows the figures, here and in [`none_lost`].
pub(crate) fn only(report: &Report, codes: &[&str]) {
    show(report);
    for failure in &report.failures {
        let named = codes
            .iter()
            .any(|code| failure.why.ends_with(&format!("({code})")));
        assert!(named, "not one of {codes:?}: {failure}\n{report}");
    }
}

/// Every request got its answer.
pub(crate) fn none_lost(report: &Report) {
    show(report);
    report.assert_nothing_lost();
}

fn show(report: &Report) {
    tell(&report.to_string());
}

/// A figure, shown with `--nocapture`.
#[expect(clippy::print_stdout, reason = "figures for who asks for them")]
pub(crate) fn tell(figure: &str) {
    println!("{figure}");
}

/// An event stream under way.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    _connection: JoinSet<()>,
}

impl Events {
    /// That visitor's, once its first event is there.
    pub(crate) async fn of(visitor: &Visitor) -> Self {
        let request = Request::get("/events").body(Empty::<Bytes>::new());
        let (response, connection) = visitor.open(request.unwrap()).await;
        assert_eq!(response.status(), 200);
        let mut events = Self {
            body: response.into_body(),
            _connection: connection,
        };
        events.next().await;
        events
    }

    /// Waits for the next event.
    pub(crate) async fn next(&mut self) {
        assert!(self.try_next().await, "the stream has ended");
    }

    /// Reads on until it is cut; how long that took.
    pub(crate) async fn cut(&mut self) -> Duration {
        let began = Instant::now();
        while self.try_next().await {
            assert!(began.elapsed() < PATIENCE, "it goes on");
        }
        began.elapsed()
    }

    async fn try_next(&mut self) -> bool {
        let frame = timeout(PATIENCE, self.body.frame()).await;
        match frame.expect("an event, or the end") {
            Some(frame) => frame.is_ok(),
            None => panic!("an endless stream was ended as if it were whole"),
        }
    }
}
