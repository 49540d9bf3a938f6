//! What a run of load gave: rates, latencies, errors. Pure.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::Histogram;

/// More kinds of errors than this say nothing new.
const ERROR_KINDS_MAX: usize = 16;

/// What one worker saw.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Of operations that worked.
    pub latencies: Histogram,
    /// How often each kind of error came.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a failed operation; `kind` should be one of few texts.
    pub fn fail(&mut self, kind: &str) {
        let room = self.errors.len() < ERROR_KINDS_MAX || self.errors.contains_key(kind);
        *self.errors.entry(if room { kind } else { "other" }.to_owned()).or_default() += 1;
    }

    /// Takes in what another worker saw.
    pub fn merge(&mut self, other: Self) {
        self.latencies.merge(&other.latencies);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// What all workers saw.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Latencies and errors.
    pub tally: Tally,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Operations that worked, per second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.tally.latencies.total() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Operations that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.tally.errors.values().sum()
    }

    /// A percentile in milliseconds; `share` from 0 to 1.
    #[must_use]
    pub fn millis(&self, share: f64) -> f64 {
        self.tally.latencies.quantile(share).as_secs_f64() * 1_000.0
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "operations": self.tally.latencies.total(),
            "seconds": self.elapsed.as_secs_f64(),
            "perSecond": self.throughput(),
            "millis": {
                "p50": self.millis(0.5), "p90": self.millis(0.9), "p99": self.millis(0.99), "p99.9": self.millis(0.999),
                "max": self.tally.latencies.max().as_secs_f64() * 1_000.0,
            },
            "errors": self.tally.errors,
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} operations in {:.1} s: {:.0}/s\nms: p50 {:.2}, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}\nerrors: {}\n",
            self.tally.latencies.total(),
            self.elapsed.as_secs_f64(),
            self.throughput(),
            self.millis(0.5),
            self.millis(0.9),
            self.millis(0.99),
            self.millis(0.999),
            self.tally.latencies.max().as_secs_f64() * 1_000.0,
            self.failed(),
        );
        for (kind, count) in &self.tally.errors {
            text.push_str(&format!("  {count} x {kind}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_rate_percentiles_and_errors_in_both_forms() {
        let mut tally = Tally::default();
        (0..100).for_each(|_| tally.latencies.record(Duration::from_millis(2)));
        tally.fail("Unavailable");
        let mut other = Tally::default();
        other.fail("Unavailable");
        tally.merge(other);
        let summary = Summary { tally, elapsed: Duration::from_secs(2) };
        let json = summary.to_json();
        assert_eq!((&json["perSecond"], &json["errors"]["Unavailable"]), (&json!(50.0), &json!(2)));
        assert_eq!(json["millis"]["p99"], json!(2.0));
        let text = summary.to_text();
        assert!(text.starts_with("100 operations in 2.0 s: 50/s\nms: p50 2.00,"), "{text}");
        assert!(text.ends_with("errors: 2\n  2 x Unavailable\n"), "{text}");
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut tally = Tally::default();
        (0..100).for_each(|number| tally.fail(&number.to_string()));
        assert_eq!(tally.errors.len(), ERROR_KINDS_MAX + 1);
        assert_eq!(tally.errors.values().sum::<u64>(), 100);
    }
}
