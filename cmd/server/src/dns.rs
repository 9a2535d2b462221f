//! Looks up the records that prove custom domains, by the system's name servers or those of the settings.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use uplink::{TxtError, TxtResolver};

/// For one question to one server; whoever asks gives up after five seconds.
const QUESTION: Duration = Duration::from_secs(2);

/// The DNS. Nothing of it exists before the first question.
#[derive(Debug)]
pub(crate) struct Dns {
    name_servers: Vec<SocketAddr>,
    resolver: OnceLock<Result<Resolver, String>>,
}

struct Resolver(TokioResolver);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Dns {
    /// Will ask these, or those of the system when there are none.
    pub(crate) fn of(name_servers: Vec<SocketAddr>) -> Self {
        Self {
            name_servers,
            resolver: OnceLock::new(),
        }
    }

    fn resolver(&self) -> Result<&TokioResolver, TxtError> {
        let made = self.resolver.get_or_init(|| {
            self.build()
                .map(Resolver)
                .map_err(|error| error.to_string())
        });
        match made {
            Ok(Resolver(resolver)) => Ok(resolver),
            Err(why) => Err(TxtError::Unavailable(why.clone())),
        }
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.name_servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.name_servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = QUESTION;
        options.attempts = 2;
        // Whoever has just put the record there must not be told what was true before.
        options.cache_size = 0;
        builder.build()
    }

    async fn ask(&self, name: &str) -> Result<Vec<String>, TxtError> {
        let resolver = self.resolver()?;
        // The final dot: never a name of the system's own search domains.
        let absolute = format!("{name}.");
        match resolver.lookup(&*absolute, RecordType::TXT).await {
            Ok(answer) => Ok(answer.answers().iter().filter_map(text).collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                // An answer for an alias often says nothing of the alias.
                if let Some(target) = alias(resolver, &absolute).await {
                    return Err(TxtError::Alias(target));
                }
                Err(match none.response_code {
                    ResponseCode::NXDomain => TxtError::NoSuchName,
                    _ => TxtError::NoTexts,
                })
            }
            Err(error) => Err(TxtError::Unavailable(error.to_string())),
        }
        .and_then(|texts: Vec<_>| {
            if texts.is_empty() {
                Err(TxtError::NoTexts)
            } else {
                Ok(texts)
            }
        })
    }
}

impl TxtResolver for Dns {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, TxtError>> {
        Box::pin(self.ask(name))
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn text(record: &hickory_resolver::proto::rr::Record) -> Option<String> {
    match &record.data {
        RData::TXT(texts) => Some(String::from_utf8_lossy(&texts.txt_data.concat()).into_owned()),
        _ => None,
    }
}

/// What the name is an alias of.
async fn alias(resolver: &TokioResolver, name: &str) -> Option<String> {
    let answer = resolver.lookup(name, RecordType::CNAME).await.ok()?;
    answer
        .answers()
        .iter()
        .find_map(|record| match &record.data {
            RData::CNAME(target) => Some(target.to_utf8().trim_end_matches('.').to_owned()),
            _ => None,
        })
}

#[cfg(test)]
mod tests;
