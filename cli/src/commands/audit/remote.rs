//! The same from a running cluster: each server tells what it has kept, and the records of all are merged. A write is in
//! every server's files and shown once. Knows no file.

use std::{
    collections::{HashSet, VecDeque},
    path::PathBuf,
};

use boss_base::journal::{Head, Verified, Verifier};
use boss_client::{Client, Config, Endpoint, Error as ClientError};
use boss_proto::{
    audit::text,
    v1::{AuditFilter, ReadAuditRequest, ReadAuditResponse},
};
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use serde_json::Value;
use tonic::Streaming;

use super::{heads_of_cluster, line};
use crate::{
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

/// Writes that are remembered as shown: what servers tell of one write lies closer together.
const SHOWN_MAX: usize = 20_000;
const WHAT: &str = "cannot read the audit";

/// One server's records, as they come.
struct Source {
    server: Endpoint,
    answers: Streaming<ReadAuditResponse>,
    waiting: VecDeque<Value>,
    /// Number of the last one that was taken.
    last: u64,
    problem: Option<String>,
}

impl Source {
    async fn open(
        config: &Config,
        server: Endpoint,
        request: ReadAuditRequest,
    ) -> Result<Self, (Endpoint, ClientError)> {
        let own = Config { servers: vec![server.clone()], ..config.clone() };
        let opened = async { Client::connect(own)?.read_audit(request).await };
        match opened.await {
            Ok(answers) => Ok(Self { server, answers, waiting: VecDeque::new(), last: 0, problem: None }),
            Err(error) => Err((server, error)),
        }
    }

    /// Sees to it that the next record is there, if there will be one.
    async fn fill(&mut self) {
        while self.waiting.is_empty() && self.problem.is_none() {
            match self.answers.message().await {
                Ok(Some(answer)) => self.waiting.extend(answer.lines.into_iter().map(|line| record(&line))),
                Ok(None) => return,
                Err(status) => self.problem = Some(status.message().to_owned()),
            }
        }
    }

    fn next_time(&self) -> Option<u64> {
        self.waiting.front().map(|record| record["time"].as_u64().unwrap_or_default())
    }

    fn take(&mut self) -> Option<Value> {
        let record = self.waiting.pop_front()?;
        self.last = record["seq"].as_u64().unwrap_or(self.last);
        Some(record)
    }
}

fn record(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))
}

/// Which writes were shown, the latest of them.
#[derive(Default)]
struct Shown {
    keys: HashSet<(u64, u64)>,
    order: VecDeque<(u64, u64)>,
}

impl Shown {
    /// Whether the record tells nothing that another server has not told.
    fn is_known(&mut self, record: &Value) -> bool {
        let (Some(index), Some(ordinal)) = (record["index"].as_u64(), record["ordinal"].as_u64()) else { return false };
        if text(record, "type") != "write" {
            return false;
        }
        if !self.keys.insert((index, ordinal)) {
            return true;
        }
        self.order.push_back((index, ordinal));
        if self.order.len() > SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        false
    }
}

