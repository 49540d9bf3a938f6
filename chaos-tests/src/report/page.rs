//! One page of HTML with its drawings in it: no script, no file beside it. Pure.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    Failover,
    figures::{BUCKET_NS, Figures, Window},
};
use crate::{
    checkers::Verdict,
    history::FaultOutcome,
    sample::Sample,
    sprint::{Outcome, Seen},
};

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 110.0;
const ROW: f64 = 26.0;
const PLOT: f64 = 160.0;
/// More points show nothing more.
const POINTS_MAX: usize = 4_000;
const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2em;max-width:1150px;color:#222}\
    table{border-collapse:collapse}td,th{padding:3px 12px 3px 0;text-align:left;vertical-align:top}\
    .valid{color:#0a7a2f}.invalid{color:#b00020;font-weight:bold}.unknown{color:#a15c00;font-weight:bold}\
    pre,code{background:#f4f4f4;padding:2px 5px}pre{padding:8px;overflow-x:auto;white-space:pre-wrap}\
    svg text{font:11px system-ui,sans-serif;fill:#444}h2{margin-top:1.6em}";

/// The page; of a sprint that came to no judgement without drawings.
pub(super) fn html(outcome: &Outcome, seen: Option<&Seen>) -> String {
    let word = if outcome.is_good() { "valid" } else { worst(outcome) };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>seed {seed}: {word}</title>\
         <style>{STYLE}</style></head><body><h1>Sprint {seed}: <span class=\"{word}\">{word}</span></h1>\
         <p>Again: <code>{command}</code></p>",
        seed = outcome.options.seed,
        command = escape(&outcome.options.command()),
    );
    page += &verdicts(outcome);
    if let Some(seen) = seen {
        page += &drawings(outcome, seen);
    }
    page += "<h2>Files</h2><ul><li><a href=\"history.jsonl\">history.jsonl</a></li>\
             <li><a href=\"samples.jsonl\">samples.jsonl</a></li><li><a href=\"logs/\">logs</a></li></ul></body></html>\n";
    page
}

fn worst(outcome: &Outcome) -> &'static str {
    let invalid = outcome.judged.iter().any(|judged| matches!(judged.verdict, Verdict::Invalid(_)));
    if invalid { "invalid" } else { "unknown" }
}

fn verdicts(outcome: &Outcome) -> String {
    let mut text = String::from("<h2>Promises</h2><table>");
    for judged in &outcome.judged {
        let (class, why) = match &judged.verdict {
            Verdict::Valid => ("valid", String::new()),
            Verdict::Invalid(explanation) => ("invalid", format!("<pre>{}</pre>", escape(&explanation.to_string()))),
            Verdict::Unknown(why) => ("unknown", format!("<pre>{}</pre>", escape(why))),
        };
        let promise = judged.promise;
        write!(text, "<tr><td>{promise}</td><td class=\"{class}\">{class}</td><td>{why}</td></tr>")
            .expect("text grows");
    }
    text + "</table>"
}

fn drawings(outcome: &Outcome, seen: &Seen) -> String {
    let figures = Figures::of(&seen.events);
    let [p50, p99] = [50, 99].map(|percent| figures.percentile(percent) as f64 / 1e6);
    let mut text =
        format!("<p>{} answers, half of them within {p50:.1} ms, 99 of 100 within {p99:.1} ms.</p>", outcome.answered);
    text += "<h2>What happened when</h2><p>Grey: a fault that hit it. Green: it leads. Red: it did not answer.</p>";
    text += &timeline(&figures, &seen.samples);
    text += "<h2>Answers in a second</h2><p>Blue: answers. Orange: refusals. Red: unknown outcomes.</p>";
    text += &rates(&figures);
    text += "<h2>How long answers took</h2>";
    text += &latencies(&figures);
    text += &faults(&figures);
    text += &gaps(&figures);
    text += &leaders(&outcome.failovers);
    text += "<h2>Servers at the end</h2><table><tr><th>server<th>applied<th>hash</tr>";
    for state in &seen.closing.states {
        let (server, applied, hash) = (state.server, state.applied, escape(&state.hash));
        write!(text, "<tr><td>{server}</td><td>{applied}</td><td>{hash}</td></tr>").expect("text grows");
    }
    text + "</table>"
}

/// Where a moment is, in pixels from the left.
fn at(figures: &Figures, ns: u64) -> f64 {
    LEFT + (WIDTH - LEFT) * ns as f64 / figures.end_ns.max(1) as f64
}

fn svg(height: f64, inside: &str) -> String {
    format!("<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">{inside}</svg>")
}

/// Seconds along the foot of a drawing.
fn seconds(figures: &Figures, height: f64) -> String {
    let step = (figures.end_ns / 1_000_000_000 / 15).max(1);
    let mut text = String::new();
    for second in (0..=figures.end_ns / 1_000_000_000).step_by(usize::try_from(step).unwrap_or(1)) {
        let x = at(figures, second * 1_000_000_000);
        write!(
            text,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{foot}\" stroke=\"#eee\"/>\
             <text x=\"{x:.1}\" y=\"{height}\">{second} s</text>",
            foot = height - 12.0
        )
        .expect("text grows");
    }
    text
}

fn rectangle(x: f64, y: f64, width: f64, height: f64, fill: &str, title: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{fill}\"><title>{}</title></rect>",
        width.max(1.0),
        escape(title)
    )
}

fn timeline(figures: &Figures, samples: &[Sample]) -> String {
    let servers = samples.iter().map(|sample| format!("server-{}", sample.server));
    let hit = figures.windows.iter().flat_map(|window| window.hosts.clone());
    let hosts: Vec<String> = servers.chain(hit).collect::<BTreeSet<_>>().into_iter().collect();
    let height = ROW * hosts.len() as f64 + 16.0;
    let mut inside = seconds(figures, height);
    for (row, host) in hosts.iter().enumerate() {
        let y = ROW * row as f64;
        write!(inside, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 16.0, escape(host)).expect("text grows");
        for window in figures.windows.iter().filter(|window| window.hosts.contains(host)) {
            let (x, end) = (at(figures, window.from_ns), at(figures, window.until_ns));
            inside += &rectangle(x, y + 2.0, end - x, ROW - 4.0, "#d0d0d0", &window.name);
        }
        let own: Vec<&Sample> = samples.iter().filter(|sample| format!("server-{}", sample.server) == *host).collect();
        for pair in own.windows(2) {
            let fill = match pair[0].seen {
                Some(seen) if seen.leads => "#2a9d4a",
                Some(_) => continue,
                None => "#e05050",
            };
            let (x, end) = (at(figures, pair[0].at_ns), at(figures, pair[1].at_ns));
            inside += &rectangle(x, y + 10.0, end - x, 6.0, fill, host);
        }
    }
    svg(height, &inside)
}

fn rates(figures: &Figures) -> String {
    let highest = figures.rates.iter().flatten().copied().max().unwrap_or(1).max(1);
    let per_second = 1_000_000_000 / BUCKET_NS;
    let mut inside = seconds(figures, PLOT);
    write!(inside, "<text x=\"0\" y=\"12\">{} /s</text>", u64::from(highest) * per_second).expect("text grows");
    for (kind, colour) in ["#2060c0", "#e08a00", "#d02020"].into_iter().enumerate() {
        let point = |(span, counts): (usize, &[u32; 3])| {
            let x = at(figures, span as u64 * BUCKET_NS);
            let y = (PLOT - 14.0) * (1.0 - f64::from(counts[kind]) / f64::from(highest));
            format!("{x:.1},{y:.1}")
        };
        let points: Vec<String> = figures.rates.iter().enumerate().map(point).collect();
        write!(inside, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>", points.join(" "))
            .expect("text grows");
    }
    svg(PLOT, &inside)
}

/// Each answer is a point; a tenth of a millisecond is at the foot, ten seconds at the top.
fn latencies(figures: &Figures) -> String {
    let mut inside = seconds(figures, PLOT);
    let height = |ms: f64| (PLOT - 14.0) * (1.0 - ((ms.max(0.1).log10() + 1.0) / 5.0).min(1.0));
    for (ms, label) in [(1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms"), (1_000.0, "1 s"), (10_000.0, "10 s")] {
        write!(inside, "<text x=\"0\" y=\"{:.1}\">{label}</text>", height(ms) + 10.0).expect("text grows");
    }
    let step = figures.latencies.len() / POINTS_MAX + 1;
    for (end, took) in figures.latencies.iter().step_by(step) {
        let (x, y) = (at(figures, *end), height(*took as f64 / 1e6));
        write!(inside, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.2\" fill=\"#2060c0\"/>").expect("text grows");
    }
    svg(PLOT, &inside)
}

fn faults(figures: &Figures) -> String {
    let mut text = String::from("<h2>Faults</h2><table><tr><th>from<th>until<th>what<th>took hold</tr>");
    for Window { name, from_ns, until_ns, outcome, .. } in &figures.windows {
        let [from, until] = [from_ns, until_ns].map(|ns| *ns as f64 / 1e9);
        let class = if *outcome == FaultOutcome::Installed { "valid" } else { "unknown" };
        let (name, outcome) = (escape(name), format!("{outcome:?}").to_lowercase());
        write!(
            text,
            "<tr><td>{from:.2} s</td><td>{until:.2} s</td><td>{name}</td><td class=\"{class}\">{outcome}</td></tr>"
        )
        .expect("text grows");
    }
    text + "</table>"
}

fn gaps(figures: &Figures) -> String {
    let mut text = String::from("<h2>Longer than half a second without an acknowledged write</h2><table>");
    for (from, until) in &figures.gaps {
        let [from, until] = [from, until].map(|ns| *ns as f64 / 1e9);
        write!(text, "<tr><td>{from:.2} s</td><td>{until:.2} s</td><td>{:.2} s</td></tr>", until - from)
            .expect("text grows");
    }
    text + if figures.gaps.is_empty() { "</table><p>Never.</p>" } else { "</table>" }
}

fn leaders(failovers: &[Failover]) -> String {
    let mut text = String::from("<h2>From a fault of the leader to the next acknowledged write</h2><table>");
    for Failover { kind, took } in failovers {
        write!(text, "<tr><td>{kind}</td><td>{:.2} s</td></tr>", took.as_secs_f64()).expect("text grows");
    }
    text + if failovers.is_empty() { "</table><p>There was none.</p>" } else { "</table>" }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::{
        history::{Action, Answer, Event, What},
        nemesis::Family,
        sprint::{Judged, Options},
    };

    fn outcome(verdict: Verdict) -> Outcome {
        let options = Options {
            seed: 42,
            servers: 3,
            nodes: 1,
            profile: "standard",
            families: vec![Family::Kill, Family::Pause],
            duration: Duration::from_secs(12),
            ..Options::of_seed(42)
        };
        let judged = vec![Judged { promise: "registers are linearizable", verdict }];
        Outcome {
            options,
            judged,
            answered: 1,
            failovers: Vec::new(),
            took: [Duration::ZERO; 3],
            folder: PathBuf::new(),
        }
    }

    fn seen() -> Seen {
        let event = |at_ns, process, what| Event { at_ns, process, what };
        let hosts = vec!["server-2".to_owned()];
        let events = vec![
            event(1_000, 1, What::Invoke { key: "k".into(), action: Action::Delete }),
            event(2_000_000, 1, What::Ok { answer: Answer::Absent }),
            event(
                3_000_000,
                0,
                What::Fault { name: "1: kill server-2".into(), outcome: FaultOutcome::Installed, hosts },
            ),
        ];
        let samples =
            vec![Sample { at_ns: 1, server: 1, seen: None }, Sample { at_ns: 2_000_000, server: 1, seen: None }];
        Seen {
            events,
            samples,
            steps: Vec::new(),
            watches: Vec::new(),
            bound: Vec::new(),
            executions: Vec::new(),
            closing: crate::sprint::Closing::default(),
        }
    }

    #[test]
    fn a_page_says_what_failed_why_and_how_to_see_it_again() {
        let page = html(&outcome(Verdict::Unknown("a <b> & c".into())), Some(&seen()));
        for part in [
            "Sprint 42: <span class=\"unknown\">unknown",
            "boss-chaos sprint --seed 42 --servers 3 --nodes 1 --profile standard --seconds 12 --faults kill,pause",
            "a &lt;b&gt; &amp; c",
            "1: kill server-2",
            "<circle",
            "<polyline",
        ] {
            assert!(page.contains(part), "{part:?} is not in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn a_sprint_without_a_judgement_has_a_page_too() {
        assert!(html(&outcome(Verdict::Valid), None).contains("Sprint 42: <span class=\"valid\">"));
    }
}
