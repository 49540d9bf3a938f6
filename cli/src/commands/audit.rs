//! `bossctl audit`: what servers keep of who did what, in files or from a running cluster.

mod remote;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use boss_base::journal::{self, Head};
use boss_client::Query;
use boss_proto::{
    audit::{fits, text},
    kind::Kind,
    manifest,
    v1::{AuditFilter, Object, object::Body},
};
use serde_json::Value;

use crate::{
    args::{self, Global, SearchAudit},
    failure::{Exit, Failure, chain},
    output::{clean, rfc3339},
    session::Session,
    terminal,
};

/// How often a followed file is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn run(args: args::Audit, global: &Global) -> Result<Exit, Failure> {
    match args {
        args::Audit::Tail { dir: None, lines, follow } => remote::tail(&Session::open(global)?, lines, follow).await,
        args::Audit::Tail { dir: Some(dir), lines, follow } => tail(&dir, lines, follow).await,
        args::Audit::Search(search) => match &search.dir {
            None => remote::search(&Session::open(global)?, filter(&search)).await,
            Some(dir) => {
                let filter = filter(&search);
                each(dir, |record| {
                    if fits(&filter, record) {
                        terminal::print(&line(record));
                    }
                })?;
                Ok(Exit::Ok)
            }
        },
        args::Audit::Verify { dir: None, .. } => remote::verify(&Session::open(global)?).await,
        args::Audit::Verify { dir: Some(dir), heads, offline } => {
            let heads = match (&heads, offline) {
                (_, true) => Vec::new(),
                (Some(file), false) => heads_of_file(file)?,
                (None, false) => heads_of_cluster(&Session::open(global)?).await?,
            };
            verify(&dir, &heads, offline)
        }
    }
}

fn unreadable(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("cannot read the audit in {}", dir.display()), chain(error))
}

/// Every record, oldest first. What is no record is shown as it is: verify names it.
fn each(dir: &Path, mut visit: impl FnMut(&Value)) -> Result<u64, Failure> {
    let mut last = 0;
    for (_, path) in journal::paths(dir).map_err(|error| unreadable(dir, &error))? {
        let file = File::open(path).map_err(|error| unreadable(dir, &error))?;
        for text in BufReader::new(file).lines() {
            let text = text.map_err(|error| unreadable(dir, &error))?;
            let record = serde_json::from_str(&text).unwrap_or(Value::String(text));
            last = record["seq"].as_u64().unwrap_or(last);
            visit(&record);
        }
    }
    Ok(last)
}

async fn tail(dir: &Path, count: usize, follow: bool) -> Result<Exit, Failure> {
    let mut records = std::collections::VecDeque::new();
    let mut last = each(dir, |record| {
        records.push_back(line(record));
        if records.len() > count {
            records.pop_front();
        }
    })?;
    records.iter().for_each(|record| terminal::print(record));
    if !follow {
        return Ok(Exit::Ok);
    }
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let shown = last;
        last = each(dir, |record| {
            if record["seq"].as_u64().is_some_and(|sequence| sequence > shown) {
                terminal::print(&line(record));
            }
        })?;
    }
}

fn filter(search: &SearchAudit) -> AuditFilter {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    AuditFilter {
        user: text(&search.user),
        object: text(&search.object),
        verb: text(&search.verb),
        refused: search.refused,
    }
}

/// One record on one line, for people.
fn line(record: &Value) -> String {
    let seconds = i64::try_from(record["time"].as_u64().unwrap_or_default() / 1_000).unwrap_or_default();
    let did = match text(record, "type") {
        "write" => format!("{} {}", text(record, "verb"), text(record, "object")),
        "call" => format!("{} {}", text(record, "method"), text(record, "object")),
        other => format!("{other} {}", record["count"].as_u64().map(|count| count.to_string()).unwrap_or_default()),
    };
    let what = [text(record, "result"), text(record, "code"), text(record, "message")];
    let what = what.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let user = match text(record, "user") {
        "" => "-",
        user => user,
    };
    format!("{} {} {} {}: {}\n", record["seq"], rfc3339(seconds), clean(user), clean(did.trim()), clean(&what))
}

