//! Everything an operator can set, with its default and the checks that no single value can fail.
//!
//! The sections follow the words of the design: visitors (connections), exchanges (one request), links (an agent's
//! connection), admission (before it is one), policy (what agents may ask of the edge).

mod admission;
mod check;
mod limits;
mod names;

use std::net::SocketAddr;
use std::time::Duration;

use runtime::config::{Count, CountLimit, List, Period, PeriodLimit, Size, SizeLimit};
use runtime::logging::{LogFilter, LogFormat};
use serde::{Deserialize, Serialize};

pub(crate) use admission::{Admission, FilePath, PolicyCeiling, Switch};
pub(crate) use check::checked;
pub(crate) use limits::{Limits, ProxyProtocol};
pub(crate) use names::{Advertise, BusUrl, Domain, Listen, Proxy, PublicUrl};

/// The whole configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) listen: Listen,
    pub(crate) domain: Domain,
    /// How visitors reach the domain; derived from `listen` and `domain` when it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_url: Option<PublicUrl>,
    /// Names beside the domain that agents may dial.
    pub(crate) connect_names: List<Domain>,
    /// Peers whose forwarding headers are believed.
    pub(crate) trusted_proxies: List<Proxy>,
    pub(crate) bus: BusUrl,
    /// Where a fleet of one keeps which keys were rotated away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pins_file: Option<FilePath>,
    /// Where agents may come over TCP; nowhere when it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel_listen: Option<Listen>,
    /// Where they are told that it is; derived when it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel_advertise: Option<Advertise>,
    /// The key that they pin; of this process alone when it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel_key_file: Option<FilePath>,
    /// A ticket is good only from the address that asked for it.
    pub(crate) channel_bind_address: Switch,
    pub(crate) workers: Count,
    /// What is in flight when a drain begins may take this long.
    pub(crate) grace: Period,
    /// After a drain has begun, new visitors are still served for this long.
    pub(crate) drain_delay: Period,
    pub(crate) log: Log,
    pub(crate) visitors: Visitors,
    pub(crate) exchanges: Exchanges,
    pub(crate) limits: Limits,
    pub(crate) links: Links,
    pub(crate) admission: Admission,
    pub(crate) policy: PolicyCeiling,
}

/// `[log]`: what is written to stderr.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: LogFilter,
}

/// `[visitors]`: connections from visitors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Visitors {
    pub(crate) max_connections: Count,
    pub(crate) max_connections_per_address: CountLimit,
    pub(crate) proxy_protocol: ProxyProtocol,
    pub(crate) header_timeout: Period,
    pub(crate) idle_timeout: Period,
    pub(crate) max_head: Size,
    pub(crate) max_headers: Count,
    pub(crate) max_h2_streams: Count,
}

/// `[exchanges]`: one request and its response.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Exchanges {
    pub(crate) max_body: SizeLimit,
    pub(crate) head_timeout: Period,
    pub(crate) body_timeout: Period,
    pub(crate) write_stall: Period,
    pub(crate) idle_timeout: PeriodLimit,
    pub(crate) window_budget: Size,
}

/// `[links]`: connections of registered agents.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Links {
    pub(crate) max_streams: Count,
    pub(crate) ping_after: Period,
    pub(crate) dead_after: Period,
    pub(crate) messages_per_second: CountLimit,
    pub(crate) message_burst: Count,
    pub(crate) kib_per_second: CountLimit,
    pub(crate) kib_burst: Count,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen(SocketAddr::from(([127, 0, 0, 1], 8080))),
            domain: Domain::localhost(),
            public_url: None,
            connect_names: List::default(),
            trusted_proxies: List::default(),
            bus: BusUrl::memory(),
            pins_file: None,
            channel_listen: None,
            channel_advertise: None,
            channel_key_file: None,
            channel_bind_address: Switch(false),
            workers: Count::of(1),
            grace: Period::secs(30),
            drain_delay: Period::secs(0),
            log: Log::default(),
            visitors: Visitors::default(),
            exchanges: Exchanges::default(),
            limits: Limits::default(),
            links: Links::default(),
            admission: Admission::default(),
            policy: PolicyCeiling::default(),
        }
    }
}

