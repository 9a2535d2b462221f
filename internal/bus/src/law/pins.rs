//! How far the chain of rotations of each name has come: the law of pinning, without a clock and without a disk.

use std::collections::HashMap;

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
        let known_sequence = known.sequence;
        if self.sequence < known_sequence {
            return Err(PinError::Older {
                known: known_sequence,
            });
        }
        if self.sequence == known_sequence && self.tip != known.tip {
            return Err(PinError::Forked);
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pins {
    by_name: HashMap<[u8; 32], Pin>,
}

impl Pins {
    /// Decides, and remembers what is further than before.
    pub(crate) fn pin(&mut self, name: [u8; 32], pin: Pin) -> Result<(), PinError> {
        if let Some(known) = self.by_name.get_mut(&name) {
            pin.follows(known)?;
            *known = pin;
            return Ok(());
        }
        if pin.sequence > 0 {
            if self.by_name.len() >= MAX_PINS {
                return Err(PinError::Unavailable);
            }
            self.by_name.insert(name, pin);
        }
        Ok(())
    }
}
