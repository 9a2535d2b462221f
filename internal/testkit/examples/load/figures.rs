//! How long things took, as the JSON that the bench reads.

use std::time::Duration;

/// Latencies, each in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn note(&mut self, took: Duration) {
        self.0
            .push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// `"p50_us": …, "p99_us": …, "max_us": …`, without the braces. All are zero where nothing was noted.
    pub(crate) fn json(mut self) -> String {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let micros = |at: usize| match self.0.get(at.min(last)) {
            Some(&nanos) => Duration::from_nanos(nanos).as_secs_f64() * 1e6,
            None => 0.0,
        };
        format!(
            r#""p50_us": {:.1}, "p99_us": {:.1}, "max_us": {:.1}"#,
            micros(self.0.len() / 2),
            micros(self.0.len() * 99 / 100),
            micros(last),
        )
    }
}

impl FromIterator<Self> for Latencies {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        Self(all.into_iter().flat_map(|some| some.0).collect())
    }
}
