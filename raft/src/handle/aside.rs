//! A server whose state differs from a majority's steps aside: it hands over, stops serving, fetches the majority's
//! state and asks to be started anew with it. Its log and its vote stay: they are what it acknowledged, and it goes on
//! voting and following meanwhile. Decides nothing about who is right.

use std::{io, time::Duration};

use boss_base::tasks::OnExit;
use boss_proto::{
    ids::ServerId,
    raft::v1::{SnapshotPart, snapshot_part::Part},
};
use tonic::Streaming;

use super::{Handle, start::spawn};
use crate::{
    metric_definitions::STATES_DIFFER,
    storage::{Mark, SnapshotFile, replacement},
    types::{LogId, Member},
};

/// Between two attempts at a snapshot of another server.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// A large snapshot has been made and has arrived by then.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl Handle {
    /// Somebody says that this server's state differs from a majority's. It looks itself before it believes that.
    pub(crate) fn told_to_step_aside(&self, agreed: Mark) {
        let own = self.0.published.marks().into_iter().find(|mark| mark.log_id == agreed.log_id);
        let Some(own) = own.filter(|own| own.hash != agreed.hash && self.why_aside().is_none()) else { return };
        let this = self.clone();
        spawn(&self.0.tasks, "look-at-own-state", OnExit::Log, async move {
            let check = this.compare(own).await;
            if check.odd().any(|odd| odd == this.0.server_id) {
                this.begin_aside(own.log_id, check.agreeing().collect());
            } else {
                tracing::warn!(
                    index = own.log_id.index,
                    "told of another state than this server's; it is no majority's"
                );
            }
        });
    }

    /// Begins to replace this server's state with that of the donors, unless it does so already.
    pub(super) fn begin_aside(&self, at: LogId, donors: Vec<ServerId>) {
        let reason = format!("this server's state differed from the majority's at entry {}", at.index);
        let began = self.0.aside.send_if_modified(|aside| {
            let first = aside.is_none();
            if first {
                *aside = Some(reason.clone());
            }
            first
        });
        if !began {
            return;
        }
        tracing::error!(?donors, "{reason}; it hands over, stops serving and takes theirs");
        metrics::gauge!(STATES_DIFFER).set(1.0);
        let this = self.clone();
        spawn(&self.0.tasks, "replace-state", OnExit::Log, async move {
            this.replace_state(at.index, &donors, &reason).await;
        });
    }

    /// Why this server serves nobody, if its state differs from the other servers'.
    #[must_use]
    pub fn why_aside(&self) -> Option<String> {
        self.0.aside.borrow().clone()
    }

    /// Why this server's state was replaced when it started, if it was.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.0.notice.as_deref()
    }

    /// Resolves with the reason when a state that was fetched waits for the next start of this server.
    pub async fn wants_restart(&self) -> String {
        let mut restart = self.0.restart.subscribe();
        match restart.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The sender is in `self`, and the wait is for `Some`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    async fn replace_state(&self, index: u64, donors: &[ServerId], reason: &str) {
        self.0.raft.runtime_config().elect(false);
        self.0.fanout.close();
        self.hand_over().await;
        loop {
            match self.fetch(index, donors, reason).await {
                Ok(from) => {
                    let ended = format!("{reason}; it starts anew with that of server {from}");
                    tracing::warn!("{ended}");
                    self.0.restart.send_replace(Some(ended));
                    return;
                }
                Err(error) => tracing::error!(%error, "no other server's state could be taken; it is tried again"),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// The first donor that gives a whole snapshot.
    async fn fetch(&self, index: u64, donors: &[ServerId], reason: &str) -> io::Result<ServerId> {
        let mut last = io::Error::other("none of those who have the majority's state is a member any more");
        for member in self.members().into_iter().filter(|member| donors.contains(&member.id)) {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.fetch_from(&member, index, reason)).await;
            match fetched.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(()) => return Ok(member.id),
                Err(error) => {
                    tracing::warn!(server = %member.id, %error, "it gave no snapshot");
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn fetch_from(&self, member: &Member, index: u64, reason: &str) -> io::Result<()> {
        // Read now, not before: compaction may have gone on.
        let min_index = index.max(self.status().snapshot_index);
        let parts = self.0.peers.fetch_snapshot(member, min_index).await.map_err(io::Error::other)?;
        let file = self.receive(parts).await?;
        let order = replacement::Order {
            data_dir: self.0.data_dir.clone(),
            cluster_id: self.0.cluster_id.clone(),
            min_index,
            reason: format!("{reason}; it was replaced by that of server {}", member.id),
        };
        let published = self.0.published.clone();
        let left = move || replacement::leave(published.snapshots(), &file, &order);
        self.0.tasks.run_blocking("leave-replacement", left).await.map_err(io::Error::other)?
    }

    async fn receive(&self, mut parts: Streaming<SnapshotPart>) -> io::Result<SnapshotFile> {
        let mut receiver = self.0.published.receive_snapshot().await?;
        while let Some(part) = parts.message().await.map_err(io::Error::other)? {
            match part.part {
                Some(Part::Chunk(chunk)) => receiver.write_chunk(&chunk).await?,
                Some(Part::Trailer(trailer)) => return receiver.finish(trailer.bytes, trailer.crc32).await,
                Some(Part::Header(_)) | None => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot ended before its trailer"))
    }
}