fn verify(dir: &Path, heads: &[(String, Head)], offline: bool) -> Result<Exit, Failure> {
    let chain_name = std::fs::read_to_string(dir.join("chain")).map_err(|error| unreadable(dir, &error))?;
    let seen: Vec<Head> =
        heads.iter().filter(|(chain, _)| chain == chain_name.trim()).map(|(_, head)| head.clone()).collect();
    let verified = journal::verify(dir, &seen).map_err(|error| unreadable(dir, &error))?;
    for problem in &verified.problems {
        terminal::print(&format!("{problem}\n"));
    }
    let against = match (offline, seen.len()) {
        (true, _) => "without the heads that the registry remembers".to_owned(),
        (false, 0) => "the registry remembers no head of these files".to_owned(),
        (false, count) => format!("against {count} committed heads"),
    };
    let (first, last) = (verified.first, verified.head.sequence);
    if verified.problems.is_empty() {
        terminal::print(&format!("records {first} to {last} are whole, {against}\n"));
        return Ok(if seen.is_empty() && !offline { Exit::NotFound } else { Exit::Ok });
    }
    Err(Failure::new(Exit::Failed, "the audit is not whole", format!("{} problems", verified.problems.len())))
}

async fn heads_of_cluster(session: &Session) -> Result<Vec<(String, Head)>, Failure> {
    let listed = session.client.list(&Query::all(Kind::AuditHead)).await;
    let listed = listed.map_err(|error| Failure::from_client("cannot get the heads of audits", &error))?;
    Ok(listed.objects.iter().filter_map(head_of).collect())
}

fn heads_of_file(file: &Path) -> Result<Vec<(String, Head)>, Failure> {
    let bad = |why: String| Failure::bad_input(format!("cannot read {}", file.display()), why);
    let text = std::fs::read(file).map_err(|error| bad(chain(&error)))?;
    let value = manifest::value_from_json(&text).map_err(|error| bad(error.to_string()))?;
    let items = match value.get("items") {
        Some(Value::Array(items)) => items.clone(),
        _ => vec![value],
    };
    let objects = items.into_iter().map(|item| manifest::from_value(item).map_err(|error| bad(error.to_string())));
    Ok(objects.collect::<Result<Vec<_>, _>>()?.iter().filter_map(head_of).collect())
}

fn head_of(object: &Object) -> Option<(String, Head)> {
    match &object.body {
        Some(Body::AuditHead(head)) => {
            let spec = head.spec.clone()?;
            Some((spec.chain, Head { sequence: spec.sequence, hash: spec.hash }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use boss_base::journal::{Bounds, Journal};

    use super::*;

    fn files() -> (tempfile::TempDir, Head) {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds { file_bytes: 1 << 20, files_max: 2 };
        let mut journal = Journal::open(directory.path(), "c", bounds).unwrap();
        let records = [
            r#"{"time":1000,"type":"write","user":"rita","verb":"create","object":"pods/default/a","result":"done"}"#,
            r#"{"time":2000,"type":"call","user":"eve","method":"/boss.v1.Registry/Get","object":"Secret/x","code":"PERMISSION_DENIED"}"#,
        ];
        journal.append(records.into_iter()).unwrap();
        let head = journal.head().clone();
        (directory, head)
    }

    fn search(dir: &Path, change: impl FnOnce(&mut SearchAudit)) -> Vec<String> {
        let mut search = SearchAudit { dir: None, user: None, object: None, verb: None, refused: false };
        change(&mut search);
        let filter = filter(&search);
        let mut found = Vec::new();
        each(dir, |record| {
            if fits(&filter, record) {
                found.push(line(record));
            }
        })
        .unwrap();
        found
    }

    #[test]
    fn records_are_found_by_caller_object_verb_and_refusal() {
        let (directory, _) = files();
        let dir = directory.path();
        assert_eq!(search(dir, |_| ()).len(), 2);
        let rita = search(dir, |search| search.user = Some("rita".to_owned()));
        assert_eq!(rita, ["1 1970-01-01T00:00:01Z rita create pods/default/a: done\n"]);
        assert_eq!(search(dir, |search| search.refused = true).len(), 1);
        assert_eq!(search(dir, |search| search.object = Some("Secret/".to_owned())).len(), 1);
        assert_eq!(search(dir, |search| search.verb = Some("Registry/Get".to_owned())).len(), 1);
    }

    #[test]
    fn files_are_held_against_the_heads_of_their_own_chain() {
        let (directory, head) = files();
        let of = |chain: &str, sequence| (chain.to_owned(), Head { sequence, ..head.clone() });
        assert_eq!(verify(directory.path(), &[of("c", 2)], false).unwrap(), Exit::Ok);
        assert_eq!(verify(directory.path(), &[of("other", 9)], false).unwrap(), Exit::NotFound);
        assert_eq!(verify(directory.path(), &[], true).unwrap(), Exit::Ok);
        assert_eq!(verify(directory.path(), &[of("c", 3)], false).unwrap_err().exit, Exit::Failed);
        assert_eq!(verify(directory.path(), &[of("c", 1)], false).unwrap_err().exit, Exit::Failed);
    }
}