impl Default for Visitors {
    fn default() -> Self {
        Self {
            max_connections: Count::of(16_384),
            max_connections_per_address: CountLimit(std::num::NonZeroU32::new(4096)),
            proxy_protocol: ProxyProtocol(edge::ProxyProtocol::Off),
            header_timeout: Period::secs(10),
            idle_timeout: Period::secs(75),
            max_head: Size(48 * 1024),
            max_headers: Count::of(200),
            max_h2_streams: Count::of(128),
        }
    }
}

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            max_body: SizeLimit(Some(512_000)),
            head_timeout: Period::secs(30),
            body_timeout: Period::secs(30),
            write_stall: Period::secs(60),
            idle_timeout: PeriodLimit(None),
            window_budget: Size(64 << 20),
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        let rate = CountLimit(std::num::NonZeroU32::new(200_000));
        let kib = CountLimit(std::num::NonZeroU32::new(4 << 20));
        Self {
            max_streams: Count::of(1024),
            ping_after: Period::secs(10),
            dead_after: Period::secs(20),
            messages_per_second: rate,
            message_burst: Count::of(200_000),
            kib_per_second: kib,
            kib_burst: Count::of(4 << 20),
        }
    }
}

impl Settings {
    /// The public URL that is in force; `None` while the system has yet to choose the port.
    fn derived_url(&self) -> Option<PublicUrl> {
        let port = self.listen.0.port();
        let derived = || (port != 0).then(|| PublicUrl::plain(&self.domain, port));
        self.public_url.clone().or_else(derived)
    }

    /// The settings of the public half.
    pub(crate) fn edge(&self) -> edge::Config {
        let trusted = self.trusted_proxies.0.iter();
        let config = edge::Config {
            domain: self.domain.as_str().to_owned(),
            own_names: self.own_names(),
            trusted_proxies: trusted.flat_map(|proxy| proxy.networks()).collect(),
            proxy_protocol: self.visitors.proxy_protocol.0,
            max_body: self.exchanges.max_body.0,
            head_timeout: self.exchanges.head_timeout.0,
            body_timeout: self.exchanges.body_timeout.0,
            write_stall: self.exchanges.write_stall.0,
            exchange_idle: self.exchanges.idle_timeout.0,
            header_timeout: self.visitors.header_timeout.0,
            idle_timeout: self.visitors.idle_timeout.0,
            max_connections: self.visitors.max_connections.as_usize(),
            max_connections_per_address: self.visitors.max_connections_per_address.0,
            max_head: usize::try_from(self.visitors.max_head.0).unwrap_or(usize::MAX),
            max_headers: self.visitors.max_headers.as_usize(),
            max_h2_streams: self.visitors.max_h2_streams.get(),
            window_budget: u32::try_from(self.exchanges.window_budget.0).unwrap_or(u32::MAX),
            ..edge::Config::default()
        };
        self.limits.at(config)
    }

    /// The names beside the domain.
    fn own_names(&self) -> Vec<String> {
        let names = self.connect_names.0.iter();
        names.map(|name| name.as_str().to_owned()).collect()
    }

    /// The settings of the agent-facing half, when visitors reach the server at `public`. The rules are read apart.
    pub(crate) fn uplink(&self, public: &PublicUrl) -> uplink::Config {
        let Self {
            links,
            admission,
            exchanges,
            ..
        } = self;
        let rate = |limit: CountLimit, burst: Count| {
            limit.0.map(|per_second| uplink::Rate {
                per_second,
                burst: burst.0,
            })
        };
        uplink::Config {
            connect_names: self.own_names(),
            public_url: uplink::PublicUrl {
                scheme: if public.https {
                    uplink::UrlScheme::Https
                } else {
                    uplink::UrlScheme::Http
                },
                port: public.port,
            },
            max_streams: links.max_streams.get(),
            handshake_timeout: admission.handshake_timeout.0,
            max_pending: admission.max_pending.get(),
            max_pending_per_address: admission.max_pending_per_address.get(),
            max_links: admission.max_links.0,
            max_links_per_address: admission.max_links_per_address.get(),
            registrations_per_minute_per_address: admission.registrations_per_minute.0,
            ping_after: links.ping_after.0,
            dead_after: links.dead_after.0,
            messages_per_second: rate(links.messages_per_second, links.message_burst),
            kib_per_second: rate(links.kib_per_second, links.kib_burst),
            limits: self.limits.told(&messages::LinkLimits {
                max_body: exchanges.max_body.0,
                max_message: exchanges.max_body.0,
                head_timeout_ms: milliseconds(exchanges.head_timeout.0),
                ..messages::LinkLimits::default()
            }),
            ..self.fleet_terms()
        }
    }

    /// What is asked of agents because there are other nodes, or are none.
    fn fleet_terms(&self) -> uplink::Config {
        let alone = uplink::Config::new(self.domain.as_str());
        if self.bus.is_memory() {
            return alone;
        }
        uplink::Config {
            links_per_agent: 2,
            // Late enough for the slowest of them to have begun, and to be let in elsewhere.
            drain_move: alone.drain_spread + Duration::from_secs(5),
            ..alone
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
