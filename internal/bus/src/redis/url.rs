//! The URLs of this bus, read into what a connection needs.
//!
//! ```text
//! redis://[user:password@]host[:6379][/db]             one server; rediss:// with TLS
//! redis+unix:///path/of/the.sock[?db=&user=&pass=]     one server on this machine
//! redis+sentinel://[user:password@]h1[:26379],h2/master[/db]   rediss+sentinel:// with TLS to all of them
//! redis+cluster://[user:password@]h1[:6379],h2         rediss+cluster:// with TLS
//! ?prefix=adit            begins every key and channel; fleets that share a server need different ones
//! ?tls_ca=/path/ca.pem    trusts these authorities instead of the system's
//! ?sentinel_user=&sentinel_password=   for the sentinels; userinfo is for the servers
//! ```

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

/// Where and how to connect. Its `Debug` and its errors never show a password.
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) addresses: Vec<Address>,
    pub(super) login: Login,
    pub(super) tls: Option<Tls>,
    /// Begins every key and channel.
    pub(super) prefix: String,
}

/// What answers at the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server itself.
    Server,
    /// Sentinels, who know which server is the master of this name.
    Sentinel { master: String, login: Login },
    /// Some nodes of a cluster.
    Cluster,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// User, password and numbered database.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    /// A PEM file of authorities; the system's where there is none.
    pub(super) authorities: Option<PathBuf>,
}

/// The schemes of this backend.
pub(crate) const SCHEMES: [&str; 7] = [
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
];

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The longest prefix of names, in bytes.
const MAX_PREFIX: usize = 64;

/// The most addresses of sentinels or cluster nodes.
const MAX_ADDRESSES: usize = 32;

impl Target {
    /// Reads a URL whose scheme is one of [`SCHEMES`]. The error says what is wrong and nothing of what was given.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("\"://\" is missing")?;
        if rest.contains('#') {
            return Err("a \"#\" ends nothing here; in a password, write %23");
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Options::parse(query)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut login = Login::default();
        let (userinfo, hosts) = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => (userinfo, hosts),
            None => ("", authority),
        };
        if let Some((user, password)) = userinfo.split_once(':') {
            login.user = decoded(user)?;
            login.password = decoded(password)?;
        } else {
            login.user = decoded(userinfo)?;
        }
        let tls = scheme.starts_with("rediss");
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (kind, addresses) = match scheme {
            "redis" | "rediss" => {
                login.db = database(path.first().copied())?;
                nothing_after(&path, 1)?;
                (Kind::Server, vec![address(hosts, REDIS_PORT)?])
            }
            "redis+unix" => {
                let path = decoded(rest)?.ok_or("the path of a socket is missing")?;
                login = options.login.take().unwrap_or_default();
                (Kind::Server, vec![Address::Unix(PathBuf::from(path))])
            }
            "redis+sentinel" | "rediss+sentinel" => {
                let master = path.first().copied().and_then(|name| decoded(name).ok()?);
                let master = master.ok_or("the name of the master is missing after the \"/\"")?;
                login.db = database(path.get(1).copied())?;
                nothing_after(&path, 2)?;
                let login = options.sentinel.take().unwrap_or_default();
                let kind = Kind::Sentinel { master, login };
                (kind, addresses(hosts, SENTINEL_PORT)?)
            }
            "redis+cluster" | "rediss+cluster" => {
                nothing_after(&path, 0)?;
                (Kind::Cluster, addresses(hosts, REDIS_PORT)?)
            }
            _ => return Err("its scheme is not one of Redis"),
        };
        if !tls && options.authorities.is_some() {
            return Err("\"tls_ca\" wants a scheme that begins with \"rediss\"");
        }
        if options.login.is_some() || options.sentinel.is_some() {
            return Err("it has an option that its scheme does not have");
        }
        Ok(Self {
            kind,
            addresses,
            login,
            tls: tls.then_some(Tls {
                authorities: options.authorities,
            }),
            prefix: options.prefix,
        })
    }
}

#[derive(Default)]
struct Options {
    prefix: String,
    authorities: Option<PathBuf>,
    login: Option<Login>,
    sentinel: Option<Login>,
}

impl Options {
    fn parse(query: &str) -> Result<Self, &'static str> {
        let mut options = Self {
            prefix: "adit".to_owned(),
            ..Self::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            match key {
                "prefix" => {
                    let prefix = value.filter(|prefix| is_prefix(prefix));
                    let wrong = "\"prefix\" is 1 to 64 letters, digits, and any of \"-_.:\"";
                    options.prefix = prefix.ok_or(wrong)?;
                }
                "tls_ca" => options.authorities = value.map(PathBuf::from),
                "db" => options.login.get_or_insert_default().db = database(value.as_deref())?,
                "user" => options.login.get_or_insert_default().user = value,
                "pass" => options.login.get_or_insert_default().password = value,
                "sentinel_user" => options.sentinel.get_or_insert_default().user = value,
                "sentinel_password" => options.sentinel.get_or_insert_default().password = value,
                // Other clients need to be told; here there is nothing else.
                "protocol" if matches!(value.as_deref(), Some("3" | "resp3")) => {}
                _ => return Err("it has an option that nobody knows"),
            }
        }
        Ok(options)
    }
}

fn is_prefix(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    (1..=MAX_PREFIX).contains(&text.len()) && text.chars().all(fits)
}

