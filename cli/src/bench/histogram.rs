//! Counts of durations by size, fine enough for percentiles: each bucket is at most 0.8 % wide. Knows no clock.

use std::time::Duration;

/// Each power of two is cut into this many buckets.
const STEPS_BITS: u32 = 7;
const STEPS: u64 = 1 << STEPS_BITS;

/// Durations in buckets of microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let bucket = bucket_of(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.max = self.max.max(duration);
    }

    /// Takes in all that another one counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest one.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration that `share` (0 to 1) of all do not exceed, rounded up to the end of its bucket; zero when nothing
    /// was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(last_of(bucket)).min(self.max);
            }
        }
        Duration::ZERO
    }
}

/// Below two times [`STEPS`] every microsecond has its own; above, the highest bits decide.
fn bucket_of(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(STEPS_BITS + 1);
    let bucket = u64::from(shift) * STEPS + (micros >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest number of microseconds in the bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let first = (bucket - shift * STEPS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_are_narrow() {
        let mut next = 0;
        for bucket in 0..bucket_of(1 << 40) {
            let last = last_of(bucket);
            assert!(last >= next, "{bucket}");
            assert_eq!((bucket_of(next), bucket_of(last)), (bucket, bucket));
            assert!((last - next) as f64 <= next as f64 * 0.008, "{bucket}: {next} to {last}");
            next = last + 1;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_durations() {
        let mut histogram = Histogram::default();
        (1..=1_000).rev().for_each(|millis| histogram.record(Duration::from_millis(millis)));
        for (share, expected) in [(0.0, 1.0), (0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)]
        {
            let found = histogram.quantile(share).as_secs_f64() * 1_000.0;
            assert!((found - expected).abs() <= expected * 0.008, "{share}: {found}");
        }
        assert_eq!((histogram.total(), histogram.max()), (1_000, Duration::from_secs(1)));
    }

    #[test]
    fn merged_histograms_are_one_of_all_durations() {
        let (mut one, mut other, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for micros in [3, 70_000, 5, 1_000_000_000] {
            both.record(Duration::from_micros(micros));
            if micros < 10 { &mut one } else { &mut other }.record(Duration::from_micros(micros));
        }
        one.merge(&other);
        assert_eq!(one, both);
    }

    #[test]
    fn an_empty_histogram_has_only_zeros() {
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn the_longest_duration_of_all_can_be_counted() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.total(), 1);
        assert!(histogram.quantile(1.0) > Duration::from_secs(1 << 40));
    }
}
