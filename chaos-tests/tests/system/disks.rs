//! Disks of ours as the kernel shows them: like any other folder, until they are told to fail.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use boss_chaos_tests::{
    cluster::or_fail,
    disk::{Command, Disk},
    needs,
    nemesis::Family,
    net,
    run_folder::RunFolder,
    wait,
};
use proptest::{prelude::*, test_runner::TestRunner};

const DISK: u64 = 64 << 20;
const NAMES: [&str; 5] = ["a", "b", "d", "d/a", "d/b"];

/// Does this with a fresh disk, on a machine of its own.
fn on_a_disk(work: impl AsyncFnOnce(&Disk) + Send) {
    if !needs::are_met(&[Family::DiskFull]) {
        return;
    }
    let done = net::on_own_machine(async || {
        let folder = RunFolder::create().expect("a folder can be made");
        let there = folder.path().join("disk");
        fs::create_dir(&there).expect("the folder is ours");
        let disk = Disk::mount(folder.path(), &there, DISK).await.expect("root may do this");
        work(&disk).await;
    });
    done.expect("root may do this");
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, u64, usize, u8),
    Append(usize, usize, u8),
    Replace(usize, usize, u8),
    Resize(usize, u64),
    Allocate(usize, u64),
    Rename(usize, usize),
    Remove(usize),
    MakeFolder(usize),
    RemoveFolder(usize),
    Link(usize, usize),
    Read(usize, u64, usize),
    Sync(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..NAMES.len();
    prop_oneof![
        4 => (at(), 0..40_000_u64, 1..20_000_usize, 1..=255_u8).prop_map(|(at, offset, length, byte)| {
            Step::Write(at, offset, length, byte)
        }),
        2 => (at(), 1..9_000_usize, 1..=255_u8).prop_map(|(at, length, byte)| Step::Append(at, length, byte)),
        2 => (at(), 1..9_000_usize, 1..=255_u8).prop_map(|(at, length, byte)| Step::Replace(at, length, byte)),
        1 => (at(), 0..40_000_u64).prop_map(|(at, size)| Step::Resize(at, size)),
        1 => (at(), 1..40_000_u64).prop_map(|(at, size)| Step::Allocate(at, size)),
        2 => (at(), at()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => at().prop_map(Step::Remove),
        2 => at().prop_map(Step::MakeFolder),
        1 => at().prop_map(Step::RemoveFolder),
        1 => (at(), at()).prop_map(|(at, to)| Step::Link(at, to)),
        2 => (at(), 0..40_000_u64, 1..20_000_usize).prop_map(|(at, offset, length)| Step::Read(at, offset, length)),
        1 => at().prop_map(Step::Sync),
    ]
}

/// What a call says: bytes, or the number of its error.
fn take(root: &Path, step: &Step) -> Result<Vec<u8>, Option<i32>> {
    let at = |number: usize| root.join(NAMES[number]);
    let existing = |number: usize| OpenOptions::new().read(true).write(true).open(at(number));
    let nothing = |done: io::Result<()>| done.map(|()| Vec::new());
    let done = match *step {
        Step::Write(number, offset, length, byte) => {
            nothing(existing(number).and_then(|file| file.write_all_at(&vec![byte; length], offset)))
        }
        Step::Append(number, length, byte) => {
            let opened = OpenOptions::new().append(true).create(true).open(at(number));
            nothing(opened.and_then(|mut file| file.write_all(&vec![byte; length])))
        }
        Step::Replace(number, length, byte) => {
            nothing(File::create(at(number)).and_then(|mut file| file.write_all(&vec![byte; length])))
        }
        Step::Resize(number, size) => nothing(existing(number).and_then(|file| file.set_len(size))),
        Step::Allocate(number, size) => nothing(existing(number).and_then(|file| {
            let size = i64::try_from(size).expect("it is small");
            nix::fcntl::posix_fallocate(&file, 0, size).map_err(io::Error::from)
        })),
        Step::Rename(from, to) => nothing(fs::rename(at(from), at(to))),
        Step::Remove(number) => nothing(fs::remove_file(at(number))),
        Step::MakeFolder(number) => nothing(fs::create_dir(at(number))),
        Step::RemoveFolder(number) => nothing(fs::remove_dir(at(number))),
        Step::Link(number, to) => nothing(std::os::unix::fs::symlink(NAMES[to], at(number))),
        Step::Read(number, offset, length) => File::open(at(number)).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        }),
        Step::Sync(number) => nothing(File::open(at(number)).and_then(|file| file.sync_all())),
    };
    done.map_err(|error| error.raw_os_error())
}

/// Every path with what there is to know about it.
fn tree(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(root.join(&folder)).expect("it is there").flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = folder.join(entry.file_name());
            let meta = entry.path().symlink_metadata().expect("it is there");
            let text = if meta.is_dir() {
                folders.push(path.clone());
                "a folder".to_owned()
            } else if meta.is_symlink() {
                format!("a link to {}", fs::read_link(entry.path()).expect("it is there").display())
            } else {
                format!("{} bytes: {:?}", meta.size(), fs::read(entry.path()).expect("it is there"))
            };
            found.push((path, text));
        }
    }
    found
}

