//! What the rounds say: medians, ratios of rounds that ran side by side, aims. Pure.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::load::Load;

/// One run of one load on one side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Round {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Of all servers together, for each operation.
    pub(super) cpu_micros: f64,
    pub(super) failed: u64,
    pub(super) load_average: String,
}

/// All rounds of one load; those of equal index ran one directly after the other.
#[derive(Debug, Clone)]
pub struct Row {
    pub(super) load: Load,
    pub(super) boss: Vec<Round>,
    pub(super) etcd: Vec<Round>,
    /// Of loads that have a ceiling.
    pub(super) echo: Vec<Round>,
}

/// The whole comparison.
#[derive(Debug, Clone)]
pub struct Report {
    rounds: usize,
    each: Duration,
    value_bytes: usize,
    keys: u64,
    /// One for each load.
    pub rows: Vec<Row>,
}

/// What was aimed at, and what it is.
#[derive(Debug, Clone, PartialEq)]
struct Aim {
    what: String,
    limit: Limit,
    measured: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_reached(&self) -> bool {
        match self.limit {
            Limit::AtLeast(limit) => self.measured >= limit,
            Limit::AtMost(limit) => self.measured <= limit,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

fn median_of(rounds: &[Round], figure: fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(figure).collect())
}

/// The median of the ratios of rounds that ran side by side: what disturbs the machine disturbs both.
fn ratio(ours: &[Round], theirs: &[Round], figure: fn(&Round) -> f64) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)).collect())
}

impl Row {
    fn aims(&self) -> Vec<Aim> {
        let name = self.load.name();
        let aim = |what: &str, limit, measured| Aim { what: format!("{name}: {what}"), limit, measured };
        let against_etcd = |figure| ratio(&self.boss, &self.etcd, figure);
        type Figure = fn(&Round) -> f64;
        let (rate, p50): (Figure, Figure) = (|it| it.per_second, |it| it.p50_ms);
        let (p99, cpu): (Figure, Figure) = (|it| it.p99_ms, |it| it.cpu_micros);
        match self.load {
            Load::Put { clients: 1 } => vec![aim("p50 / etcd's", Limit::AtMost(1.0), against_etcd(p50))],
            Load::Put { .. } => vec![
                aim("rate / etcd's", Limit::AtLeast(2.0), against_etcd(rate)),
                aim("p99 / etcd's", Limit::AtMost(0.5), against_etcd(p99)),
                aim("server CPU per put / etcd's", Limit::AtMost(0.5), against_etcd(cpu)),
            ],
            // Against the best that etcd does with unary calls: see `Report::stream_aim`.
            Load::Stream { .. } => Vec::new(),
            Load::Get { clients } => {
                let wanted = if clients < 1_000 { 4.0 } else { 3.0 };
                let mut aims = vec![aim("rate / etcd's", Limit::AtLeast(wanted), against_etcd(rate))];
                if clients >= 1_000 {
                    aims.push(aim("rate / bare echo's", Limit::AtLeast(0.8), ratio(&self.boss, &self.echo, rate)));
                }
                aims
            }
            Load::List => vec![aim("rate / etcd's", Limit::AtLeast(2.0), against_etcd(rate))],
            Load::Watch { .. } => vec![aim("p50 / etcd's", Limit::AtMost(0.7), against_etcd(p50))],
        }
    }

    fn to_json(&self) -> Value {
        let round = |it: &Round| {
            json!({
                "perSecond": it.per_second, "p50Millis": it.p50_ms, "p99Millis": it.p99_ms,
                "serverCpuMicros": it.cpu_micros, "failed": it.failed, "loadAverage": it.load_average,
            })
        };
        let rounds = |rounds: &[Round]| rounds.iter().map(round).collect::<Vec<_>>();
        json!({
            "load": self.load.name(), "boss": rounds(&self.boss), "etcd": rounds(&self.etcd), "echo": rounds(&self.echo),
        })
    }
}

impl Report {
    pub(super) fn new(rounds: usize, each: Duration, value_bytes: usize, keys: u64) -> Self {
        Self { rounds, each, value_bytes, keys, rows: Vec::new() }
    }

