//! Every kind of file in a server's folder, damaged in every way that disks and people damage files, with the verdict
//! that the start must give: it never starts with another state than the one that belongs to the entries.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    super::SledHome,
    life::{History, Life},
};

/// What becomes of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Everything is there.
    Whole,
    /// It refuses, naming a file and what is wrong, and changes nothing in the log.
    Refused,
}
use Verdict::{Refused, Whole};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// One byte in the middle of what is used of it.
    Flip,
    /// Its second half is gone.
    Truncate,
    /// The same length, and nothing but zeros.
    Zero,
    /// It holds what another file of its kind holds, and that one what it held.
    Swap,
    /// It is as it was some time ago.
    Old,
    /// It is not there.
    Remove,
}
use Damage::{Flip, Old, Remove, Swap, Truncate, Zero};

/// Which file; those that stand alone do so without the store, so that more depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    OldestSegment,
    NewestSegment,
    NewestSnapshot,
    NewestSnapshotAlone,
    BothSnapshotsAlone,
    Store,
    Pointer,
    Note,
}
use Target::*;

const LAST: u64 = 60;

/// A server's folder at entry 40, with what it was then, and at entry 60.
struct Folders {
    old: TempDir,
    new: TempDir,
}

impl Folders {
    async fn make() -> Self {
        let folders = Self { old: TempDir::new().unwrap(), new: TempDir::new().unwrap() };
        let (history, working) = (History::new(), TempDir::new().unwrap());
        let mut life = Life::begin(working.path()).await.unwrap();
        life.follow(&history, 25, drop).await;
        life.compact(5).await;
        life.follow(&history, 40, drop).await;
        life.end().await;
        copy(working.path(), folders.old.path());
        let mut life = Life::begin(working.path()).await.unwrap();
        life.follow(&history, 45, drop).await;
        life.compact(10).await;
        life.follow(&history, LAST, drop).await;
        life.end().await;
        copy(working.path(), folders.new.path());
        folders
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    paths.sort();
    paths
}

/// The files that are meant, the first one the one that counts most.
fn targets(dir: &Path, target: Target) -> Vec<PathBuf> {
    let reversed = |mut paths: Vec<PathBuf>| {
        paths.reverse();
        paths
    };
    match target {
        OldestSegment => files(&dir.join("log"), ".wal"),
        NewestSegment => reversed(files(&dir.join("log"), ".wal")),
        NewestSnapshot | NewestSnapshotAlone | BothSnapshotsAlone => {
            reversed(files(&dir.join("snapshots"), ".snapshot"))
        }
        Store => vec![SledHome::open(&dir.join("state")).unwrap().current_folder().unwrap().join("db")],
        Pointer => vec![dir.join("state").join("current")],
        Note => vec![dir.join("replace-state")],
    }
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn damage(dir: &Path, old: &Path, target: Target, damage: Damage) {
    if target == Note {
        let name = targets(dir, NewestSnapshot)[0].file_name().unwrap().to_string_lossy().into_owned();
        fs::write(dir.join("replace-state"), format!("{name}\nit differed\n")).unwrap();
    }
    let paths = targets(dir, target);
    let before = fs::read(&paths[0]).unwrap();
    let file = || File::options().write(true).open(&paths[0]).unwrap();
    match damage {
        Flip => {
            let middle = used(&before) / 2;
            file().write_all_at(&[!before[middle]], middle as u64).unwrap();
        }
        Truncate => file().set_len(used(&before) as u64 / 2).unwrap(),
        Zero => fs::write(&paths[0], vec![0; before.len()]).unwrap(),
        Swap => {
            fs::write(&paths[0], fs::read(&paths[1]).unwrap()).unwrap();
            fs::write(&paths[1], &before).unwrap();
        }
        Old => {
            fs::copy(old.join(paths[0].strip_prefix(dir).unwrap()), &paths[0]).unwrap();
        }
        Remove => fs::remove_file(&paths[0]).unwrap(),
    }
    match target {
        NewestSnapshotAlone => fs::remove_dir_all(dir.join("state")).unwrap(),
        BothSnapshotsAlone => {
            fs::remove_file(&paths[1]).unwrap();
            fs::remove_dir_all(dir.join("state")).unwrap();
        }
        _ => {}
    }
}

async fn verdict(folders: &Folders, target: Target, how: Damage) -> Result<(), String> {
    let (history, dir) = (History::new(), TempDir::new().unwrap());
    copy(folders.new.path(), dir.path());
    damage(dir.path(), folders.old.path(), target, how);
    let life =
        Life::begin(dir.path()).await.map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    let (applied, hash) = (life.applied(), life.hash());
    life.end().await;
    // Whatever it is: it must be the state of its entry, and of the last one.
    assert_eq!(hash, history.hash_at(applied), "{target:?} {how:?}: another state at entry {applied}");
    assert_eq!(applied, LAST, "{target:?} {how:?}: it starts without what it acknowledged");
    Ok(())
}

#[tokio::test]
async fn each_damage_to_each_file_gets_its_verdict() {
    let table = [
        // What is in the middle of the log, or vanished from it, was acknowledged.
        (OldestSegment, Flip, Refused),
        (OldestSegment, Truncate, Refused),
        (OldestSegment, Zero, Refused),
        (OldestSegment, Swap, Refused),
        (OldestSegment, Remove, Refused),
        (NewestSegment, Flip, Refused),
        (NewestSegment, Truncate, Refused),
        (NewestSegment, Zero, Refused),
        (NewestSegment, Swap, Refused),
        (NewestSegment, Remove, Refused),
        // The store needs no snapshot.
        (NewestSnapshot, Flip, Whole),
        (NewestSnapshot, Truncate, Whole),
        (NewestSnapshot, Zero, Whole),
        (NewestSnapshot, Swap, Whole),
        (NewestSnapshot, Remove, Whole),
        // Without the store the snapshot before serves, if the log reaches back to it.
        (NewestSnapshotAlone, Flip, Refused),
        (NewestSnapshotAlone, Truncate, Refused),
        (NewestSnapshotAlone, Zero, Refused),
        (NewestSnapshotAlone, Remove, Refused),
        (NewestSnapshotAlone, Swap, Whole),
        (BothSnapshotsAlone, Flip, Refused),
        // The store is only a copy.
        (Store, Flip, Whole),
        (Store, Truncate, Whole),
        (Store, Zero, Whole),
        (Store, Old, Whole),
        (Store, Remove, Whole),
        (Pointer, Flip, Whole),
        (Pointer, Truncate, Whole),
        (Pointer, Zero, Whole),
        (Pointer, Remove, Whole),
        (Note, Flip, Refused),
        (Note, Truncate, Refused),
        (Note, Zero, Refused),
        (Note, Remove, Whole),
    ];
    let (folders, mut wrong) = (Folders::make().await, Vec::new());
    for (target, how, expected) in table {
        let found = verdict(&folders, target, how).await;
        let reason = found.clone().err().unwrap_or_default();
        let names_a_file = found.is_ok() || reason.contains('/') || reason.contains("fresh id");
        if (if found.is_ok() { Whole } else { Refused }) != expected || !names_a_file {
            wrong.push(format!("{target:?} {how:?}: {reason:?}, expected {expected:?}"));
        }
        drop(writeln!(std::io::stderr(), "{target:?} {how:?}: {}", if found.is_ok() { "whole" } else { &reason }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
