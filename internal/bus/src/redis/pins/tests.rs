//! What a node remembers of pins: bounded, owed until Redis has them, and corrected by Redis.

use super::*;

fn name(n: usize) -> Name {
    let mut name = [0; 32];
    name[..8].copy_from_slice(&n.to_be_bytes());
    name
}

fn pin(sequence: u64, tip: u8) -> Pin {
    Pin {
        sequence,
        tip: [tip; 32],
    }
}

#[test]
fn what_was_decided_alone_is_owed_until_it_is_stored() {
    let pins = Pins::default();
    assert_eq!(pins.decide(name(1), pin(2, 2)), Ok(()));
    assert_eq!(pins.to_tell_before(name(1), pin(3, 3)), Some(pin(2, 2)));
    assert_eq!(
        pins.decide(name(1), pin(1, 1)),
        Err(PinError::Older { known: 2 })
    );
    assert_eq!(pins.decide(name(1), pin(2, 3)), Err(PinError::Forked));
    assert_eq!(pins.settle(name(1), pin(2, 2), None), Ok(()));
    assert!(pins.owed(9).is_empty());
    assert_eq!(pins.to_tell_before(name(1), pin(3, 3)), None);
    assert_eq!(pins.to_tell_before(name(1), pin(1, 1)), Some(pin(2, 2)));
    pins.owe_all();
    assert_eq!(pins.owed(9), [(name(1), pin(2, 2))]);
}

#[test]
fn a_name_that_never_rotated_is_not_remembered() {
    let pins = Pins::default();
    assert_eq!(pins.decide(name(1), pin(0, 0)), Ok(()));
    assert_eq!(pins.settle(name(1), pin(0, 0), None), Ok(()));
    assert!(pins.state().by_name.is_empty());
    pins.owe_all();
    assert!(pins.owed(9).is_empty());
}

#[test]
fn redis_knows_better() {
    let pins = Pins::default();
    for n in 1..=3 {
        assert_eq!(pins.decide(name(n), pin(2, 2)), Ok(()));
    }
    let further = pins.settle(name(1), pin(2, 2), Some(pin(4, 4)));
    assert_eq!(further, Err(PinError::Older { known: 4 }));
    let otherwise = pins.settle(name(2), pin(2, 2), Some(pin(2, 9)));
    assert_eq!(otherwise, Err(PinError::Forked));
    assert_eq!(pins.check(name(2), pin(2, 9)), Ok(()));

    // The answer about an earlier pin says nothing of a later one.
    assert_eq!(pins.decide(name(3), pin(5, 5)), Ok(()));
    assert_eq!(pins.settle(name(3), pin(2, 2), None), Ok(()));
    assert_eq!(pins.owed(9), [(name(3), pin(5, 5))]);
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_owed_not_forgotten() {
    let pins = Pins::default();
    assert_eq!(pins.settle(name(0), pin(1, 1), None), Ok(()));
    for n in 1..MAX_PINS {
        assert_eq!(pins.decide(name(n), pin(1, 1)), Ok(()));
    }
    let more = |n| pins.decide(name(n), pin(1, 1));
    assert_eq!(more(MAX_PINS), Ok(()), "Redis has the oldest");
    assert_eq!(pins.check(name(0), pin(0, 0)), Ok(()), "so it is forgotten");
    assert_eq!(more(MAX_PINS + 1), Err(PinError::Unavailable));
    assert_eq!(pins.state().by_name.len(), MAX_PINS);
    assert_eq!(pins.state().order.len(), MAX_PINS);
    pins.settle(name(1), pin(1, 1), None).expect("it is stored");
    assert_eq!(more(MAX_PINS + 1), Ok(()));
}
