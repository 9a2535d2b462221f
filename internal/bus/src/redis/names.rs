//! The names of everything in Redis: keys, and one channel a node. `docs/bus.md` lists them for operators.
//!
//! What belongs together carries the same tag in braces, so that it lies in one slot of a cluster: a tunnel's three keys,
//! and a node's lease with its channel.

use messages::{NodeId, TunnelId};

use crate::LinkId;

/// Begins every name. Channels ignore Redis' numbered databases, so fleets that share a server need different ones.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The channel on which a node hears everything meant for it.
    pub(super) fn channel(&self, node: NodeId) -> String {
        format!("{}:{{n:{node}}}", self.prefix)
    }

    /// A pattern for the channels of all nodes. A prefix holds nothing that a pattern takes for more than itself.
    pub(super) fn channels(&self) -> String {
        format!("{}:{{n:*}}", self.prefix)
    }

    /// The key that lives while the node does.
    pub(super) fn lease(&self, node: NodeId) -> String {
        format!("{}:{{n:{node}}}:lease", self.prefix)
    }

    /// A hash: the links that serve a tunnel.
    pub(super) fn links(&self, tunnel: TunnelId) -> String {
        format!("{}:{{t:{}}}:links", self.prefix, tunnel.label())
    }

    /// A hash: what outlives a tunnel's links (marks, sessions, withdrawals, takeovers).
    pub(super) fn past(&self, tunnel: TunnelId) -> String {
        format!("{}:{{t:{}}}:past", self.prefix, tunnel.label())
    }

    /// A hash: the texts of the policies that a tunnel's links name.
    pub(super) fn policies(&self, tunnel: TunnelId) -> String {
        format!("{}:{{t:{}}}:policies", self.prefix, tunnel.label())
    }

    /// A string without an end: how far a name's chain of rotations has come.
    pub(super) fn pin(&self, name: [u8; 32]) -> String {
        format!("{}:pin:{}", self.prefix, TunnelId(name).label())
    }

    /// A one-shot value.
    pub(super) fn value(&self, key: &str) -> String {
        format!("{}:value:{key}", self.prefix)
    }
}

/// The field of a link in the hash of its tunnel's links: 32 digits of the node, a slash, the link.
pub(super) fn field(node: NodeId, link: LinkId) -> String {
    format!("{node}/{}", link.0)
}

/// Reads a [`field`] back.
pub(super) fn parse_field(field: &str) -> Option<(NodeId, LinkId)> {
    let (node, link) = field.split_once('/')?;
    Some((node.parse().ok()?, LinkId(link.parse().ok()?)))
}

/// The cluster slot of a key or channel, as the Redis Cluster specification has it: CRC16 (XMODEM) of what stands
/// between the first brace and the next closing one, or of everything.
pub(super) fn slot(name: &str) -> u16 {
    let bytes = name.as_bytes();
    let open = bytes.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let rest = &bytes[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(bytes)) % SLOTS
}

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16384;

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{foo}.bar"), slot("foo"));
        assert_eq!(slot("x{foo}{bar}"), slot("foo"));
        assert_eq!(slot("{}foo"), crc16(b"{}foo") % SLOTS);
    }

    #[test]
    fn a_tunnel_and_a_node_each_lie_in_one_slot() {
        let names = Names::new("adit");
        let tunnel = TunnelId([3; 32]);
        assert_eq!(slot(&names.links(tunnel)), slot(&names.past(tunnel)));
        assert_eq!(slot(&names.links(tunnel)), slot(&names.policies(tunnel)));
        let node = NodeId([4; 16]);
        assert_eq!(slot(&names.lease(node)), slot(&names.channel(node)));
    }

    #[test]
    fn a_field_is_read_back() {
        let (node, link) = (NodeId([0xab; 16]), LinkId(u64::MAX));
        assert_eq!(parse_field(&field(node, link)), Some((node, link)));
        for bad in ["", "/", "ab/1", "abababababababababababababababab/x"] {
            assert_eq!(parse_field(bad), None, "{bad:?}");
        }
    }
}
