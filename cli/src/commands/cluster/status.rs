//! `bossctl cluster status`: a line for each server, and what somebody should look after. Changes nothing.

use boss_proto::v1;

use crate::{
    args::StatusFormat,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

/// Enough to tell states and folders apart.
const HASH_DIGITS: usize = 12;
const MEBIBYTE: f64 = (1 << 20) as f64;

pub(super) async fn run(format: StatusFormat, session: &Session) -> Result<Exit, Failure> {
    let status = terminal::waiting("asking", session.client.cluster_status()).await;
    let status = status.map_err(|error| Failure::from_client("cannot ask for the cluster's status", &error))?;
    terminal::print(&match format {
        StatusFormat::Json => format!("{:#}\n", serde_json::json!(status)),
        StatusFormat::Table => text(&status, NARROW),
        StatusFormat::Wide => text(&status, WIDE),
    });
    session.learn_servers().await;
    // A server that is away is shown; without a leader nothing works.
    Ok(if status.leader_id == 0 { Exit::Unavailable } else { Exit::Ok })
}

/// A column and what stands in it, for a server that answered.
type Column = (&'static str, fn(&v1::ServerStatus) -> String);

const ID: Column = ("ID", |server| server.id.to_string());
const ROLE: Column = ("ROLE", |server| server.role.clone());
const API: Column = ("API", |server| server.api_address.clone());
const APPLIED: Column = ("APPLIED", |server| server.applied_index.to_string());
const REVISION: Column = ("REVISION", |server| server.revision.to_string());
const OBJECTS: Column = ("OBJECTS", |server| server.objects.to_string());
const HASH: Column = ("HASH", |server| short(&server.state_hash));
const VERSION: Column = ("VERSION", |server| server.version.clone());

const NARROW: &[Column] = &[ID, ROLE, API, APPLIED, REVISION, OBJECTS, HASH, VERSION];
const WIDE: &[Column] = &[
    ID,
    ("NAME", |server| server.name.clone()),
    ROLE,
    ("VOTES", |server| yes_or_no(server.voter)),
    API,
    ("PEER", |server| server.peer_address.clone()),
    ("TERM", |server| server.term.to_string()),
    ("LAST", |server| server.last_log_index.to_string()),
    ("COMMITTED", |server| server.committed_index.to_string()),
    APPLIED,
    ("LAG", |server| server.lag_entries.to_string()),
    ("SNAPSHOT", |server| server.snapshot_index.to_string()),
    REVISION,
    OBJECTS,
    ("DB-MIB", |server| mebibytes(server.store_bytes)),
    ("FREE-MIB", |server| mebibytes(server.disk_free_bytes)),
    HASH,
    ("FOLDER", |server| short(&server.storage_id)),
    ("SIGNS", |server| yes_or_no(server.can_sign)),
    VERSION,
];
/// What is known also of a server that does not answer.
const ALWAYS_KNOWN: &[&str] = &["ID", "NAME", "ROLE", "VOTES", "API", "PEER"];

fn text(status: &v1::ClusterStatusResponse, columns: &[Column]) -> String {
    let leader = if status.leader_id == 0 { "none".to_owned() } else { format!("server {}", status.leader_id) };
    let head = format!(
        "Cluster:   {}\nLeader:    {leader} (term {})\nRevision:  {}\n\n",
        output::clean(&status.cluster_id),
        status.term,
        status.revision
    );
    let headers: Vec<&str> = columns.iter().map(|(header, _)| *header).chain(["PROBLEM"]).collect();
    let rows: Vec<_> = status.servers.iter().map(|server| row(server, columns)).collect();
    let alarms: String = status.alarms.iter().map(|alarm| format!("Alarm:     {}\n", output::clean(alarm))).collect();
    let gap = if alarms.is_empty() { "" } else { "\n" };
    head + &alarms + gap + &output::plain(&headers, &rows)
}

fn row(server: &v1::ServerStatus, columns: &[Column]) -> Vec<String> {
    let answered = server.error.is_empty();
    let cell = |(header, value): &Column| {
        if answered || ALWAYS_KNOWN.contains(header) { value(server) } else { String::new() }
    };
    let problems: Vec<&str> = [&*server.error, &*server.notice].into_iter().filter(|text| !text.is_empty()).collect();
    columns.iter().map(cell).chain([problems.join("; ")]).collect()
}

fn short(digits: &str) -> String {
    digits.chars().take(HASH_DIGITS).collect()
}

fn yes_or_no(is_so: bool) -> String {
    (if is_so { "yes" } else { "no" }).to_owned()
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MEBIBYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> v1::ClusterStatusResponse {
        let leader = v1::ServerStatus {
            id: 1,
            role: "leader".into(),
            applied_index: 7,
            lag_entries: 3,
            store_bytes: 3 << 19,
            storage_id: "0123456789abcdef".into(),
            ..Default::default()
        };
        let away = v1::ServerStatus {
            id: 2,
            name: "boss-2".into(),
            role: "unreachable".into(),
            error: "connection refused".into(),
            ..Default::default()
        };
        v1::ClusterStatusResponse { leader_id: 1, term: 3, servers: vec![leader, away], ..Default::default() }
    }

    #[test]
    fn the_status_shows_a_server_that_does_not_answer() {
        let text = text(&status(), NARROW);
        assert!(text.contains("Leader:    server 1 (term 3)"), "{text}");
        assert!(text.lines().last().unwrap().ends_with("connection refused"), "{text}");
    }

    #[test]
    fn the_wide_status_has_a_cell_for_each_column_and_invents_none() {
        let servers = status().servers;
        let cells = |server| WIDE.iter().map(|(header, _)| *header).zip(row(server, WIDE)).collect::<Vec<_>>();
        let leader = cells(&servers[0]);
        for (header, value) in [("LAG", "3"), ("DB-MIB", "1.5"), ("FOLDER", "0123456789ab"), ("SIGNS", "no")] {
            assert!(leader.contains(&(header, value.to_owned())), "{header}: {leader:?}");
        }
        let away = cells(&servers[1]);
        for (header, value) in [("NAME", "boss-2"), ("APPLIED", ""), ("SIGNS", "")] {
            assert!(away.contains(&(header, value.to_owned())), "{header}: {away:?}");
        }
    }

    #[test]
    fn alarms_stand_above_the_servers() {
        let alarms = vec!["server 1: its disk is full".to_owned()];
        let text = text(&v1::ClusterStatusResponse { alarms, ..status() }, NARROW);
        assert!(text.contains("\n\nAlarm:     server 1: its disk is full\n\nID "), "{text}");
    }
}
