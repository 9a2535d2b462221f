//! From a target to open connections: sockets, TLS, and asking sentinels or a cluster where to go.
//!
//! Sockets are opened here rather than by the library: so TLS needs no process-wide provider, and the drivers run as
//! tasks of this node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use super::error::{StoreError, words};
use super::names::SLOTS;
use super::scripts::text;
use super::session::{Ending, Line};
use super::url::{Address, Kind, Login, Target, Tls};

/// How long opening one connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// How many commands may wait to be written.
const WAITING: usize = 1024;

/// The most masters of a cluster: a line is kept in a byte for each slot.
const MAX_MASTERS: usize = 255;

/// Opens what a target names.
pub(super) struct Dialer {
    target: Target,
    tls: Option<TlsConnector>,
}

/// Any socket.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

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
        let tls = target.tls.as_ref().map(connector).transpose()?;
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
            let socket = self.socket(address).await?;
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
        owner.tasks.spawn(async move {
            tokio::select! {
                () = driver => ending.end(&closed),
                () = ending.ended() => {}
            }
        });
        Ok(connection)
    }

    async fn socket(&self, address: &Address) -> Result<Box<dyn Socket>, StoreError> {
        let io = |error: io::Error| {
            // A certificate that is not trusted will not become so by trying again.
            match error
                .get_ref()
                .is_some_and(|inner| inner.is::<rustls::Error>())
            {
                true => StoreError::Refused(format!("{address}: {}", words(&error.to_string()))),
                false => StoreError::Down(words(&error.to_string())),
            }
        };
        let (host, port) = match address {
            Address::Unix(path) => {
                return Ok(Box::new(UnixStream::connect(path).await.map_err(io)?));
            }
            Address::Tcp { host, port } => (host, *port),
        };
        let stream = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.clone())
            .map_err(|_| StoreError::Refused(format!("{address}: no certificate can name that")))?;
        let stream = tls.connect(name, stream).await.map_err(io)?;
        Ok(Box::new(stream))
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
            match asked.await.and_then(|answer| topology(&answer, seed)) {
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

/// Reads `CLUSTER SLOTS`: the masters, and for each slot which of them serves it.
fn topology(answer: &Value, seed: &Address) -> Result<(Vec<Address>, Box<[u8]>), StoreError> {
    const NOBODY: u8 = u8::MAX;
    let mut masters: Vec<Address> = Vec::new();
    let mut slots = vec![NOBODY; usize::from(SLOTS)];
    for range in answer.as_sequence().unwrap_or_default() {
        let [Value::Int(first), Value::Int(last), master, ..] =
            range.as_sequence().unwrap_or_default()
        else {
            continue;
        };
        let Some(master) = master.as_sequence().and_then(|it| node_of(it, seed)) else {
            continue;
        };
        let known = masters.iter().position(|known| *known == master);
        let at = known.unwrap_or_else(|| {
            masters.push(master);
            masters.len() - 1
        });
        let (Ok(first), Ok(last)) = (usize::try_from(*first), usize::try_from(*last)) else {
            continue;
        };
        if let (Some(range), Ok(at)) = (slots.get_mut(first..=last), u8::try_from(at)) {
            range.fill(at);
        }
    }
    if masters.len() > MAX_MASTERS {
        return Err(StoreError::Refused(
            "the cluster has too many masters".to_owned(),
        ));
    }
    if slots.contains(&NOBODY) {
        return Err(StoreError::Down(
            "nobody serves some slots of the cluster".to_owned(),
        ));
    }
    Ok((masters, slots.into()))
}

/// A node of `CLUSTER SLOTS`: one that does not know its own name is the one that was asked.
fn node_of(node: &[Value], seed: &Address) -> Option<Address> {
    let [host, Value::Int(port), ..] = node else {
        return None;
    };
    let own = match seed {
        Address::Tcp { host, .. } => host,
        Address::Unix(_) => return None,
    };
    let host = text(host).filter(|host| !matches!(*host, "" | "?"));
    Some(Address::Tcp {
        host: host.map_or_else(|| own.clone(), str::to_owned),
        port: u16::try_from(*port).ok()?,
    })
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

fn connector(tls: &Tls) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate authority is trusted".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_value(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let node = Value::Array(vec![text_value(host), Value::Int(port), text_value("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    #[test]
    fn a_cluster_says_who_serves_each_slot() {
        let seed = Address::Tcp {
            host: "seed".to_owned(),
            port: 1,
        };
        let answer = Value::Array(vec![
            range(0, 99, "", 7000),
            range(100, 16382, "b", 7001),
            range(16383, 16383, "", 7000),
        ]);
        let (masters, slots) = topology(&answer, &seed).expect("all slots are served");
        let masters: Vec<String> = masters.iter().map(Address::to_string).collect();
        assert_eq!(masters, ["seed:7000", "b:7001"]);
        assert_eq!((slots[99], slots[100], slots[16383]), (0, 1, 0));

        let hole = Value::Array(vec![range(0, 99, "a", 1), range(101, 16383, "b", 1)]);
        assert!(matches!(topology(&hole, &seed), Err(StoreError::Down(_))));
        let beyond = Value::Array(vec![range(0, 20000, "a", 1)]);
        assert!(matches!(topology(&beyond, &seed), Err(StoreError::Down(_))));
        assert!(topology(&Value::Nil, &seed).is_err());
    }
}
