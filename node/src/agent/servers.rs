//! Remembers who the cluster's servers are, beside the sandboxes: an agent that was given one server comes back also
//! after that one is gone. Asks nobody itself.

use std::{
    io,
    path::{Path, PathBuf},
};

use boss_base::{
    files,
    tasks::{OnExit, Tasks},
};
use boss_client::{Client, Endpoint};

/// One address a line.
const FILE: &str = "servers";
/// Several times the addresses of any cluster.
const FILE_BYTES_MAX: usize = 16 << 10;

/// What was configured, and then what an earlier agent has learned.
pub(super) fn with_remembered(configured: &[Endpoint], state_dir: &Path) -> Vec<Endpoint> {
    let mut servers = configured.to_vec();
    for server in remembered(&state_dir.join(FILE)) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// Learns from now on, and writes down what it learns.
pub(super) fn keep(client: &Client, state_dir: &Path, tasks: &Tasks) {
    let mut told = client.keep_servers_fresh(tasks);
    let (path, token, work) = (state_dir.join(FILE), tasks.token(), tasks.clone());
    tasks.spawn("server memory", OnExit::Log, async move {
        while let Some(Ok(())) = token.run_until_cancelled(told.changed()).await {
            let servers = told.borrow_and_update().clone();
            if !servers.is_empty() {
                write_down(&work, path.clone(), servers).await;
            }
        }
    });
}

/// Nothing depends on it while the agent lives, so a failure is only worth a line.
async fn write_down(tasks: &Tasks, path: PathBuf, servers: Vec<Endpoint>) {
    let written = tasks.run_blocking("server memory", move || remember(&path, &servers)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the cluster's servers cannot be written down"),
        Err(error) => tracing::warn!(%error, "the cluster's servers cannot be written down"),
    }
}

fn remember(path: &Path, servers: &[Endpoint]) -> io::Result<()> {
    let text: String = servers.iter().map(|server| format!("{server}\n")).collect();
    files::write_atomic(path, text.as_bytes(), files::PUBLIC)
}

/// A file that is missing or not ours to read is no memory; a line that is no address is none either.
fn remembered(path: &Path) -> Vec<Endpoint> {
    let bytes = files::read_bounded(path, FILE_BYTES_MAX).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Endpoint> {
        text.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn what_was_learned_comes_after_what_was_configured() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(with_remembered(&list("a:1"), folder.path()), list("a:1"));
        remember(&folder.path().join(FILE), &list("b:1 a:1 c:1")).unwrap();
        assert_eq!(with_remembered(&list("a:1"), folder.path()), list("a:1 b:1 c:1"));
    }

    #[test]
    fn a_damaged_memory_is_no_reason_to_stay_away() {
        let folder = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8], expected: &str| {
            std::fs::write(folder.path().join(FILE), bytes).unwrap();
            assert_eq!(with_remembered(&list("a:1"), folder.path()), list(expected));
        };
        check(b"\xff\xfe", "a:1");
        check(b"nonsense\nb:1\nhttp://c:1\n", "a:1 b:1");
        check(&vec![b'x'; FILE_BYTES_MAX + 1], "a:1");
    }
}
