//! Dice that always fall the same.

/// `SplitMix64`: good enough for a model, and the same in every version of every library.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 up to, not including, `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let drawn = self.bits() % u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(drawn).expect("it is below a usize")
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Which of many is visited, where the n-th gets a share of 1/n^s.
pub(crate) struct Zipf {
    /// The shares of all up to each one, summed.
    summed: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: usize, steepness: f64) -> Self {
        let shares = (1..=count).map(|n| (n as f64).powf(-steepness));
        let summed = shares.scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        });
        Self {
            summed: summed.collect(),
        }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> usize {
        let all = self.summed.last().copied().unwrap_or_default();
        let drawn = dice.share() * all;
        let at = self.summed.partition_point(|sum| *sum <= drawn);
        at.min(self.summed.len() - 1)
    }
}
