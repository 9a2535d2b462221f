//! A Redis with a replica, and three sentinels who make that the master when the other is gone.

use std::{fs, time::Duration};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{Redis, Reply, resp};
use crate::{port::Port, process::Program, visitor::PATIENCE};

/// What the sentinels call the master.
const NAME: &str = "main";

/// How many there are. Two of them decide.
const COUNT: usize = 3;

/// A sentinel asks a server for its role each 10 s, and demotes one that has claimed to be master for 8 s since.
const DEMOTION: Duration = Duration::from_secs(60);

/// Real ones. All of it is killed when dropped.
#[derive(Debug)]
pub struct Sentinels {
    /// The master, until it is gone.
    pub master: Redis,
    /// What will be the master then.
    pub replica: Redis,
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    port: Port,
    /// Holds its configuration, which it rewrites.
    _folder: TempDir,
    _program: Program,
}

impl Sentinels {
    /// Running ones, who know each other and both servers. A master that is silent for two seconds is gone for
    /// them: with half a second, the pace of their pings, each master is gone before it has answered the first.
    pub async fn fresh() -> Self {
        let master = Redis::fresh().await;
        let port = master.addr().port().to_string();
        let of = ["--replicaof", "127.0.0.1", &port];
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let replica = Redis::configured(&[of.as_slice(), &at_once].concat()).await;
        until("the replica follows", async || {
            let info = replica.command(["INFO", "replication"]).await.text();
            info.contains("master_link_status:up")
        })
        .await;
        let mut sentinels = Vec::new();
        for _ in 0..COUNT {
            sentinels.push(Sentinel::of(&port).await);
        }
        for sentinel in &sentinels {
            until("a sentinel knows the others", async || {
                sentinel.ask("REPLICAS").await.list().len() == 1
                    && sentinel.ask("SENTINELS").await.list().len() == COUNT - 1
            })
            .await;
        }
        Self {
            master,
            replica,
            sentinels,
        }
    }

    /// As `--bus` takes it.
    pub fn url(&self) -> String {
        let sentinels = self.sentinels.iter();
        let addrs: Vec<_> = sentinels.map(|it| it.port.addr().to_string()).collect();
        format!("redis+sentinel://{}/{NAME}", addrs.join(","))
    }

    /// Waits until the replica has become the master.
    pub async fn promoted(&self) {
        until("the replica is the master", async || {
            role(&self.replica).await.as_deref() == Some("master")
        })
        .await;
    }

    /// Waits until every sentinel says so too: one that still knows the old one as the master lets it be when it comes back.
    pub async fn agreed(&self) {
        let port = self.replica.addr().port().to_string();
        for sentinel in &self.sentinels {
            until("a sentinel names the new master", async || {
                let address = sentinel.ask("GET-MASTER-ADDR-BY-NAME").await.list();
                address.into_iter().next_back().map(Reply::text).as_deref() == Some(&*port)
            })
            .await;
        }
    }

    /// Waits until what was the master, and runs again, is a replica.
    pub async fn demoted(&self) {
        let demoted = async || role(&self.master).await.as_deref() == Some("slave");
        within(DEMOTION, "the old master is a replica", demoted).await;
    }
}

impl Sentinel {
    async fn of(master: &str) -> Self {
        let port = Port::free();
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "sentinel monitor {NAME} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {NAME} 2000
sentinel failover-timeout {NAME} 3000
dir {}
",
            folder.path().display()
        );
        fs::write(&file, settings).expect("the settings can be written");
        let (file, number) = (file.display().to_string(), port.number().to_string());
        let args = [
            file.as_str(),
            "--sentinel",
            "--bind",
            "127.0.0.1",
            "--port",
            &number,
        ];
        // `redis-sentinel` of Debian is this very program.
        let mut program = Program::start("redis-server", args);
        program.says("Sentinel ID is").await;
        program.accepts(port.addr()).await;
        Self {
            port,
            _folder: folder,
            _program: program,
        }
    }

    /// What it knows of the master.
    async fn ask(&self, what: &str) -> Reply {
        let answer = resp::ask(self.port.addr(), ["SENTINEL", what, NAME]).await;
        answer
            .expect("the sentinel answers")
            .unwrap_or_else(|error| panic!("the sentinel refused: {error}"))
    }
}

/// Nothing when the connection is cut over it: whose role changes throws its clients out.
async fn role(redis: &Redis) -> Option<String> {
    let role = resp::ask(redis.addr(), ["ROLE"]).await.ok()?.ok()?;
    role.list().into_iter().next().map(Reply::text)
}

async fn until(what: &str, is_so: impl AsyncFnMut() -> bool) {
    within(PATIENCE, what, is_so).await;
}

async fn within(patience: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let so = timeout(patience, waiting).await;
    so.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_promote_the_replica_of_a_master_that_is_gone_and_it_stays_so() {
        let mut sentinels = Sentinels::fresh().await;
        sentinels.master.stop().await;
        sentinels.promoted().await;
        sentinels.agreed().await;
        sentinels.master.start().await;
        sentinels.demoted().await;
        assert_eq!(role(&sentinels.replica).await.as_deref(), Some("master"));
    }
}