/// The records of all servers that answer; a note for each that does not.
async fn sources(session: &Session, request: &ReadAuditRequest) -> Result<Vec<Source>, Failure> {
    session.learn_servers().await;
    let servers = session.client.servers();
    let opened = servers.into_iter().map(|server| Source::open(&session.config, server, request.clone()));
    let (mut sources, mut failed) = (Vec::new(), None);
    for opened in join_all(opened).await {
        match opened {
            Ok(source) => sources.push(source),
            Err((server, error)) => {
                terminal::note(&format!("the audit of {server} cannot be read: {error}"));
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if sources.is_empty() => Err(Failure::from_client(WHAT, &error)),
        _ => Ok(sources),
    }
}

/// Every record of all sources in the order of their times, each write once.
async fn merged(sources: &mut [Source], shown: &mut Shown, mut visit: impl FnMut(&Endpoint, Value)) {
    loop {
        join_all(sources.iter_mut().map(Source::fill)).await;
        let oldest =
            sources.iter_mut().filter(|source| !source.waiting.is_empty()).min_by_key(|source| source.next_time());
        let Some(source) = oldest else { return };
        let Some(record) = source.take() else { return };
        if !shown.is_known(&record) {
            visit(&source.server, record);
        }
    }
}

fn print(server: &Endpoint, record: &Value) {
    terminal::print(&format!("{server} {}", line(record)));
}

/// What did not come to its end, as an exit code.
fn end(sources: &[Source]) -> Exit {
    let mut exit = Exit::Ok;
    for source in sources {
        if let Some(problem) = &source.problem {
            terminal::note(&format!("the audit of {} broke off: {problem}", source.server));
            exit = Exit::Unavailable;
        }
    }
    exit
}

pub(super) async fn search(session: &Session, filter: AuditFilter) -> Result<Exit, Failure> {
    let request = ReadAuditRequest { filter: Some(filter), ..ReadAuditRequest::default() };
    let mut sources = sources(session, &request).await?;
    merged(&mut sources, &mut Shown::default(), |server, record| print(server, &record)).await;
    Ok(end(&sources))
}

pub(super) async fn tail(session: &Session, count: usize, follow: bool) -> Result<Exit, Failure> {
    let last = u32::try_from(count).unwrap_or(u32::MAX);
    let mut sources = sources(session, &ReadAuditRequest { last, ..ReadAuditRequest::default() }).await?;
    let (mut shown, mut records) = (Shown::default(), VecDeque::new());
    merged(&mut sources, &mut shown, |server, record| {
        records.push_back((server.clone(), record));
        if records.len() > count {
            records.pop_front();
        }
    })
    .await;
    records.iter().for_each(|(server, record)| print(server, record));
    let exit = end(&sources);
    if !follow {
        return Ok(exit);
    }
    let following = sources.into_iter().map(|source| {
        let request = ReadAuditRequest { after: source.last, follow: true, ..ReadAuditRequest::default() };
        Source::open(&session.config, source.server, request)
    });
    let mut waiting: FuturesUnordered<_> = FuturesUnordered::new();
    for source in join_all(following).await.into_iter().flatten() {
        waiting.push(filled(source));
    }
    while let Some(mut source) = waiting.next().await {
        while let Some(record) = source.take() {
            if !shown.is_known(&record) {
                print(&source.server, &record);
            }
        }
        match &source.problem {
            None => waiting.push(filled(source)),
            Some(problem) => terminal::note(&format!("the audit of {} broke off: {problem}", source.server)),
        }
    }
    Ok(Exit::Unavailable)
}

async fn filled(mut source: Source) -> Source {
    source.fill().await;
    if source.waiting.is_empty() && source.problem.is_none() {
        source.problem = Some("the server ended it".to_owned());
    }
    source
}

/// Reads every record of every server, and holds them against the heads that the registry remembered before.
pub(super) async fn verify(session: &Session) -> Result<Exit, Failure> {
    let heads = heads_of_cluster(session).await?;
    let sources = sources(session, &ReadAuditRequest::default()).await?;
    let servers = session.client.servers().len();
    let (mut problems, mut unread) = (0, servers.saturating_sub(sources.len()));
    for source in sources {
        let server = source.server.clone();
        match verify_one(source, &heads).await {
            Ok(verified) => {
                for problem in &verified.problems {
                    terminal::print(&format!("{problem}\n"));
                }
                problems += verified.problems.len();
                let (first, last) = (verified.first, verified.head.sequence);
                let word = if verified.problems.is_empty() { "whole" } else { "not whole" };
                terminal::print(&format!("{server}: records {first} to {last} are {word}\n"));
            }
            Err(problem) => {
                terminal::note(&format!("the audit of {server} broke off: {problem}"));
                unread += 1;
            }
        }
    }
    match (problems, unread) {
        (0, 0) => Ok(Exit::Ok),
        (0, _) => Ok(Exit::Unavailable),
        _ => Err(Failure::new(Exit::Failed, "the audit is not whole", format!("{problems} problems"))),
    }
}

async fn verify_one(mut source: Source, heads: &[(String, Head)]) -> Result<Verified, String> {
    let place = PathBuf::from(source.server.to_string());
    let mut verifier: Option<Verifier> = None;
    while let Some(answer) = source.answers.message().await.map_err(|status| status.message().to_owned())? {
        let seen = || -> Vec<Head> {
            heads.iter().filter(|(chain, _)| *chain == answer.chain).map(|(_, head)| head.clone()).collect()
        };
        let verifier = verifier.get_or_insert_with(|| Verifier::new(&seen()));
        answer.lines.iter().for_each(|line| verifier.line(&place, line.as_bytes()));
    }
    Ok(verifier.map(Verifier::finish).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_write_is_shown_once_and_calls_always() {
        let mut shown = Shown::default();
        let write = json!({"type": "write", "index": 7, "ordinal": 0});
        assert_eq!([shown.is_known(&write), shown.is_known(&write)], [false, true]);
        assert!(!shown.is_known(&json!({"type": "write", "index": 7, "ordinal": 1})));
        let call = json!({"type": "call", "index": 7});
        assert_eq!([shown.is_known(&call), shown.is_known(&call)], [false, false]);
        for index in 8..=(SHOWN_MAX as u64 + 8) {
            assert!(!shown.is_known(&json!({"type": "write", "index": index, "ordinal": 0})));
        }
        assert!(!shown.is_known(&write), "long forgotten");
        assert_eq!(shown.keys.len(), SHOWN_MAX);
    }
}
