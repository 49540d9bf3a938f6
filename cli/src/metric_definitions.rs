//! Metrics of `bossctl verify --canary`: their names, and in [`ALL`] what they tell. Knows no code that counts.

use boss_base::telemetry::{Definition, counter, gauge};

/// Runs by verdict.
pub const RUNS: &str = "boss_verify_runs_total";
/// Operations by how they ended.
pub const OPERATIONS: &str = "boss_verify_operations_total";
/// Whether the last run was valid.
pub const LAST_VALID: &str = "boss_verify_last_run_valid";
/// When the last run ended.
pub const LAST_END: &str = "boss_verify_last_run_end_timestamp_seconds";
/// How long operations of the last run took.
pub const LATENCY_SECONDS: &str = "boss_verify_latency_seconds";

/// All of them.
pub const ALL: &[Definition] = &[
    counter(RUNS, "Verifications, by verdict.").labelled(&["verdict"]),
    counter(OPERATIONS, "Operations of clients, by how they ended.").labelled(&["end"]),
    gauge(LAST_VALID, "1 while the last verification was valid, else 0."),
    gauge(LAST_END, "When the last verification ended, in seconds since the epoch."),
    gauge(LATENCY_SECONDS, "How long operations of the last verification took, by kind and quantile.")
        .labelled(&["operation", "quantile"]),
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn metric_names_say_whose_they_are_and_what_they_count() {
        let problems: Vec<String> = ALL.iter().filter_map(|metric| metric.problem("boss_verify_")).collect();
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn the_page_of_metrics_has_a_row_for_each() {
        let page = include_str!("../../docs/metrics.md");
        for metric in ALL {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind, labels) = (metric.name, metric.kind.as_str(), labels.join(", "));
            let row = format!("| `{name}` | {kind} | {labels} | {} |", metric.help);
            assert!(page.lines().any(|line| line == row), "docs/metrics.md needs this row:\n{row}");
        }
    }
}
