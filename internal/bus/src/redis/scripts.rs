//! The scripts that decide in Redis, and how their questions and answers are written.
//!
//! Two touch one tunnel's keys, in one slot, and keep the law of `law/record.rs`; one touches a name's pin and keeps that
//! of `law/pins.rs`. The conformance suite runs over both sides, so neither can drift from the other unseen.

use messages::{NodeId, PolicyId, TunnelId};
use redis::{Cmd, Value};

use super::error::StoreError;
use super::names::{self, Names};
use super::timing::Timing;
use crate::law::{self, Pin};
use crate::{Announcement, LinkId, Mode};

pub(super) const ANNOUNCE: &str = include_str!("scripts/announce.lua");
pub(super) const WITHDRAW: &str = include_str!("scripts/withdraw.lua");
pub(super) const PIN: &str = include_str!("scripts/pin.lua");

/// How long a record is kept after the last operation on it. What is served longer is announced again in time.
pub(super) const KEPT_MS: u128 = 24 * 3600 * 1000;

/// The names by which a server knows the scripts; the same on all servers, for they are hashes of the text.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) announce: String,
    pub(super) withdraw: String,
    pub(super) pin: String,
}

/// What was decided about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted {
        generation: u64,
        losers: Vec<(NodeId, LinkId)>,
    },
    Replaced {
        by: u64,
    },
    Contended,
    /// An exclusive session holds the tunnel; the generation is one that is above this claim's.
    ModeConflict {
        by: u64,
    },
    /// A live link of another owner holds the tunnel; the generation as above.
    Taken {
        by: u64,
    },
    Withdrawn,
    /// It depends on whether these nodes live.
    Who(Vec<NodeId>),
}

/// A claim as a node makes it: for the first time, or `again` for what it has already granted.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) announcement: Announcement,
    pub(super) again: bool,
}

/// How a link stands in the hash of its tunnel's links.
pub(super) fn held(announcement: &Announcement, generation: u64) -> String {
    let Announcement {
        session,
        mode,
        policy,
        version,
        ..
    } = announcement;
    format!(
        "{generation} {} {:032x} {} {version:020}",
        letter(*mode),
        u128::from_be_bytes(*session),
        policy_word(*policy),
    )
}

/// Reads generation, mode and policy of a [`held`] link.
pub(super) fn parse_held(text: &str) -> Option<(u64, Mode, PolicyId)> {
    let mut words = text.split(' ');
    let generation = words.next()?.parse().ok()?;
    let mode = match words.next()? {
        "e" => Mode::Exclusive,
        "s" => Mode::Shared,
        _ => return None,
    };
    let policy = match words.nth(1)? {
        "-" => PolicyId::NONE,
        word => PolicyId(TunnelId::from_label(word).ok()?.0),
    };
    Some((generation, mode, policy))
}

/// How a policy is written: as its bytes' base32, which a tunnel's label happens to be.
pub(super) fn policy_word(policy: PolicyId) -> String {
    match policy {
        PolicyId::NONE => "-".to_owned(),
        PolicyId(bytes) => TunnelId(bytes).label(),
    }
}

/// The arguments after script and number of keys; `lives` says of other nodes whether they live.
pub(super) fn announce(
    script: &mut Cmd,
    names: &Names,
    node: NodeId,
    claim: &Claim,
    timing: &Timing,
    lives: &[(NodeId, bool)],
) {
    let announced = &claim.announcement;
    script
        .arg(3)
        .arg(names.links(announced.tunnel))
        .arg(names.past(announced.tunnel))
        .arg(names.policies(announced.tunnel))
        .arg(node.to_string())
        .arg(announced.link.0)
        .arg(format!("{:032x}", u128::from_be_bytes(announced.session)))
        .arg(announced.generation.unwrap_or(0))
        .arg(letter(announced.mode))
        .arg(format!("{:020}", announced.version))
        .arg(u8::from(claim.again))
        .arg(timing.takeovers.as_micros().to_string())
        .arg(law::LATE_PERIOD.as_micros().to_string())
        .arg(law::MAX_AHEAD_MICROS)
        .arg(law::MAX_TAKEOVERS)
        .arg(law::MAX_KNOWN)
        .arg(KEPT_MS.to_string())
        .arg(&announced.owner[..])
        .arg(policy_word(announced.policy))
        .arg(&announced.document[..]);
    for (node, alive) in lives {
        script.arg(format!("{}{node}", if *alive { '+' } else { '-' }));
    }
}