#[test]
fn a_disk_of_ours_does_what_any_folder_does() {
    on_a_disk(async |disk| {
        let mut runner = TestRunner::new(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() });
        let plain = tempfile::TempDir::new().expect("a folder can be made");
        let number = std::cell::Cell::new(0);
        let checked = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
            number.set(number.get() + 1);
            let folder = format!("case-{}", number.get());
            let [ours, theirs] = [disk.folder(), plain.path()].map(|root| root.join(&folder));
            for root in [&ours, &theirs] {
                fs::create_dir(root).expect("it is the first of its name");
            }
            for step in &steps {
                prop_assert_eq!(take(&ours, step), take(&theirs, step), "{:?}", step);
            }
            prop_assert_eq!(tree(&ours), tree(&theirs));
            fs::remove_dir_all(&ours).expect("all of it can be removed");
            prop_assert!(!ours.exists());
            Ok(())
        });
        checked.expect("they do the same");
    });
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_what_was_open() {
    on_a_disk(async |disk| {
        let path = |name: &str| disk.folder().join(name);
        fs::write(path("kept"), "old").expect("there is room");
        File::open(path("kept")).and_then(|file| file.sync_all()).expect("nothing is wrong with it");
        File::open(disk.folder()).and_then(|folder| folder.sync_all()).expect("nothing is wrong with it");
        fs::write(path("kept"), "new and longer").expect("there is room");
        fs::write(path("lost"), "x").expect("there is room");
        let open = File::open(path("kept")).expect("it is there");

        disk.tell(&Command::LoseUnsynced).expect("it takes commands");
        assert_eq!(fs::read_to_string(path("kept")).expect("it was synced"), "old");
        assert_eq!(fs::metadata(path("kept")).expect("it was synced").len(), 3);
        assert!(!path("lost").exists());
        assert!(open.read_at(&mut [0; 1], 0).is_err(), "it was opened before the cut");
        fs::write(path("lost"), "y").expect("there is room");
        assert_eq!(fs::read_to_string(path("lost")).expect("it is there"), "y");
    });
}

#[test]
fn a_disk_fails_as_it_is_told_to_and_is_well_again_when_healed() {
    on_a_disk(async |disk| {
        let path = disk.folder().join("f");
        let file = File::create(&path).expect("there is room");
        let errno = |done: io::Result<()>| done.err().and_then(|error| error.raw_os_error());
        let tell = |command: Command| disk.tell(&command).expect("it takes commands");

        file.write_all_at(b"x", 0).expect("there is room");
        tell(Command::FailSyncs { within: String::new(), times: 1, drops: true });
        assert_eq!(errno(file.sync_all()), Some(nix::libc::EIO));
        tell(Command::FailWrites { within: String::new(), times: 1 });
        assert_eq!(errno(file.write_all_at(b"y", 0)), Some(nix::libc::EIO));
        tell(Command::Fill);
        assert_eq!(errno(file.write_all_at(b"y", 8_192)), Some(nix::libc::ENOSPC));
        tell(Command::Room { bytes: DISK });
        file.write_all_at(b"y", 8_192).expect("there is room again");
        tell(Command::ReadOnly { on: true });
        assert_eq!(errno(file.write_all_at(b"z", 0)), Some(nix::libc::EROFS));
        assert_eq!(errno(fs::write(disk.folder().join("g"), "")), Some(nix::libc::EROFS));
        tell(Command::Heal);
        let right = fs::read(&path).expect("it is there");
        tell(Command::Flip { within: String::new(), seed: 1, bits: 1 });
        assert!(fs::read(&path).expect("it is there") != right, "the bit reads as it was written");
        tell(Command::Heal);
        assert!(fs::read(&path).expect("it is there") == right, "the bit is still wrong");
        assert_eq!(tell(Command::Look).laid, 0);
    });
}

#[test]
fn a_slow_disk_takes_its_time_for_each_sync() {
    on_a_disk(async |disk| {
        let file = File::create(disk.folder().join("f")).expect("there is room");
        disk.tell(&Command::Slow { sync_ms: 300 }).expect("it takes commands");
        file.write_all_at(b"x", 0).expect("a write is as fast as ever");
        let began = tokio::time::Instant::now();
        file.sync_all().expect("nothing is wrong with it");
        assert!(began.elapsed().as_millis() >= 300, "{:?}", began.elapsed());
    });
}

#[test]
fn a_disk_is_gone_with_its_handle() {
    if !needs::are_met(&[Family::DiskFull]) {
        return;
    }
    let done = net::on_own_machine(async || {
        let folder = RunFolder::create().expect("a folder can be made");
        let there = folder.path().join("disk");
        fs::create_dir(&there).expect("the folder is ours");
        let before = fs::metadata(&there).expect("it is there").dev();
        let disk = Disk::mount(folder.path(), &there, DISK).await.expect("root may do this");
        let busy = File::create(there.join("f")).expect("there is room");
        drop(disk);
        let gone = wait::until("it is unmounted", std::time::Duration::from_secs(30), async || {
            wait::holds(fs::metadata(&there).is_ok_and(|meta| meta.dev() == before), "it is still there")
        });
        or_fail(gone.await);
        assert!(busy.write_all_at(b"x", 0).is_err(), "nobody serves it any more");
    });
    done.expect("root may do this");
}