    fn aims(&self) -> impl Iterator<Item = Aim> + '_ {
        self.rows.iter().flat_map(Row::aims).chain(self.stream_aim())
    }

    /// Writes of a stream against the best rate of etcd's puts.
    fn stream_aim(&self) -> Option<Aim> {
        let rate = |rounds: &[Round]| median_of(rounds, |round| round.per_second);
        let stream = self.rows.iter().find(|row| matches!(row.load, Load::Stream { .. }))?;
        let puts = self.rows.iter().filter(|row| matches!(row.load, Load::Put { .. } | Load::Stream { .. }));
        let best = puts.map(|row| rate(&row.etcd)).reduce(f64::max)?;
        let what = "stream: rate / etcd's best put rate".to_owned();
        Some(Aim { what, limit: Limit::AtLeast(5.0), measured: rate(&stream.boss) / best })
    }

    /// Every round, for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let aim = |it: Aim| json!({ "what": it.what, "measured": it.measured, "reached": it.is_reached() });
        json!({
            "rounds": self.rounds, "seconds": self.each.as_secs_f64(), "valueBytes": self.value_bytes, "keys": self.keys,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "aims": self.aims().map(aim).collect::<Vec<_>>(),
        })
    }
}

/// Markdown, as docs/benchmarks.md has it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, each, value_bytes, keys, .. } = self;
        writeln!(
            f,
            "Medians of {rounds} rounds of {each:?} in turns, {keys} objects, values of {value_bytes} bytes.\n"
        )?;
        writeln!(f, "| load | side | per second | p50 ms | p99 ms | server CPU us | failed | load average |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            for (side, rounds) in [("Boss", &row.boss), ("etcd", &row.etcd), ("echo", &row.echo)] {
                if let Some(last) = rounds.last() {
                    let of = |figure| median_of(rounds, figure);
                    let failed: u64 = rounds.iter().map(|round| round.failed).sum();
                    writeln!(
                        f,
                        "| {} | {side} | {:.0} | {:.2} | {:.2} | {:.1} | {failed} | {} |",
                        row.load.name(),
                        of(|it| it.per_second),
                        of(|it| it.p50_ms),
                        of(|it| it.p99_ms),
                        of(|it| it.cpu_micros),
                        last.load_average,
                    )?;
                }
            }
        }
        writeln!(f, "\n| aim | wanted | measured | reached |\n|---|---|---|---|")?;
        for aim in self.aims() {
            let wanted = match aim.limit {
                Limit::AtLeast(limit) => format!("at least {limit}"),
                Limit::AtMost(limit) => format!("at most {limit}"),
            };
            let reached = if aim.is_reached() { "yes" } else { "no" };
            writeln!(f, "| {} | {wanted} | {:.2} | {reached} |", aim.what, aim.measured)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rates: &[f64]) -> Vec<Round> {
        let round = |per_second: &f64| Round {
            per_second: *per_second,
            p50_ms: 1_000.0 / per_second,
            p99_ms: 3_000.0 / per_second,
            cpu_micros: 10.0,
            failed: 0,
            load_average: "1".to_owned(),
        };
        rates.iter().map(round).collect()
    }

    #[test]
    fn ratios_are_those_of_rounds_side_by_side() {
        // The machine was five times slower in the second round, for both.
        let (ours, theirs) = (rounds(&[2_000.0, 400.0, 2_100.0]), rounds(&[1_000.0, 200.0, 1_000.0]));
        let found = ratio(&ours, &theirs, |it| it.per_second);
        assert!((found - 2.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn medians_are_of_the_sorted_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn the_table_names_each_side_and_says_which_aims_are_reached() {
        let mut report = Report::new(3, Duration::from_secs(1), 256, 10);
        let load = Load::Get { clients: 1_000 };
        let (boss, etcd, echo) = (rounds(&[3_500.0]), rounds(&[1_000.0]), rounds(&[5_000.0]));
        report.rows.push(Row { load, boss, etcd, echo });
        let text = report.to_string();
        assert!(text.contains("| get-1000 | Boss | 3500 | 0.29 | 0.86 | 10.0 | 0 | 1 |"), "{text}");
        assert!(text.contains("| get-1000: rate / etcd's | at least 3 | 3.50 | yes |"), "{text}");
        assert!(text.contains("| get-1000: rate / bare echo's | at least 0.8 | 0.70 | no |"), "{text}");
        assert_eq!(report.to_json()["aims"][1]["reached"], false);
    }
}
