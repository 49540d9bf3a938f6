//! `bossctl cluster snapshot`: the whole registry in a file, and a cluster from it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use boss_base::{clock::SystemClock, files, tasks::Tasks};
use boss_proto::{
    ids::ServerId,
    v1::{SavedSnapshot, save_snapshot_response::Part},
};
use boss_raft::{
    Member,
    backup::{self, BadSnapshot, Contents, Restore, RestoreError},
};

use crate::{
    args::{Answer, Global, RestoreSnapshot, Snapshot},
    failure::{Exit, Failure, chain},
    session::Session,
    terminal,
};

pub(super) async fn run(args: Snapshot, global: &Global) -> Result<Exit, Failure> {
    match args {
        Snapshot::Save { file } => save(&file, &Session::open(global)?).await,
        Snapshot::Verify { file, output } => verify(&file, output),
        Snapshot::Restore(args) => restore(args).await,
    }
}

/// A file that is being written; gone unless it is kept.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Beside the file that it will be, and for its owner only: it holds every secret of the cluster.
    fn create(target: &Path) -> io::Result<Self> {
        if target.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already"));
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let path = target.with_file_name(name);
        let _ = fs::remove_file(&path);
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().write(true).create_new(true).mode(files::PRIVATE).open(&path)?;
        Ok(Self { path, file })
    }

    fn keep(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => files::sync_directory(parent),
            _ => files::sync_directory(Path::new(".")),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Kept, it has another name by now.
        let _ = fs::remove_file(&self.path);
    }
}

async fn save(target: &Path, session: &Session) -> Result<Exit, Failure> {
    let cannot =
        |why: String| Failure::new(Exit::Failed, format!("cannot save a snapshot to {}", target.display()), why);
    let mut unfinished = Unfinished::create(target).map_err(|error| cannot(error.to_string()))?;
    let said = terminal::waiting("saving", receive(&mut unfinished.file, session)).await?;
    // What was written is what is checked, not what came.
    let contents = backup::verify(&unfinished.path).map_err(|error| cannot(chain(&error)))?;
    if contents.state_hash != said.state_hash {
        return Err(cannot("the file has another hash than the server said".to_owned()));
    }
    unfinished.keep(target).map_err(|error| cannot(error.to_string()))?;
    terminal::print(&format!("saved {} ({} bytes)\n{}", target.display(), said.bytes, describe(&contents)));
    Ok(Exit::Ok)
}

async fn receive(file: &mut File, session: &Session) -> Result<SavedSnapshot, Failure> {
    const WHAT: &str = "cannot save a snapshot";
    let failed = |why: String| Failure::new(Exit::Failed, WHAT, why);
    let mut parts = session.client.save_snapshot().await.map_err(|error| Failure::from_client(WHAT, &error))?;
    let (mut header, mut bytes) = (None, 0);
    while let Some(part) = parts.message().await.map_err(|status| failed(status.message().to_owned()))? {
        match part.part {
            Some(Part::Header(said)) => header = Some(said),
            Some(Part::Chunk(chunk)) => {
                bytes += chunk.len() as u64;
                file.write_all(&chunk).map_err(|error| failed(error.to_string()))?;
            }
            None => {}
        }
    }
    let header = header.ok_or_else(|| failed("the server said nothing about it".to_owned()))?;
    if header.bytes == bytes {
        Ok(header)
    } else {
        Err(failed(format!("{bytes} bytes came of {}; try again", header.bytes)))
    }
}

fn verify(file: &Path, answer: Answer) -> Result<Exit, Failure> {
    let contents = backup::verify(file).map_err(|error| {
        let exit = match error {
            BadSnapshot::Io(_) | BadSnapshot::NewerFormat { .. } | BadSnapshot::ForeignCluster { .. } => Exit::BadInput,
            BadSnapshot::Damaged(_) => Exit::Failed,
        };
        Failure::new(exit, format!("{} is no snapshot to rely on", file.display()), chain(&error))
    })?;
    terminal::print(&match answer {
        Answer::Table => describe(&contents),
        Answer::Json => format!("{:#}\n", as_json(&contents)),
    });
    Ok(Exit::Ok)
}

fn describe(contents: &Contents) -> String {
    let members = contents.members.iter().map(|member| format!("{} ({})", member.name, member.id));
    format!(
        "Cluster:      {}\nIncarnation:  {}\nMembers:      {}\nEntry:        {}\nRevision:     {}\nObjects:      \
         {}\nHash:         {}\nFormat:       {}\n",
        contents.cluster_id,
        contents.incarnation,
        members.collect::<Vec<_>>().join(", "),
        contents.index,
        contents.revision,
        contents.objects,
        contents.state_hash,
        contents.format,
    )
}

fn as_json(contents: &Contents) -> serde_json::Value {
    let members = contents.members.iter().map(|member| {
        serde_json::json!({
            "id": member.id.0, "name": member.name, "peerAddress": member.peer, "apiAddress": member.api,
        })
    });
    serde_json::json!({
        "clusterId": contents.cluster_id.as_str(),
        "incarnation": contents.incarnation.to_string(),
        "members": members.collect::<Vec<_>>(),
        "index": contents.index,
        "revision": contents.revision.0,
        "objects": contents.objects,
        "stateHash": contents.state_hash,
        "format": contents.format,
    })
}

async fn restore(args: RestoreSnapshot) -> Result<Exit, Failure> {
    let RestoreSnapshot { file, data_dir, id, name, peer, api } = args;
    let what = format!("cannot restore {}", file.display());
    let order = Restore { file, data_dir, member: Member { id: ServerId(id), name, peer, api } };
    let tasks = Tasks::new();
    let made = terminal::waiting("restoring", backup::restore(&order, Arc::new(SystemClock), &tasks)).await;
    tasks.cancel();
    let contents = made.map_err(|error| {
        let exit = match error {
            RestoreError::IdInUse { .. } | RestoreError::Occupied(_) | RestoreError::Empty => Exit::BadInput,
            RestoreError::Snapshot(_) | RestoreError::Io { .. } | RestoreError::Log(_) => Exit::Failed,
        };
        Failure::new(exit, what, chain(&error))
    })?;
    terminal::print(&format!(
        "made {}\n{}\nStart boss-server on it with id {id} and its own certificate, without --initialize. Servers of the \
         incarnation before are refused: add others as fresh members.\n",
        order.data_dir.display(),
        describe(&contents)
    ));
    Ok(Exit::Ok)
}
