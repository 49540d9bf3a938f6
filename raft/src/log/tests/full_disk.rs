//! A disk without room: votes find theirs in the reserve, and a process that dies of it starts again.

use super::*;
use crate::disk::Room;

/// A file system in memory, gone with the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(dir.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        writeln!(io::stderr(), "skipped: mounting a small disk needs root").unwrap();
        None
    }

    fn fill(&self) {
        let mut filler = File::create(self.0.path().join("filler")).unwrap();
        while filler.write_all(&[0x5a; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn options_with(room: &Room, disk: &SmallDisk) -> Options {
    Options { room: room.clone(), segment_bytes: 64 * 1024, ..options(&disk.0.path().join("log")) }
}

#[tokio::test]
async fn votes_of_many_elections_find_room_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let room = Room::new(disk.0.path(), 2 << 20);
    room.look().unwrap();
    let mut open = Open::try_on(SystemDisk, options_with(&room, &disk)).unwrap();
    open.append((0..10).map(entry).collect()).await.unwrap();
    disk.fill();
    room.look().unwrap();
    assert!(room.is_full());
    // More than the segment at hand has room for.
    for term in 2..3_000 {
        open.log.save_vote(&Vote::new(term, 1)).await.unwrap();
    }
    open.close().await;
    assert!(files(&disk.0.path().join("log")).len() > 1);
    let again = Open::try_on(SystemDisk, options_with(&room, &disk)).unwrap();
    assert_eq!((again.log.vote(), again.log.last()), (Some(Vote::new(2_999, 1)), Some(id(9))));
}

#[tokio::test]
async fn a_log_without_reserve_on_a_full_disk_fails_and_keeps_what_it_acknowledged() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut open = Open::try_on(SystemDisk, options_with(&Room::unlimited(), &disk)).unwrap();
    open.append(vec![entry(0)]).await.unwrap();
    disk.fill();
    let mut acknowledged = 0;
    while open.append(vec![entry(acknowledged + 1)]).await.is_ok() {
        acknowledged += 1;
    }
    open.tasks.failed().await;
    assert!(open.log.failure().borrow().as_deref().unwrap().contains("No space left"), "{:?}", open.log.failure());
    drop(open);
    // Nothing was made room for: a start needs none.
    let again = Open::try_on(SystemDisk, options_with(&Room::unlimited(), &disk)).unwrap();
    assert_eq!(again.log.last(), Some(id(acknowledged)));
}
