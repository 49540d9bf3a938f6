//! How measured times are distributed. Knows nothing of what was measured.

use std::{fmt, time::Duration};

/// Times in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of these times, in any order.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that `percent` of all times do not exceed; zero if there is none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1_000.0;
        write!(f, "n {:>4}  min {:>8.1}  p50 {:>8.1}", self.0.len(), ms(0), ms(50))?;
        write!(f, "  p90 {:>8.1}  p99 {:>8.1}  max {:>8.1}  ms", ms(90), ms(99), ms(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let spread = Spread::of((1..=20).rev().map(Duration::from_millis).collect());
        let ms = [0, 50, 90, 99, 100].map(|percent| spread.percentile(percent).as_millis());
        assert_eq!(ms, [1, 10, 18, 20, 20]);
        assert_eq!(Spread::default().percentile(50), Duration::ZERO);
    }
}
