//! A verification as text and as JSON. Pure.

use std::fmt::Write;

use boss_verify::{
    checkers::{Verdict, judged::Judged},
    run::{Latencies, Plan, Report},
};
use serde_json::{Value, json};

use crate::args::Answer;

/// Everything that a run found.
pub(super) fn report(report: &Report, plan: &Plan, answer: Answer) -> String {
    match answer {
        Answer::Table => text(report, plan),
        Answer::Json => format!("{:#}\n", value(report, plan)),
    }
}

/// One word.
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid(_) => "invalid",
        Verdict::Unknown(_) => "unknown",
    }
}

fn text(report: &Report, plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").unwrap_or_default();
    for Judged { promise, verdict } in &report.judged {
        line(format!("{:<8} {promise}", word(verdict)));
        for explained in why(verdict).lines() {
            line(format!("         {explained}"));
        }
    }
    let seen = &report.coverage;
    line(format!(
        "{} operations were answered, {} of them before, {} during and {} after {} faults; {} did nothing, {} are unknown",
        seen.answered(),
        seen.before,
        seen.during,
        seen.after,
        seen.faults,
        seen.failed,
        seen.unknown
    ));
    for (name, [median, slow]) in report.latencies().named() {
        line(format!("{name} took {median:.1} ms in the median, {slow:.1} ms at the 99th of 100"));
    }
    line(format!("the cluster's promises: {} (the same choices again: --seed {})", word(&report.verdict()), plan.seed));
    text
}

fn why(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid => String::new(),
        Verdict::Invalid(explanation) => explanation.to_string(),
        Verdict::Unknown(why) => why.clone(),
    }
}

fn value(report: &Report, plan: &Plan) -> Value {
    let judged: Vec<Value> = report
        .judged
        .iter()
        .map(|Judged { promise, verdict }| json!({ "promise": promise, "verdict": word(verdict), "why": why(verdict) }))
        .collect();
    let seen = &report.coverage;
    let latencies: Latencies = report.latencies();
    let took: serde_json::Map<String, Value> = latencies
        .named()
        .map(|(name, [median, slow])| (name.to_owned(), json!({ "p50Ms": median, "p99Ms": slow })))
        .collect();
    json!({
        "verdict": word(&report.verdict()),
        "seed": plan.seed,
        "promises": judged,
        "coverage": {
            "answered": seen.answered(), "before": seen.before, "during": seen.during, "after": seen.after,
            "failed": seen.failed, "unknown": seen.unknown, "faults": seen.faults, "doubtfulFaults": seen.doubtful_faults,
        },
        "latencies": took,
    })
}
