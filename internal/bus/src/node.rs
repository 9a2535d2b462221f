//! From a URL to a place in a fleet: the one spot that knows the names of the backends.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use messages::NodeId;
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::{Bus, Directory, Inbox, memory, redis};

/// A node's place in a fleet: the two halves of one backend.
#[derive(Clone)]
pub struct Node {
    /// Sends to other nodes.
    pub bus: Arc<dyn Bus>,
    /// Finds and claims tunnels.
    pub directory: Arc<dyn Directory>,
}

impl Node {
    /// Leaves the fleet in order; see [`Bus::close`]. It also lets go of the inbox, which usually owns this very node.
    pub async fn leave(&self) {
        self.bus.close().await;
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.bus.node())
    }
}

/// Joins the fleet that `url` names as `node`, with everything for it going to `inbox`.
///
/// `memory` is a fleet of one: whoever wants several nodes in one process asks [`memory::Fleet`]. Its pins outlive it
/// with `memory:?snapshot=FILE` ([`memory::Fleet::with_snapshot`]). The schemes of Redis
/// are those of [`mod@redis`]; the node joins also while Redis cannot be reached.
///
/// # Errors
/// See [`ConnectError`]; its text names the scheme alone, for the rest of a URL may hold a password.
pub async fn connect(url: &str, node: NodeId, inbox: Arc<dyn Inbox>) -> Result<Node, ConnectError> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    match scheme {
        "memory" => match snapshot(rest)? {
            None => Ok(memory::Fleet::new().join(node, inbox)),
            Some(path) => {
                let fleet = memory::Fleet::with_snapshot(&path);
                let fleet = fleet.map_err(|error| ConnectError::Refused(error.to_string()))?;
                Ok(fleet.join(node, inbox))
            }
        },
        _ if redis::SCHEMES.contains(&scheme) => {
            let joined = redis::join(url, redis::Timing::default(), node, inbox).await?;
            Ok(joined.node)
        }
        _ if is_scheme(scheme) => Err(ConnectError::UnknownScheme(scheme.to_owned())),
        _ => Err(ConnectError::Malformed("it does not begin with a scheme")),
    }
}

/// What follows `memory:`: nothing, or the file of its pins.
fn snapshot(rest: &str) -> Result<Option<PathBuf>, ConnectError> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let path = options.strip_prefix("snapshot=").unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8().unwrap_or_default();
    match (place.trim_matches('/'), options, &*path) {
        ("", "", _) => Ok(None),
        ("", _, path) if !path.is_empty() => Ok(Some(PathBuf::from(path))),
        _ => Err(ConnectError::Malformed(
            "only \"?snapshot=FILE\" may follow \"memory:\"",
        )),
    }
}

/// Why a fleet could not be joined.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No backend has this scheme.
    #[error("no bus is called {0:?}; known: memory, {known}", known = redis::SCHEMES.join(", "))]
    UnknownScheme(String),
    /// The URL cannot be read.
    #[error("not a bus URL: {0}; try \"memory\" or \"redis://localhost\"")]
    Malformed(&'static str),
    /// The backend answers, and will not have this node; trying again would not help.
    #[error("{0}")]
    Refused(String),
}

/// RFC 3986 section 3.1 in lower case, and short enough to be put into a line of a log.
fn is_scheme(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Inbox for Nowhere {
        fn deliver(&self, _: crate::Delivery) {}
    }

    async fn try_url(url: &str) -> Result<Node, ConnectError> {
        connect(url, NodeId([7; 16]), Arc::new(Nowhere)).await
    }

    #[tokio::test]
    async fn memory_is_spelled_in_three_ways() {
        for url in ["memory", "memory:", "memory://"] {
            let node = try_url(url).await.expect("memory is a bus");
            assert_eq!(node.bus.node(), NodeId([7; 16]));
        }
    }

    #[tokio::test]
    async fn the_pins_of_memory_outlive_it_in_a_file() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("pins of + %");
        let path = path.to_str().expect("it is plain text");
        let url = format!("memory:?snapshot={}", path.replace('%', "%25"));
        let node = try_url(&url).await.expect("there is room");
        let pinned = node.directory.pin([1; 32], 2, [2; 32]).await;
        assert_eq!(pinned, Ok(()));
        drop(node);
        assert!(std::fs::exists(path).expect("it can be asked"));
        let node = try_url(&url).await.expect("it is undamaged");
        let older = node.directory.pin([1; 32], 1, [1; 32]).await;
        assert_eq!(older, Err(crate::PinError::Older { known: 2 }));

        std::fs::write(path, "adit pins 1\n").expect("there is room");
        let error = try_url(&url).await.unwrap_err();
        assert!(error.to_string().contains("damaged in line 2"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_bus_is_named_without_its_password() {
        let error = try_url("nats://joe:hunter2@host").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no bus is called \"nats\"; known: memory, redis, rediss, redis+unix, redis+sentinel, \
             rediss+sentinel, redis+cluster, rediss+cluster"
        );
        for url in [
            "hunter2@host",
            "",
            "memory://host",
            "memory:?snapshot=",
            "memory:?hunter2=x",
            "memory://host?snapshot=/x",
            "//x",
            "Redis://x",
            "redis://u:hunter2@h:x",
        ] {
            let error = try_url(url).await.unwrap_err();
            assert!(matches!(error, ConnectError::Malformed(_)), "{url:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
