//! Snapshots in the hands of people: what a file holds, and a new cluster from it. Works on files alone; no server
//! runs meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use boss_base::{
    clock::Clock,
    files,
    tasks::{Blocking, Tasks},
};
use boss_proto::{
    ids::{ClusterId, Incarnation, Revision, ServerId},
    key::Key,
    v1::object::Body,
};
use openraft::storage::RaftLogStorage;

use crate::{
    config::Limits,
    disk::Room,
    log::{self, Log, Owner},
    state::State,
    storage::{Place, snapshot},
    types::{LogId, Member, Membership, StoredMembership, Vote},
};

pub use crate::storage::snapshot::BadSnapshot;

/// What a whole snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Whose state it is.
    pub cluster_id: ClusterId,
    /// The life of the cluster that it was taken in.
    pub incarnation: Incarnation,
    /// The last entry in it.
    pub index: u64,
    /// The revision of the registry.
    pub revision: Revision,
    /// Number of objects.
    pub objects: u64,
    /// Hash of the state.
    pub state_hash: String,
    /// The format that it was written in.
    pub format: u32,
    /// The servers of the cluster at that time, voters and learners.
    pub members: Vec<Member>,
}

/// Reads a file whole and checks every part of it.
pub fn verify(file: &Path) -> Result<Contents, BadSnapshot> {
    read(file).map(|(contents, _, _)| contents)
}

fn read(file: &Path) -> Result<(Contents, State, Place), BadSnapshot> {
    let (meta, state, place) = snapshot::read_any(file)?;
    let members = place.membership.membership().nodes().map(|(id, address)| Member::new(*id, address.clone()));
    let contents = Contents {
        cluster_id: ClusterId::new(meta.cluster_id),
        incarnation: state.incarnation(),
        index: place.log_id.map_or(0, |id| id.index),
        revision: state.revision(),
        objects: state.len() as u64,
        state_hash: state.hash().to_string(),
        format: meta.format,
        members: members.collect(),
    };
    Ok((contents, state, place))
}

/// A server to be made from a snapshot.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The snapshot.
    pub file: PathBuf,
    /// The data folder to make; must be empty or missing.
    pub data_dir: PathBuf,
    /// The one member of the new incarnation. Its id must never have been a member's.
    pub member: Member,
}

/// Nothing was restored; the data folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is no whole snapshot.
    #[error(transparent)]
    Snapshot(#[from] BadSnapshot),
    /// It holds nothing: it was taken before the cluster was formed.
    #[error("the snapshot holds no entry; take one of a formed cluster")]
    Empty,
    /// The id may belong to a server of the life before, whose disk may come back.
    #[error(
        "server ids up to {highest} were given out before the snapshot was taken, so {id} may come back: choose a higher one"
    )]
    IdInUse {
        /// The id.
        id: ServerId,
        /// No server gets an id up to here any more.
        highest: ServerId,
    },
    /// Something is in the folder.
    #[error("{} is not empty: a restore makes a data folder, it never changes one", .0.display())]
    Occupied(PathBuf),
    /// The disk says no.
    #[error("{}", path.display())]
    Io {
        /// What was written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The log of the new server could not be made.
    #[error("the log of the new server cannot be made")]
    Log(#[from] log::OpenError),
}

/// Makes the data folder of one fresh server that is a cluster of its own, in a new incarnation, with the state of the
/// snapshot. The folder appears whole or not at all.
pub async fn restore(restore: &Restore, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Contents, RestoreError> {
    let (contents, mut state, place) = read(&restore.file)?;
    let last = place.log_id.ok_or(RestoreError::Empty)?;
    let (id, highest) = (restore.member.id, highest_id(&contents, &state));
    if id <= highest {
        return Err(RestoreError::IdInUse { id, highest });
    }
    check_free(&restore.data_dir)?;
    state.begin_incarnation(Incarnation::random());
    let place = Place { log_id: Some(last), membership: Arc::new(alone(&restore.member, last)) };
    let folder = unfinished(&restore.data_dir);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    remove_unfinished(&folder).map_err(at(&folder))?;
    files::create_private_directory(&folder).map_err(at(&folder))?;
    write_snapshot(&folder, &contents.cluster_id, &place, &state).map_err(at(&folder))?;
    let owner = Owner { cluster_id: contents.cluster_id.clone(), server_id: restore.member.id };
    write_log(&folder.join("log"), owner, last, clock, tasks).await?;
    files::sync_directory(&folder).map_err(at(&folder))?;
    fs::rename(&folder, &restore.data_dir).map_err(at(&restore.data_dir))?;
    let parent = parent_of(&restore.data_dir);
    files::sync_directory(&parent).map_err(at(&parent))?;
    let (incarnation, revision) = (state.incarnation(), state.revision());
    let state_hash = state.hash().to_string();
    Ok(Contents { incarnation, revision, state_hash, members: vec![restore.member.clone()], ..contents })
}

/// The highest id that any server had, as far as the snapshot knows.
fn highest_id(contents: &Contents, state: &State) -> ServerId {
    let noted = state.get(&Key::control_plane()).and_then(|record| match &record.object.body {
        Some(Body::ControlPlane(plane)) => plane.spec.as_ref().map(|spec| ServerId(spec.highest_server_id)),
        _ => None,
    });
    contents.members.iter().map(|member| member.id).chain(noted).max().unwrap_or_default()
}

fn alone(member: &Member, at: LogId) -> StoredMembership {
    let nodes = BTreeMap::from([(member.id.0, member.address())]);
    let membership = Membership::new(vec![BTreeSet::from([member.id.0])], nodes);
    StoredMembership::new(Some(at), membership.expect("the one voter has its address"))
}

fn check_free(data_dir: &Path) -> Result<(), RestoreError> {
    let mut entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| RestoreError::Io { path: data_dir.to_owned(), source })?,
    };
    if entries.next().is_none() { Ok(()) } else { Err(RestoreError::Occupied(data_dir.to_owned())) }
}

/// Beside the folder, so that one rename makes it whole.
fn unfinished(data_dir: &Path) -> PathBuf {
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    parent_of(data_dir).join(format!(".{name}.restoring"))
}

fn parent_of(data_dir: &Path) -> PathBuf {
    match data_dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn remove_unfinished(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn write_snapshot(folder: &Path, cluster_id: &ClusterId, place: &Place, state: &State) -> io::Result<()> {
    let directory = snapshot::Directory::open(&folder.join("snapshots"), Blocking::Threads)?;
    let temporary = directory.temporary();
    let file = fs::File::options().write(true).create_new(true).open(&temporary)?;
    snapshot::write(&file, cluster_id, place, state)?;
    directory.adopt(&temporary, place.log_id).map(drop)
}

/// A log that begins after the snapshot. Its vote is of the snapshot's term: the next leader's term is above it, as log
/// ids demand.
async fn write_log(
    dir: &Path,
    owner: Owner,
    last: LogId,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<(), RestoreError> {
    let limits = Limits::default();
    let server = owner.server_id;
    let options = log::Options {
        dir: dir.to_owned(),
        owner,
        segment_bytes: limits.segment_bytes,
        cache_bytes: limits.cache_bytes,
        room: Room::unlimited(),
    };
    let mut log = Log::open(options, clock, tasks.clone())?;
    let written = async {
        log.save_vote(&Vote::new(last.leader_id.term, server.0)).await?;
        log.purge(last).await?;
        log.close().await
    };
    written.await.map_err(|source| RestoreError::Io { path: dir.to_owned(), source })
}

#[cfg(test)]
mod tests;
