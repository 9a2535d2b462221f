//! From a target to open connections, asking sentinels or a cluster where to go. Their drivers run as tasks of the node.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use super::error::StoreError;
use super::publisher::MOST_UNANSWERED;
use super::scripts::text;
use super::session::{Ending, Line};
use super::url::{Address, Kind, Login, Target};
use super::{socket, topology};

/// How long opening one connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// How many commands may wait to be written: all that is published and unanswered, which must never have to wait for room
/// and lose its order by that, and what asks the directory. Room that is not taken costs nothing.
const WAITING: usize = MOST_UNANSWERED + 1024;

/// Opens what a target names.
pub(super) struct Dialer {
    target: Target,
    tls: Option<TlsConnector>,
}

/// What the connections belong to: their tasks, their end, and who takes what is pushed.
pub(super) struct Owner {
    pub(super) tasks: TaskTracker,
    pub(super) ending: Arc<Ending>,
    pub(super) on_push: Arc<dyn Fn(PushInfo) + Send + Sync>,
}

impl Dialer {
    /// # Errors
    /// What is wrong with the authorities, in words.
    pub(super) fn new(target: Target) -> Result<Self, String> {
        let tls = target.tls.as_ref().map(socket::connector).transpose()?;
        Ok(Self { target, tls })
    }

    /// The addresses, for logs.
    pub(super) fn addresses(&self) -> String {
        let addresses: Vec<String> = self
            .target
            .addresses
            .iter()
            .map(Address::to_string)
            .collect();
        addresses.join(",")
    }

    /// Opens one connection to each server that is to be talked to, with the line of each slot.
    pub(super) async fn dial(&self, owner: &Owner) -> Result<(Vec<Line>, Box<[u8]>), StoreError> {
        match &self.target.kind {
            Kind::Server => {
                let address = &self.target.addresses[0];
                Ok((vec![self.line(address, owner).await?], Box::default()))
            }
            Kind::Sentinel { master, login } => {
                let address = self.ask_sentinels(master, login, &owner.tasks).await?;
                let line = self.line(&address, owner).await?;
                self.check_master(&line).await?;
                Ok((vec![line], Box::default()))
            }
            Kind::Cluster => self.dial_cluster(owner).await,
        }
    }

    async fn line(&self, address: &Address, owner: &Owner) -> Result<Line, StoreError> {
        let on_push = Arc::clone(&owner.on_push);
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            on_push(push);
            Ok::<(), ()>(())
        });
        let connection = self
            .connect(address, &self.target.login, config, owner)
            .await?;
        Ok(Line {
            connection,
            address: address.to_string(),
        })
    }

    async fn connect(
        &self,
        address: &Address,
        login: &Login,
        config: AsyncConnectionConfig,
        owner: &Owner,
    ) -> Result<MultiplexedConnection, StoreError> {
        let down = |why: &str| StoreError::Down(format!("{address}: {why}"));
        let config = config
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        let info = connection_info(login);
        let connecting = async {
            let socket = socket::open(address, self.tls.as_ref()).await?;
            let connected = MultiplexedConnection::new_with_config(&info, socket, config).await;
            connected.map_err(StoreError::from)
        };
        let connected = timeout(CONNECT, Box::pin(connecting)).await;
        let (connection, driver) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(StoreError::Down(why))) => return Err(down(&why)),
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) => return Err(down("connecting takes too long")),
        };
        let ending = Arc::clone(&owner.ending);
        let closed = format!("the connection to {address} was closed");
        let driver = Box::pin(driver);
        let driving = owner.tasks.spawn(async move {
            driver.await;
            ending.end(&closed);
        });
        owner.ending.takes_along(driving.abort_handle());
        Ok(connection)
    }

    /// A connection for some questions, which ends with the returned guard.
    async fn brief(
        &self,
        address: &Address,
        login: &Login,
        tasks: &TaskTracker,
    ) -> Result<(MultiplexedConnection, Brief), StoreError> {
        let owner = Owner {
            tasks: tasks.clone(),
            ending: Arc::default(),
            on_push: Arc::new(|_| {}),
        };
        let brief = Brief(Arc::clone(&owner.ending));
        let config = AsyncConnectionConfig::new();
        let connection = self.connect(address, login, config, &owner).await?;
        Ok((connection, brief))
    }

    async fn ask_sentinels(
        &self,
        master: &str,
        login: &Login,
        tasks: &TaskTracker,
    ) -> Result<Address, StoreError> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let mut last = StoreError::Down(format!("no sentinel knows a master {master:?}"));
        for address in &self.target.addresses {
            let asked = async {
                let (mut sentinel, _brief) = self.brief(address, login, tasks).await?;
                let answer = ask(&mut sentinel, &question).await?;
                Ok(answer.as_sequence().and_then(address_of))
            };
            match asked.await {
                Ok(Some(master)) => return Ok(master),
                Ok(None) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A sentinel may not know yet that the master is none any more.
    async fn check_master(&self, line: &Line) -> Result<(), StoreError> {
        let mut connection = line.connection.clone();
        let role = ask(&mut connection, &redis::cmd("ROLE")).await?;
        let role = role.as_sequence().and_then(<[Value]>::first).and_then(text);
        if role == Some("master") {
            return Ok(());
        }
        Err(StoreError::Moved(format!(
            "{} is not the master yet",
            line.address
        )))
    }

    async fn dial_cluster(&self, owner: &Owner) -> Result<(Vec<Line>, Box<[u8]>), StoreError> {
        let mut last = StoreError::Down("the cluster has no nodes".to_owned());
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        for seed in &self.target.addresses {
            let asked = async {
                let (mut node, _brief) = self.brief(seed, &self.target.login, &owner.tasks).await?;
                ask(&mut node, &question).await
            };
            match asked.await.and_then(|answer| topology::read(&answer, seed)) {
                Ok((masters, slots)) => {
                    let mut lines = Vec::new();
                    for master in &masters {
                        lines.push(self.line(master, owner).await?);
                    }
                    return Ok((lines, slots));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

struct Brief(Arc<Ending>);

impl Drop for Brief {
    fn drop(&mut self) {
        self.0.end("asked");
    }
}

async fn ask(
    connection: &mut MultiplexedConnection,
    question: &redis::Cmd,
) -> Result<Value, StoreError> {
    match timeout(CONNECT, connection.send_packed_command(question)).await {
        Ok(answer) => Ok(answer?.extract_error()?),
        Err(_elapsed) => Err(StoreError::Down("no answer came in time".to_owned())),
    }
}

/// Host and port as two strings, as a sentinel answers.
fn address_of(answer: &[Value]) -> Option<Address> {
    let [host, port] = answer else { return None };
    Some(Address::Tcp {
        host: text(host)?.to_owned(),
        port: text(port)?.parse().ok()?,
    })
}

fn connection_info(login: &Login) -> RedisConnectionInfo {
    let Login { user, password, db } = login;
    let mut info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("adit", env!("CARGO_PKG_VERSION"))
        .set_db(*db);
    if let Some(user) = user {
        info = info.set_username(user);
    }
    if let Some(password) = password {
        info = info.set_password(password);
    }
    info
}
