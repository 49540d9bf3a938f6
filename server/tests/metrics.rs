//! The page of metrics, the definitions and what a real server shows are the same. A process of its own: metrics are
//! collected once for each process.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use boss_base::telemetry::Definition;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[allow(dead_code, reason = "each test crate uses another part of it")]
#[path = "api/support.rs"]
mod support;

use support::*;

fn defined() -> BTreeMap<&'static str, &'static Definition> {
    let all = boss_raft::metric_definitions::ALL.iter().chain(boss_server::metric_definitions::ALL);
    all.map(|metric| (metric.name, metric)).collect()
}

/// Of `bossctl verify`, whose own tests look at them.
const OTHERS: &str = "boss_verify_";

/// The row of each metric in the page.
fn documented() -> BTreeMap<String, String> {
    let page = include_str!("../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `boss_") && !line.contains(OTHERS));
    rows.map(|line| (line.split('`').nth(1).unwrap().to_owned(), line.to_owned())).collect()
}

/// The words of the page that look like metrics, alarm rules included.
fn mentioned() -> BTreeSet<String> {
    let page = include_str!("../../docs/metrics.md");
    let words = page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("boss_") && !word.starts_with(OTHERS));
    names.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn no_two_metrics_have_one_name() {
    let count = boss_raft::metric_definitions::ALL.len() + boss_server::metric_definitions::ALL.len();
    assert_eq!(defined().len(), count);
}

#[test]
fn the_page_of_metrics_has_a_row_for_each_and_for_no_other() {
    let page = documented();
    for (name, metric) in defined() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!("| `{name}` | {} | {} | {} |", metric.kind.as_str(), labels.join(", "), metric.help);
        assert_eq!(page.get(name), Some(&row), "docs/metrics.md needs this row:\n{row}");
    }
    let defined = defined();
    let strangers: Vec<&String> = page.keys().filter(|name| !defined.contains_key(name.as_str())).collect();
    assert!(strangers.is_empty(), "docs/metrics.md has rows for what is not there: {strangers:?}");
    let unknown: Vec<String> = mentioned().into_iter().filter(|name| !defined.contains_key(name.as_str())).collect();
    assert!(unknown.is_empty(), "docs/metrics.md names what is not there: {unknown:?}");
}

/// What the first server shows to a collector.
async fn scrape(cluster: &Cluster) -> String {
    let mut stream = TcpStream::connect(cluster.configs[0].listen.http).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_shows_every_metric_that_needs_no_special_event() {
    let cluster = Cluster::start(3).await;
    for index in 0..3 {
        let mut registry = cluster.admin(index);
        create(&mut registry, object(&format!("kind: ServiceAccount\nmetadata: {{name: a{index}}}"))).await.unwrap();
        get(&mut registry, key("ServiceAccount", "default", &format!("a{index}"))).await.unwrap();
    }
    let shown = scrape(&cluster).await;
    let names: BTreeSet<&str> = shown
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name))
        .collect();
    // These need a loss, a fault, a crowd or more time than a test has.
    let special = [
        "boss_raft_hash_checks_total",
        "boss_raft_proposals_failed_total",
        "boss_raft_snapshot_seconds",
        "boss_raft_store_rewrites_total",
        "boss_server_watch_lag_revisions",
    ];
    let missing: Vec<&str> =
        defined().into_keys().filter(|name| !names.contains(name) && !special.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {names:?}");
    let strangers: Vec<&&str> = names
        .iter()
        .filter(|name| name.starts_with("boss_"))
        .filter(|name| {
            let plain = name.trim_end_matches("_sum").trim_end_matches("_count");
            !defined().contains_key(**name) && !defined().contains_key(plain)
        })
        .collect();
    assert!(strangers.is_empty(), "{strangers:?} are shown and not defined");
}
