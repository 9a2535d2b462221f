//! Two nodes over a channel that loses what it likes: whatever happens, both sides agree on which exchanges live.

use std::collections::VecDeque;

use bytes::Bytes;
use messages::{Flags, Frame, StreamId, TunnelId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::wire;
use super::*;
use crate::{Content, ExchangeId};

const NAMES: [NodeId; 2] = [NodeId([0; 16]), NodeId([1; 16])];

fn envelope(from: usize, serial: u64, len: usize) -> Envelope {
    Envelope {
        from: NAMES[from],
        exchange: ExchangeId(serial),
        tunnel: TunnelId([0; 32]),
        content: Content::ToVisitor(Frame {
            tag: 0x12,
            flags: Flags(0),
            stream: StreamId(0),
            payload: Bytes::from(vec![0; len]),
        }),
    }
}

/// What befell one node, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Pushed(u64),
    Delivered(u64),
    Reported,
}

/// One node, and what is under way to it.
struct Side {
    pair: Pair,
    events: Vec<Event>,
    under_way: VecDeque<(Header, Vec<Envelope>)>,
}

struct World {
    sides: [Side; 2],
    timing: Timing,
    now: Instant,
    serial: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Push {
        from: usize,
        len: usize,
    },
    Publish {
        from: usize,
    },
    Deliver {
        to: usize,
    },
    Lose {
        to: usize,
    },
    /// Nobody hears the next message, and Redis says so.
    Unheard {
        from: usize,
    },
    /// A node loses its connection, and with it what is under way to it.
    Cut {
        at: usize,
    },
    Wait {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let side = || 0_usize..2;
    let len = prop_oneof![4 => 0_usize..1000, 1 => 60_000_usize..66_000];
    prop_oneof![
        8 => (side(), len).prop_map(|(from, len)| Step::Push { from, len }),
        8 => side().prop_map(|from| Step::Publish { from }),
        8 => side().prop_map(|to| Step::Deliver { to }),
        2 => side().prop_map(|to| Step::Lose { to }),
        1 => side().prop_map(|from| Step::Unheard { from }),
        1 => side().prop_map(|at| Step::Cut { at }),
        4 => (0_u64..1500).prop_map(|millis| Step::Wait { millis }),
    ]
}

impl World {
    fn new() -> Self {
        let side = || Side {
            pair: Pair::new(),
            events: Vec::new(),
            under_way: VecDeque::new(),
        };
        Self {
            sides: [side(), side()],
            timing: Timing::default(),
            now: Instant::now(),
            serial: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push { from, len } => {
                self.push(from, len);
            }
            Step::Publish { from } => self.publish(from),
            Step::Deliver { to } => self.deliver(to),
            Step::Lose { to } => drop(self.sides[to].under_way.pop_front()),
            Step::Unheard { from } => {
                if let Some((header, _)) = self.sides[from].pair.next_message(NAMES[from], 1) {
                    let pair = &mut self.sides[from].pair;
                    let report = pair.published(header.term, 0, &self.timing, self.now);
                    self.report(from, report);
                }
            }
            Step::Cut { at } => {
                self.sides[at].under_way.clear();
                let report = self.sides[at].pair.cut();
                self.report(at, report);
            }
            Step::Wait { millis } => self.wait(Duration::from_millis(millis)),
        }
    }

    fn push(&mut self, from: usize, len: usize) -> bool {
        let serial = self.serial;
        let side = &mut self.sides[from];
        let pushed = side
            .pair
            .push(envelope(from, serial, len), self.now)
            .is_ok();
        if pushed {
            side.events.push(Event::Pushed(serial));
            self.serial += 1;
        }
        pushed
    }

    fn publish(&mut self, from: usize) {
        if let Some(message) = self.sides[from]
            .pair
            .next_message(NAMES[from], TOTAL_BUDGET)
        {
            self.sides[1 - from].under_way.push_back(message);
        }
    }

    fn deliver(&mut self, to: usize) {
        let Some((header, envelopes)) = self.sides[to].under_way.pop_front() else {
            return;
        };
        let len = envelopes.iter().map(wire::cost).sum();
        let pair = &mut self.sides[to].pair;
        let received = pair.receive(&header, len, &self.timing, self.now);
        self.report(to, received.report);
        if received.deliver {
            let serials = envelopes.iter().map(|envelope| envelope.exchange.0);
            self.sides[to].events.extend(serials.map(Event::Delivered));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for at in 0..2 {
            let report = self.sides[at].pair.tick(&self.timing, self.now);
            self.report(at, report);
        }
    }

    fn report(&mut self, at: usize, report: Option<Report>) {
        if report.is_some() {
            self.sides[at].events.push(Event::Reported);
        }
    }

    /// Nothing is lost any more, for a while.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.wait(Duration::from_millis(250));
            for _ in 0..200 {
                for side in 0..2 {
                    self.publish(side);
                    self.deliver(side);
                }
            }
        }
    }

    /// Whether `at` had a report after this event.
    fn ended(&self, at: usize, event: Event) -> bool {
        let events = &self.sides[at].events;
        let position = events.iter().position(|it| *it == event);
        let position = position.expect("it happened");
        events[position..].contains(&Event::Reported)
    }
}

