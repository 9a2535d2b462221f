//! How far the chain of rotations of each name has come: the law of pinning, without a clock and without a disk.

use std::collections::BTreeMap;

use crate::PinError;

/// How many names are kept, each some 100 bytes. Keys are free, so their rotations are too: what is beyond is refused,
/// for to forget a pin would be to let a retired key come back.
pub(crate) const MAX_PINS: usize = 256 * 1024;

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) sequence: u64,
    pub(crate) tip: [u8; 32],
}

impl Pin {
    /// Whether a chain with this end may follow `known`.
    pub(crate) fn follows(&self, known: &Self) -> Result<(), PinError> {
        if self.sequence < known.sequence {
            return Err(PinError::Older {
                known: known.sequence,
            });
        }
        if self.sequence == known.sequence && self.tip != known.tip {
            return Err(PinError::Forked);
        }
        Ok(())
    }
}

/// All pins, in the order of their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins {
    by_name: BTreeMap<[u8; 32], Pin>,
}

impl Pins {
    /// Decides, and says whether there is anything to remember.
    pub(crate) fn is_news(&self, name: [u8; 32], pin: Pin) -> Result<bool, PinError> {
        match self.by_name.get(&name) {
            Some(known) => pin.follows(known).map(|()| pin != *known),
            None if pin.sequence == 0 => Ok(false),
            None if self.by_name.len() >= MAX_PINS => Err(PinError::Unavailable),
            None => Ok(true),
        }
    }

    /// Remembers what [`is_news`](Self::is_news), and returns what was known before.
    pub(crate) fn remember(&mut self, name: [u8; 32], pin: Pin) -> Option<Pin> {
        self.by_name.insert(name, pin)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ([u8; 32], Pin)> {
        self.by_name.iter().map(|(name, pin)| (*name, *pin))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_is_full_what_is_known_still_counts() {
        let name = |n: usize| {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&n.to_be_bytes());
            name
        };
        let pin = |sequence| Pin {
            sequence,
            tip: [1; 32],
        };
        let mut pins = Pins::default();
        for n in 0..MAX_PINS {
            assert_eq!(pins.is_news(name(n), pin(1)), Ok(true));
            pins.remember(name(n), pin(1));
        }
        let new = name(MAX_PINS);
        assert_eq!(pins.is_news(new, pin(1)), Err(PinError::Unavailable));
        assert_eq!(pins.is_news(new, pin(0)), Ok(false));
        assert_eq!(pins.is_news(name(7), pin(2)), Ok(true));
        assert_eq!(
            pins.is_news(name(7), pin(0)),
            Err(PinError::Older { known: 1 })
        );
    }
}