/// The arguments after script and number of keys.
pub(super) fn withdraw(
    script: &mut Cmd,
    names: &Names,
    node: NodeId,
    (tunnel, link, version): (TunnelId, LinkId, u64),
) {
    script
        .arg(3)
        .arg(names.links(tunnel))
        .arg(names.past(tunnel))
        .arg(names.policies(tunnel))
        .arg(names::field(node, link))
        .arg(format!("{version:020}"))
        .arg(law::LATE_PERIOD.as_micros().to_string())
        .arg(law::MAX_WITHDRAWN)
        .arg(KEPT_MS.to_string());
}

/// The arguments after script and number of keys.
pub(super) fn pin(script: &mut Cmd, key: &str, pin: Pin) {
    script
        .arg(1)
        .arg(key)
        .arg(format!("{:020}", pin.sequence))
        .arg(TunnelId(pin.tip).label());
}

/// Reads what `pin.lua` returned: `None` when the pin is stored, else the one that is.
pub(super) fn pinned(answer: &Value) -> Result<Option<Pin>, StoreError> {
    let words = answer.as_sequence().unwrap_or_default();
    let words: Vec<&str> = words.iter().map_while(text).collect();
    let read = match words[..] {
        ["pinned"] => Some(None),
        ["known", sequence, tip] => generation(Some(sequence))
            .zip(TunnelId::from_label(tip).ok())
            .map(|(sequence, TunnelId(tip))| Some(Pin { sequence, tip })),
        _ => None,
    };
    read.ok_or_else(unknown)
}

/// Reads what `announce.lua` returned.
pub(super) fn verdict(answer: &Value) -> Result<Verdict, StoreError> {
    let words = answer.as_sequence().unwrap_or_default();
    let mut words = words.iter().map_while(text);
    let read = match words.next() {
        Some("granted") => generation(words.next()).map(|generation| Verdict::Granted {
            generation,
            losers: words.filter_map(names::parse_field).collect(),
        }),
        Some("replaced") => generation(words.next()).map(|by| Verdict::Replaced { by }),
        Some("mode") => generation(words.next()).map(|by| Verdict::ModeConflict { by }),
        Some("taken") => generation(words.next()).map(|by| Verdict::Taken { by }),
        Some("contended") => Some(Verdict::Contended),
        Some("withdrawn") => Some(Verdict::Withdrawn),
        Some("who") => Some(Verdict::Who(
            words.filter_map(|node| node.parse().ok()).collect(),
        )),
        _ => None,
    };
    read.ok_or_else(unknown)
}

fn unknown() -> StoreError {
    StoreError::Refused("a script gave an answer that nobody knows".to_owned())
}

fn generation(word: Option<&str>) -> Option<u64> {
    word?.parse().ok()
}

/// The text of an answer, where it is one.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn letter(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "e",
        Mode::Shared => "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_link_is_read_back() {
        let announcement = Announcement {
            tunnel: TunnelId([0; 32]),
            link: LinkId(1),
            session: [0xab; 16],
            generation: None,
            mode: Mode::Shared,
            version: 7,
            owner: [0; 32],
            policy: PolicyId::NONE,
            document: bytes::Bytes::new(),
        };
        let text = held(&announcement, 42);
        assert_eq!(
            text,
            "42 s abababababababababababababababab - 00000000000000000007"
        );
        assert_eq!(parse_held(&text), Some((42, Mode::Shared, PolicyId::NONE)));
        let policy = PolicyId([0xcd; 32]);
        let ruled = Announcement {
            policy,
            ..announcement
        };
        let text = held(&ruled, 42);
        assert_eq!(parse_held(&text), Some((42, Mode::Shared, policy)));
        assert_eq!(parse_held("x e"), None);
        assert_eq!(parse_held("1 q 0 - 0"), None);
        assert_eq!(parse_held("1 e 0 x 0"), None);
    }

    #[test]
    fn an_answer_nobody_knows_is_refused() {
        assert!(verdict(&Value::Nil).is_err());
        assert!(
            verdict(&Value::Array(vec![Value::SimpleString(
                "granted".to_owned()
            )]))
            .is_err()
        );
        assert!(pinned(&Value::Nil).is_err());
    }
}
