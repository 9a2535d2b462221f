//! The bytes of the file, and that no damage goes unnoticed.

use proptest::prelude::*;

use super::*;

fn pins(count: u8) -> Pins {
    let mut pins = Pins::default();
    for n in 0..count {
        let pin = Pin {
            sequence: u64::from(n) + 1,
            tip: [n; 32],
        };
        pins.remember([n; 32], pin);
    }
    pins
}

#[test]
fn what_is_written_is_read() {
    for count in [0, 1, 200] {
        let pins = pins(count);
        let read = decode(encode(&pins).as_bytes()).expect("it is undamaged");
        assert!(read.iter().eq(pins.iter()));
    }
}

#[test]
fn the_format_is_frozen() {
    let mut pins = pins(1);
    let largest = Pin {
        sequence: u64::MAX,
        tip: [0xff; 32],
    };
    pins.remember([0xff; 32], largest);
    let (low, high) = ("a".repeat(52), format!("{}q", "7".repeat(51)));
    let expected =
        format!("adit pins 1\n{low} 1 {low}\n{high} 18446744073709551615 {high}\nend 2 f116f22e\n");
    assert_eq!(encode(&pins), expected);
}

#[test]
fn each_damage_is_told_with_its_line() {
    let text = encode(&pins(2));
    let lines: Vec<&str> = text.lines().collect();
    let [first, one, two, end] = lines[..] else {
        panic!("{lines:?}");
    };
    for (lines, line) in [
        (vec![], 1),
        (vec!["adit pins 2", one, two, end], 1),
        (vec![first], 2),
        (vec![first, one, two], 4),
        (vec![first, one, end], 3),
        (vec![first, one, one, end], 3),
        (vec![first, two, one, end], 4),
        (vec![first, one, "x 1 y", end], 3),
        (vec![first, one, "", two, end], 3),
        (vec![first, one, two, end, end], 5),
    ] {
        let damaged: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let found = decode(damaged.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(found.0, line, "{damaged}: {}", found.1);
    }
    let zero = format!("{first}\n{}", one.replace(" 1 ", " 0 "));
    assert_eq!(decode(zero.as_bytes()).unwrap_err(), (2, "it is no pin"));
    let huge = vec![b'x'; MAX_FILE + 1];
    assert_eq!(decode(&huge).unwrap_err().0, 1);
}

proptest! {
    #[test]
    fn no_changed_byte_and_no_cut_goes_unnoticed(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let text = encode(&pins(3)).into_bytes();
        let at = at.index(text.len());
        prop_assert!(decode(&text[..at]).is_err());
        let mut changed = text.clone();
        changed[at] = to;
        prop_assert!(changed == text || decode(&changed).is_err());
    }
}
