//! A state that is to take the place of this server's own at its next start: a snapshot from another server, and a note
//! that names it and says why. The note goes when the new state stands, so that a crash anywhere begins again or
//! changes nothing. Knows no other server.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use boss_base::files;
use boss_proto::ids::ClusterId;
use openraft::{RaftLogReader, storage::RaftLogStorage};

use super::snapshot::{self, Directory, SnapshotFile};
use crate::{failpoints::failpoint, log::Log, state::Limits, types::LogId};

/// In the data folder: the name of the snapshot, a line end, the reason.
const NOTE: &str = "replace-state";
/// A name and a sentence.
const NOTE_BYTES_MAX: usize = 16 * 1024;

/// What the next start is to do.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) data_dir: PathBuf,
    pub(crate) cluster_id: ClusterId,
    /// The snapshot must reach at least here: the log may begin after it.
    pub(crate) min_index: u64,
    pub(crate) reason: String,
}

/// A replacement that was ordered and prepared.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    /// The last entry in the new state.
    pub(crate) log_id: LogId,
    pub(crate) reason: String,
}

/// Checks the snapshot whole, gives it its name and leaves the note.
pub(crate) fn leave(directory: &Directory, file: &SnapshotFile, order: &Order) -> io::Result<()> {
    let adopted = snapshot::read(file.path(), &order.cluster_id, Limits::default())
        .map_err(|error| invalid(error.to_string()))
        .and_then(|(_, place)| match place.log_id {
            Some(id) if id.index >= order.min_index => directory.adopt(file.path(), Some(id)),
            _ => Err(invalid(format!("it does not reach entry {}", order.min_index))),
        });
    if adopted.is_err() {
        directory.discard(file.path());
    }
    failpoint!("replacement.adopted");
    let adopted = adopted?;
    let name = adopted.path().file_name().unwrap_or_default().to_string_lossy();
    let note = format!("{name}\n{}\n", order.reason);
    files::write_atomic(&order.data_dir.join(NOTE), note.as_bytes(), files::PRIVATE)?;
    failpoint!("replacement.noted");
    Ok(())
}

/// The replacement that waits, if there is one. When this returns, the store and the other snapshots are gone, for none
/// of them may be believed, and the log holds nothing that contradicts the new state.
pub(crate) async fn prepare(data_dir: &Path, cluster_id: &ClusterId, log: &mut Log) -> io::Result<Option<Ordered>> {
    let note = match files::read_bounded(&data_dir.join(NOTE), NOTE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        note => String::from_utf8_lossy(&note?).into_owned(),
    };
    let (name, reason) = note.split_once('\n').unwrap_or((&note, ""));
    let path = data_dir.join("snapshots").join(name);
    let place = snapshot::read_meta(&path, cluster_id).and_then(|meta| Ok(meta.place()?));
    let place =
        place.map_err(|error| invalid(format!("{}, which is to replace the state: {error}", path.display())))?;
    let ordered = place.log_id.map(|log_id| Ordered { log_id, reason: reason.trim().to_owned() });
    let purged = log.get_log_state().await?.last_purged_log_id;
    let Some(ordered) = ordered.filter(|ordered| Some(ordered.log_id.index) >= purged.map(|id| id.index)) else {
        tracing::warn!(name, "the log begins after the state that was to replace this server's; it keeps its own");
        done(data_dir)?;
        return Ok(None);
    };
    if log.try_get_log_entries(ordered.log_id.index..=ordered.log_id.index).await?.first().map(|entry| entry.log_id)
        != Some(ordered.log_id)
    {
        // It ends before the new state, or what it holds there was never committed and nothing behind it was either.
        log.truncate_after(purged).await?;
    }
    failpoint!("replacement.log-fits");
    remove_all_but(data_dir, name)?;
    Ok(Some(ordered))
}

fn remove_all_but(data_dir: &Path, snapshot: &str) -> io::Result<()> {
    match fs::remove_dir_all(data_dir.join("state")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    failpoint!("replacement.store-removed");
    for entry in fs::read_dir(data_dir.join("snapshots"))? {
        let entry = entry?;
        if *entry.file_name() != *snapshot {
            fs::remove_file(entry.path())?;
            failpoint!("replacement.snapshot-removed");
        }
    }
    Ok(())
}

/// The new state stands: the next start is an ordinary one.
pub(crate) fn done(data_dir: &Path) -> io::Result<()> {
    failpoint!("replacement.stands");
    fs::remove_file(data_dir.join(NOTE))?;
    files::sync_directory(data_dir)?;
    failpoint!("replacement.done");
    Ok(())
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