fn decoded(text: &str) -> Result<Option<String>, &'static str> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| "its percent-encoding is not UTF-8")?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

fn database(text: Option<&str>) -> Result<i64, &'static str> {
    let Some(text) = text else { return Ok(0) };
    let number = text.parse::<u16>().map(i64::from);
    number.map_err(|_| "the number of the database is no number")
}

fn nothing_after(path: &[&str], parts: usize) -> Result<(), &'static str> {
    if path.len() > parts {
        return Err("its path goes on too long");
    }
    Ok(())
}

fn addresses(hosts: &str, port: u16) -> Result<Vec<Address>, &'static str> {
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > MAX_ADDRESSES {
        return Err("it has more than 32 addresses");
    }
    hosts.into_iter().map(|host| address(host, port)).collect()
}

fn address(text: &str, port: u16) -> Result<Address, &'static str> {
    let wrong =
        "host or port cannot be read (a \"/\" or \"@\" in a password is written %2F or %40)";
    // A scheme whose hosts the library checks, and which has no port of its own for us.
    let url = Url::parse(&format!("ws://{text}")).map_err(|_| wrong)?;
    if url.path() != "/" || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong);
    }
    let host = match url.host().ok_or(wrong)? {
        url::Host::Domain(name) => name.to_owned(),
        url::Host::Ipv4(ip) => ip.to_string(),
        url::Host::Ipv6(ip) => ip.to_string(),
    };
    let explicit = text.ends_with(":80").then_some(80);
    let port = url.port().or(explicit).unwrap_or(port);
    Ok(Address::Tcp { host, port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, password, db } = self;
        f.debug_struct("Login")
            .field("user", user)
            .field("password", &password.as_ref().map(|_| "…"))
            .field("db", db)
            .finish()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            addresses,
            login,
            tls,
            prefix,
        } = self;
        f.debug_struct("Target")
            .field("kind", kind)
            .field("addresses", addresses)
            .field("login", login)
            .field("tls", tls)
            .field("prefix", prefix)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    fn parse(url: &str) -> Target {
        Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn one_server() {
        let target = parse("redis://localhost");
        assert_eq!(target.kind, Kind::Server);
        assert_eq!(target.addresses, [tcp("localhost", 6379)]);
        assert_eq!(target.login, Login::default());
        assert_eq!(target.tls, None);
        assert_eq!(target.prefix, "adit");

        let target = parse("rediss://joe:s%2Fe%40c%3Aret@[::1]:80/3?prefix=a:b&tls_ca=/ca.pem");
        assert_eq!(target.addresses, [tcp("::1", 80)]);
        assert_eq!(target.login.user.as_deref(), Some("joe"));
        assert_eq!(target.login.password.as_deref(), Some("s/e@c:ret"));
        assert_eq!(target.login.db, 3);
        assert_eq!(target.prefix, "a:b");
        let authorities = Some(PathBuf::from("/ca.pem"));
        assert_eq!(target.tls, Some(Tls { authorities }));

        let target = parse("redis://:secret@h:1/?protocol=resp3");
        assert_eq!(target.login.user, None);
        assert_eq!(target.login.password.as_deref(), Some("secret"));
    }

    #[test]
    fn a_socket() {
        let target = parse("redis+unix:///run/redis.sock?db=2&pass=x");
        let path = PathBuf::from("/run/redis.sock");
        assert_eq!(target.addresses, [Address::Unix(path)]);
        assert_eq!(target.login.db, 2);
        assert_eq!(target.login.password.as_deref(), Some("x"));
    }

    #[test]
    fn sentinels_and_clusters() {
        let target = parse("redis+sentinel://:pw@one,two:5000/mymaster/1?sentinel_password=sp");
        assert_eq!(target.addresses, [tcp("one", 26379), tcp("two", 5000)]);
        let Kind::Sentinel { master, login } = &target.kind else {
            panic!("{target:?}");
        };
        assert_eq!(master, "mymaster");
        assert_eq!(login.password.as_deref(), Some("sp"));
        assert_eq!(target.login.password.as_deref(), Some("pw"));
        assert_eq!(target.login.db, 1);

        let target = parse("rediss+cluster://a:1,b");
        assert_eq!(target.kind, Kind::Cluster);
        assert_eq!(target.addresses, [tcp("a", 1), tcp("b", 6379)]);
        assert!(target.tls.is_some());
    }

    #[test]
    fn neither_errors_nor_debug_show_a_password() {
        for url in [
            "redis:hunter2@h",
            "redis://u:hunter2@h:x",
            "redis://u:hunter2@",
            "redis://u:hun/ter2@h",
            "redis://u:hunter2@h/db",
            "redis://u:hunter2@h/1/2",
            "redis://u:hunter2@h/#insecure",
            "redis://u:hunter2@h?hunter2=1",
            "redis://u:hunter2@h?prefix={}",
            "redis://u:hunter2@h?tls_ca=x",
            "redis://u:hunter2@h?sentinel_user=x",
            "redis://u:hunter2@h?protocol=2",
            "redis://u:%ff@h",
            "redis+sentinel://u:hunter2@h",
            "redis+cluster://u:hunter2@h/1",
            "redis+unix://?pass=hunter2",
        ] {
            let error = Target::parse(url).expect_err(url);
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
        let target = parse("redis+sentinel://u:hunter2@h/m?sentinel_password=hunter2");
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