/// Between two reports, envelopes come without a hole.
fn assert_no_hole(side: &Side, pushed: &[Event]) {
    let order = |serial| pushed.iter().position(|it| *it == Event::Pushed(serial));
    let mut last: Option<usize> = None;
    for event in &side.events {
        match event {
            Event::Reported => last = None,
            Event::Pushed(_) => {}
            Event::Delivered(serial) => {
                let pushes = pushed.iter().filter(|it| matches!(it, Event::Pushed(_)));
                let at = pushes.clone().position(|it| *it == Event::Pushed(*serial));
                assert!(order(*serial).is_some());
                if let (Some(last), Some(at)) = (last, at) {
                    assert_eq!(at, last + 1, "a hole nobody was told of");
                }
                last = at;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_sides_agree_on_what_lives(steps in vec(steps(), 1..150)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        for to in 0..2 {
            let from = 1 - to;
            assert_no_hole(&world.sides[to], &world.sides[from].events);
            for event in world.sides[from].events.clone() {
                let Event::Pushed(serial) = event else { continue };
                let delivered = Event::Delivered(serial);
                let sender = world.ended(from, event);
                if world.sides[to].events.contains(&delivered) {
                    prop_assert_eq!(sender, world.ended(to, delivered), "it lives on one side alone");
                } else {
                    prop_assert!(sender, "lost, and its sender was not told");
                }
            }
        }
        // It all works again, and nobody is told of anything more.
        let before: Vec<usize> = world.sides.iter().map(|side| side.events.len()).collect();
        for from in 0..2 {
            prop_assert!(world.push(from, 10), "the other is there");
        }
        world.settle();
        for (side, before) in world.sides.iter().zip(before) {
            let news = &side.events[before..];
            prop_assert!(!news.contains(&Event::Reported), "{:?}", news);
            prop_assert_eq!(news.len(), 2, "one was pushed and one delivered");
        }
    }
}

#[test]
fn what_is_under_way_never_exceeds_the_budget() {
    let mut world = World::new();
    for _ in 0..200 {
        world.push(0, 60_000);
    }
    for _ in 0..20 {
        world.publish(0);
    }
    let under_way = |world: &World| -> u64 {
        let messages = world.sides[1].under_way.iter();
        let envelopes = messages.flat_map(|(_, envelopes)| envelopes);
        envelopes.map(|it| wire::cost(it) as u64).sum()
    };
    assert!(under_way(&world) <= FIRST_BUDGET, "{}", under_way(&world));
    // Once the other has said how much it may be.
    while !world.sides[1].under_way.is_empty() {
        world.deliver(1);
    }
    world.publish(1);
    world.deliver(0);
    for _ in 0..100 {
        world.publish(0);
    }
    assert!(under_way(&world) <= TOTAL_BUDGET);
    assert!(under_way(&world) > TOTAL_BUDGET - 2 * 64 * 1024);
}

#[test]
fn an_envelope_larger_than_the_budget_goes_alone() {
    let mut world = World::new();
    world.sides[0].pair.peer_budget = 1000;
    world.push(0, 60_000);
    world.push(0, 10);
    world.publish(0);
    world.publish(0);
    assert_eq!(world.sides[1].under_way.len(), 1);
    assert_eq!(world.sides[1].under_way[0].1.len(), 1);
}

#[test]
fn what_no_wire_can_carry_is_refused() {
    let mut world = World::new();
    let largest = messages::MAX_FRAME - messages::HEADER_LEN;
    assert!(world.push(0, largest));
    assert!(!world.push(0, largest + 1));
}

#[test]
fn a_full_queue_still_takes_what_ends_exchanges() {
    let mut world = World::new();
    while world.push(0, 60_000) {}
    let now = world.now;
    let pair = &mut world.sides[0].pair;
    let nack = Envelope {
        content: Content::Nack(crate::Nack::Busy),
        ..envelope(0, 0, 0)
    };
    assert_eq!(pair.push(envelope(0, 1, 60_000), now), Err(SendError::Full));
    assert_eq!(pair.push(nack, now), Ok(()));
}

#[test]
fn a_quiet_pair_is_probed_less_often_and_forgotten_in_a_day() {
    let mut world = World::new();
    world.push(0, 10);
    world.settle();
    let mut probes = |time: Duration| {
        let end = world.now + time;
        let mut probes = 0;
        while world.now < end {
            world.wait(Duration::from_millis(250));
            for side in 0..2 {
                let due = world.sides[side].pair.due.probe;
                probes += u32::from(due);
                world.publish(side);
                world.deliver(1 - side);
                world.publish(1 - side);
                world.deliver(side);
            }
        }
        probes
    };
    let busy = probes(Duration::from_mins(1));
    assert!(
        (50..=70).contains(&busy),
        "one of the two probes each second: {busy}"
    );
    probes(QUIET);
    let quiet = probes(Duration::from_mins(1));
    assert!((10..=14).contains(&quiet), "{quiet}");
    world.now += FORGOTTEN;
    assert!(world.sides[0].pair.is_forgotten(world.now));
}

#[test]
fn a_silence_of_the_bus_itself_does_not_make_the_other_node_gone() {
    let timing = Timing::default();
    let mut now = Instant::now();
    let mut pair = Pair::new();
    pair.push(envelope(0, 1, 10), now).expect("there is room");
    let _sent = pair.next_message(NAMES[0], TOTAL_BUDGET);
    while !pair.is_gone(now) {
        now += timing.probe / 4;
        let _report = pair.tick(&timing, now);
        let _probe = pair.next_message(NAMES[0], TOTAL_BUDGET);
    }
    pair.cut();
    assert!(!pair.is_gone(now));
    now += timing.probe;
    pair.tick(&timing, now);
    assert!(
        pair.next_message(NAMES[0], TOTAL_BUDGET).is_some(),
        "it is greeted"
    );
}
