//! Each thing that can go wrong with a disk, one by one.

use std::collections::BTreeSet;

use nix::errno::Errno;

use super::{
    super::{
        Command,
        content::{PAGE, SECTOR},
        control::carry_out,
        store::{Ino, ROOT, Store},
    },
    DISK, meta, name,
};

/// A disk with one file of two pages of `A`, synced.
fn with_a_file() -> (Store, Ino) {
    let mut store = Store::new(DISK);
    let ino = store.make_file(ROOT, name("f"), meta()).expect("it is empty").ino;
    store.write(ino, 0, &[b'A'; 2 * PAGE]).expect("there is room");
    store.sync(ino).expect("nothing is wrong with it");
    store.sync(ROOT).expect("nothing is wrong with it");
    (store, ino)
}

#[test]
fn a_write_is_torn_at_sectors_and_pages_come_in_any_order() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (mut store, ino) = with_a_file();
        store.write(ino, 0, &[b'B'; 2 * PAGE]).expect("there is room");
        store.tear(seed);
        let bytes = store.read(ino, 0, 2 * PAGE).expect("it is there");
        let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
        let first: BTreeSet<u8> = sectors[..PAGE / SECTOR].iter().copied().collect();
        assert_eq!(first.len(), 1, "a page that is not the last one came in part");
        seen.insert((first.contains(&b'B'), sectors.iter().filter(|byte| **byte == b'B').count() % (PAGE / SECTOR)));
    }
    assert!(seen.len() >= PAGE / SECTOR, "{seen:?}");
}

#[test]
fn a_sync_that_fails_may_forget_what_was_to_be_synced() {
    for drops in [false, true] {
        let (mut store, ino) = with_a_file();
        carry_out(&mut store, &Command::FailSyncs { within: "f".to_owned(), times: 1, drops });
        store.write(ino, 0, b"B").expect("there is room");
        assert_eq!(store.sync(ino), Err(Errno::EIO));
        assert_eq!(store.sync(ino), Ok(()), "the second one says that all is well");
        assert_eq!(store.read(ino, 0, 1).as_deref(), Ok(&b"B"[..]), "as the kernel's cache does");
        store.lose_unsynced();
        let survived = if drops { b"A" } else { b"B" };
        assert_eq!(store.read(ino, 0, 1).as_deref(), Ok(&survived[..]), "drops: {drops}");
    }
}

#[test]
fn faults_hit_what_lies_in_their_folder_only() {
    let (mut store, ino) = with_a_file();
    carry_out(&mut store, &Command::FailSyncs { within: "elsewhere".to_owned(), times: 1, drops: true });
    carry_out(&mut store, &Command::FailWrites { within: "elsewhere".to_owned(), times: 1 });
    store.write(ino, 0, b"B").expect("it is not hit");
    store.sync(ino).expect("it is not hit");
    carry_out(&mut store, &Command::FailWrites { within: String::new(), times: 1 });
    assert_eq!(store.write(ino, 0, b"C"), Err(Errno::EIO));
    assert_eq!(store.write(ino, 0, b"C"), Ok(1));
    assert_eq!(carry_out(&mut store, &Command::Look).fired, 1);
}

#[test]
fn bits_read_wrong_until_the_disk_is_healed() {
    let (mut store, ino) = with_a_file();
    let laid = carry_out(&mut store, &Command::Flip { within: String::new(), seed: 3, bits: 2 }).laid;
    assert_eq!(laid, 2);
    let wrong =
        |store: &mut Store| store.read(ino, 0, 2 * PAGE).expect("it is there").iter().filter(|it| **it != b'A').count();
    assert!((1..=2).contains(&wrong(&mut store)));
    carry_out(&mut store, &Command::Heal);
    assert_eq!(wrong(&mut store), 0);
    let nothing = carry_out(&mut store, &Command::Flip { within: "elsewhere".to_owned(), seed: 3, bits: 2 });
    assert_eq!(nothing.laid, 0);
}

#[test]
fn a_full_disk_takes_what_fits_and_then_nothing_and_has_room_again() {
    let mut store = Store::new(2 * PAGE as u64);
    let ino = store.make_file(ROOT, name("f"), meta()).expect("names take no room").ino;
    assert_eq!(store.write(ino, 100, &[1; 3 * PAGE]), Ok(2 * PAGE - 100));
    assert_eq!(store.write(ino, 2 * PAGE as u64, &[1]), Err(Errno::ENOSPC));
    assert_eq!(store.write(ino, 0, &[2; PAGE]), Ok(PAGE), "what is there can be written again");
    assert_eq!(store.allocate(ino, 0..3 * PAGE as u64, false), Err(Errno::ENOSPC));
    carry_out(&mut store, &Command::Room { bytes: 3 * PAGE as u64 });
    assert_eq!(store.allocate(ino, 0..3 * PAGE as u64, false), Ok(()));
    assert_eq!(store.room(), (3, 0));
    store.remove_file(ROOT, name("f")).expect("it is there");
    assert_eq!(store.room(), (3, 3));
}

#[test]
fn nothing_changes_on_a_disk_that_is_read_only() {
    let (mut store, ino) = with_a_file();
    carry_out(&mut store, &Command::ReadOnly { on: true });
    assert_eq!(store.write(ino, 0, b"B"), Err(Errno::EROFS));
    assert_eq!(store.make_file(ROOT, name("g"), meta()).map(|it| it.ino), Err(Errno::EROFS));
    assert_eq!(store.remove_file(ROOT, name("f")), Err(Errno::EROFS));
    assert_eq!(store.rename((ROOT, name("f")), (ROOT, name("g")), true), Err(Errno::EROFS));
    assert_eq!(store.read(ino, 0, 1).as_deref(), Ok(&b"A"[..]));
}

#[test]
fn a_file_without_a_name_is_there_as_long_as_it_is_open() {
    let (mut store, ino) = with_a_file();
    store.open(ino).expect("it is there");
    store.remove_file(ROOT, name("f")).expect("it is there");
    assert_eq!(store.read(ino, 0, 1).as_deref(), Ok(&b"A"[..]));
    store.close(ino);
    assert_eq!(store.read(ino, 0, 1), Err(Errno::ESTALE));
    store.lose_unsynced();
    assert!(store.lookup(ROOT, name("f")).is_ok(), "its removal was not synced");
}
