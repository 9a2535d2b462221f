//! When to ask whether the peer is still there, and when to stop asking.
//!
//! A state machine without clock or socket: time is handed in. Only what is **received** counts as life, in
//! bytes and not in messages; what was written proves nothing, since a kernel takes it gladly for a peer that is
//! long gone.

use std::time::Duration;

use tokio::time::Instant;

/// How long a link may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which the peer is asked for a sign of life. Default 10 s.
    pub ping_after: Duration,
    /// Silence after which the peer is taken for dead. Default 20 s; leave room for a round trip after the ping.
    pub dead_after: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(10),
            dead_after: Duration::from_secs(20),
        }
    }
}

/// What silence calls for at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to do before [`Watch::deadline`].
    Alive,
    /// Send a ping now; it has been noted as sent.
    Ping,
    /// Give the peer up.
    Dead,
}

/// Watches over one link.
#[derive(Debug)]
pub(crate) struct Watch {
    rules: Keepalive,
    heard: Instant,
    ping_at: Instant,
    early: Duration,
}

/// Pings are drawn forward by up to this share of `ping_after`, so that the links of a node, which all fell silent
/// in the same moment, do not all speak in the same moment.
const JITTER_SHARE: u32 = 10;

impl Watch {
    /// Begins at `now`, as if something had just been heard. `draw` is any random number: it places the ping.
    pub(crate) fn new(rules: Keepalive, now: Instant, draw: u32) -> Self {
        let early = rules.ping_after / JITTER_SHARE * (draw % 1024) / 1024;
        Self {
            rules,
            heard: now,
            ping_at: now + rules.ping_after - early,
            early,
        }
    }

    /// Notes that at least one byte arrived.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.ping_at = now + self.rules.ping_after - self.early;
    }

    /// Judges the silence up to `now`.
    pub(crate) fn judge(&mut self, now: Instant) -> Verdict {
        if now >= self.heard + self.rules.dead_after {
            Verdict::Dead
        } else if now >= self.ping_at {
            self.ping_at = now + self.rules.ping_after;
            Verdict::Ping
        } else {
            Verdict::Alive
        }
    }

    /// When to judge next, if nothing is heard until then.
    pub(crate) fn deadline(&self) -> Instant {
        self.ping_at.min(self.heard + self.rules.dead_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Keepalive = Keepalive {
        ping_after: Duration::from_secs(10),
        dead_after: Duration::from_secs(20),
    };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_silent_peer_is_asked_once_and_then_given_up() {
        let start = Instant::now();
        let mut watch = Watch::new(RULES, start, 0);
        assert_eq!(watch.deadline(), start + seconds(10));
        assert_eq!(watch.judge(start + seconds(9)), Verdict::Alive);
        assert_eq!(watch.judge(start + seconds(10)), Verdict::Ping);
        assert_eq!(
            watch.judge(start + seconds(11)),
            Verdict::Alive,
            "one ping for one silence"
        );
        assert_eq!(watch.deadline(), start + seconds(20));
        assert_eq!(watch.judge(start + seconds(20)), Verdict::Dead);
    }

    #[test]
    fn whatever_is_heard_begins_the_silence_anew() {
        let start = Instant::now();
        let mut watch = Watch::new(RULES, start, 0);
        assert_eq!(watch.judge(start + seconds(10)), Verdict::Ping);
        watch.hear(start + seconds(19));
        assert_eq!(watch.judge(start + seconds(28)), Verdict::Alive);
        assert_eq!(watch.judge(start + seconds(29)), Verdict::Ping);
        assert_eq!(watch.judge(start + seconds(39)), Verdict::Dead);
    }

    #[test]
    fn a_patient_rule_asks_again_in_the_same_silence() {
        let start = Instant::now();
        let patient = Keepalive {
            dead_after: seconds(35),
            ..RULES
        };
        let mut watch = Watch::new(patient, start, 0);
        for at in [10, 20, 30] {
            assert_eq!(watch.judge(start + seconds(at)), Verdict::Ping, "at {at} s");
        }
        assert_eq!(watch.deadline(), start + seconds(35));
    }

    #[test]
    fn jitter_only_ever_asks_earlier_and_by_a_tenth_at_most() {
        let start = Instant::now();
        for draw in [0, 1, 511, 1023, 1024, u32::MAX] {
            let deadline = Watch::new(RULES, start, draw).deadline();
            assert!(
                deadline <= start + seconds(10) && deadline > start + seconds(9),
                "draw {draw}"
            );
        }
    }
}
