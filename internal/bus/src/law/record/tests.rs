//! What must hold after any sequence of claims, in whatever order they come; and that a record cannot be made to grow.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Announce {
        session: u8,
        link: u64,
        generation: Option<u64>,
        mode: Mode,
        version: u64,
    },
    Withdraw {
        link: u64,
        version: u64,
    },
    Wait {
        seconds: u64,
    },
}

/// Few sessions, links and numbers, so that they collide all the time.
fn steps() -> impl Strategy<Value = Step> {
    let generation = prop_oneof![
        3 => Just(None),
        2 => (0_u64..200_000_000).prop_map(Some),
        1 => any::<u64>().prop_map(Some),
    ];
    let mode = prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared)];
    prop_oneof![
        6 => (0_u8..12, 0_u64..6, generation, mode, 0_u64..4).prop_map(
            |(session, link, generation, mode, version)| {
                Step::Announce { session, link, generation, mode, version }
            }
        ),
        2 => (0_u64..6, 0_u64..4).prop_map(|(link, version)| Step::Withdraw { link, version }),
        2 => (0_u64..40).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

const NODE: NodeId = NodeId([1; 16]);

fn claim(session: u8, link: u64, version: u64) -> Announcement {
    Announcement {
        tunnel: messages::TunnelId([0; 32]),
        link: LinkId(link),
        session: [session; 16],
        generation: None,
        mode: Mode::Shared,
        version,
        owner: [0; 32],
        policy: messages::PolicyId::NONE,
        document: Bytes::new(),
    }
}

fn announce(record: &mut Record, claim: &Announcement, now: Now) -> Result<Claim, AnnounceError> {
    let announcer = Announcer {
        node: NODE,
        draining: false,
    };
    record.announce(announcer, claim, now)
}

fn holder(link: u64) -> Holder {
    Holder {
        node: NODE,
        link: LinkId(link),
    }
}

proptest! {
    #[test]
    fn the_law_holds_after_any_claims(steps in vec(steps(), 1..60)) {
        let start = Instant::now();
        let mut now = Now { micros: 1, instant: start };
        let mut record = Record::default();
        for step in steps {
            let highest = record.highest;
            let routes = record.routes();
            match step {
                Step::Announce { session, link, generation, mode, version } => {
                    let claim = Announcement { generation, mode, ..claim(session, link, version) };
                    let known = record.generation_of(claim.session);
                    match announce(&mut record, &claim, now) {
                        Ok(granted) => {
                            if let Some(own) = known.filter(|_| granted.superseded.is_empty()) {
                                let stood = routes.iter().any(|route| route.generation == granted.generation);
                                prop_assert!(own == granted.generation || stood, "a session draws once");
                            }
                            if known.is_none() && generation.is_none() {
                                let late = granted.generation <= highest;
                                prop_assert!(!late || routes.iter().any(|r| r.link.0 == link), "draws rise");
                            }
                            let superseded: HashSet<u64> = granted.superseded.iter().map(|h| h.link.0).collect();
                            let gone = routes.iter().filter(|old| superseded.contains(&old.link.0));
                            for old in gone {
                                prop_assert!(old.generation <= granted.generation, "only the newer supersede");
                                prop_assert!(!record.routes().contains(old), "the superseded have no route");
                            }
                        }
                        Err(_) => prop_assert_eq!(routes, record.routes(), "a refusal changes nothing"),
                    }
                }
                Step::Withdraw { link, version } => record.withdraw(holder(link), version, now.instant),
                Step::Wait { seconds } => {
                    now.instant += Duration::from_secs(seconds);
                    now.micros += seconds * 1_000_000;
                }
            }
            prop_assert!(record.highest >= highest, "the highest never falls");
            prop_assert!(record.floor <= record.highest);
            prop_assert!(record.highest <= now.micros + MAX_AHEAD_MICROS + 60, "nobody reaches the year 3000");
            let sessions: HashSet<_> = record.held.iter().map(|held| held.session).collect();
            let exclusive = record.held.iter().any(|held| held.route.mode == Mode::Exclusive);
            prop_assert!(!exclusive || sessions.len() == 1, "an exclusive session is alone");
            let links: HashSet<_> = record.held.iter().map(|held| held.route.link).collect();
            prop_assert_eq!(links.len(), record.held.len(), "a link has one route");
        }
    }
}

#[test]
fn connecting_in_a_tight_loop_does_not_grow_the_record() {
    let mut record = Record::default();
    let now = Now {
        micros: 1,
        instant: Instant::now(),
    };
    for n in 0_u8..=255 {
        let link = u64::from(n);
        announce(&mut record, &claim(n, link, 1), now).expect("shared sessions pool");
        record.withdraw(holder(link), 2, now.instant);
    }
    assert_eq!(record.known.len(), MAX_KNOWN);
    assert_eq!(record.withdrawn.len(), MAX_WITHDRAWN);
    assert!(record.is_idle());

    // The newest are the ones still known, and the newest withdrawals still stand.
    assert_eq!(record.generation_of([255; 16]), Some(256));
    assert_eq!(
        announce(&mut record, &claim(255, 255, 1), now),
        Err(AnnounceError::Withdrawn)
    );
}

#[test]
fn a_withdrawal_is_forgotten_when_nothing_can_be_that_late() {
    let mut record = Record::default();
    let mut now = Now {
        micros: 1,
        instant: Instant::now(),
    };
    record.withdraw(holder(1), 2, now.instant);
    now.instant += LATE_PERIOD - Duration::from_millis(1);
    assert_eq!(
        announce(&mut record, &claim(1, 1, 1), now),
        Err(AnnounceError::Withdrawn)
    );
    now.instant += Duration::from_millis(1);
    assert!(announce(&mut record, &claim(1, 1, 1), now).is_ok());
}
