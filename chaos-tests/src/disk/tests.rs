//! What survives a power cut, against a model that keeps whole files; and each thing that can go wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    time::SystemTime,
};

use nix::errno::Errno;
use proptest::prelude::*;

use super::{
    Command,
    content::{PAGE, SECTOR},
    control::carry_out,
    store::{Ino, Kind, Meta, ROOT, Store},
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const DISK: u64 = 1 << 20;

fn meta() -> Meta {
    Meta { mode: 0o600, owner: (0, 0), modified: SystemTime::UNIX_EPOCH }
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// A place: in the root or in the folder `d`, and which name.
type Place = (bool, usize);

#[derive(Debug, Clone)]
enum Step {
    Make(Place),
    Write(Place, u64, usize, u8),
    Resize(Place, u64),
    Move(Place, Place),
    Remove(Place),
    SyncFile(Place),
    SyncFolder(bool),
}

fn place() -> impl Strategy<Value = Place> {
    (any::<bool>(), 0..NAMES.len())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => place().prop_map(Step::Make),
        6 => (place(), 0..20_000_u64, 1..9_000_usize, 1..=255_u8).prop_map(|(at, offset, length, byte)| {
            Step::Write(at, offset, length, byte)
        }),
        2 => (place(), 0..20_000_u64).prop_map(|(at, size)| Step::Resize(at, size)),
        2 => (place(), place()).prop_map(|(from, to)| Step::Move(from, to)),
        1 => place().prop_map(Step::Remove),
        3 => place().prop_map(Step::SyncFile),
        3 => any::<bool>().prop_map(Step::SyncFolder),
    ]
}

/// Bytes of a file: now, and at its last sync.
#[derive(Debug, Clone, Default)]
struct File {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// The same rules with whole copies of everything: two folders of which the second is always there.
#[derive(Debug, Default)]
struct Model {
    files: Vec<File>,
    now: BTreeMap<Place, usize>,
    synced: BTreeMap<Place, usize>,
    /// Something went from one folder to the other since the last sync of either.
    moved_across: bool,
}

impl Model {
    fn sync_folder(&mut self, folder: bool) {
        let both = std::mem::take(&mut self.moved_across);
        let covered = |place: &Place| both || place.0 == folder;
        self.synced.retain(|place, _| !covered(place));
        self.synced.extend(self.now.iter().filter(|(place, _)| covered(place)).map(|(place, file)| (*place, *file)));
    }

    fn survivors(&self) -> BTreeMap<Place, Vec<u8>> {
        self.synced.iter().map(|(place, file)| (*place, self.files[*file].synced.clone())).collect()
    }
}

struct Both {
    store: Store,
    folder: Ino,
    model: Model,
}

impl Both {
    fn new() -> Self {
        let mut store = Store::new(DISK);
        let folder = store.make_folder(ROOT, name("d"), meta()).expect("it is empty").ino;
        store.sync(ROOT).expect("nothing is wrong with it");
        Self { store, folder, model: Model::default() }
    }

    fn ino(&self, folder: bool) -> Ino {
        if folder { self.folder } else { ROOT }
    }

    fn find(&self, place: Place) -> Option<Ino> {
        self.store.lookup(self.ino(place.0), name(NAMES[place.1])).ok().map(|found| found.ino)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Make(place) => {
                let made = self.store.make_file(self.ino(place.0), name(NAMES[place.1]), meta());
                assert_eq!(made.is_ok(), !self.model.now.contains_key(&place));
                if made.is_ok() {
                    self.model.files.push(File::default());
                    self.model.now.insert(place, self.model.files.len() - 1);
                }
            }
            Step::Write(place, offset, length, byte) => {
                let Some(ino) = self.find(place) else { return };
                let Ok(written) = self.store.write(ino, offset, &vec![byte; length]) else { return };
                let file = self.file(place);
                let (start, end) = (usize::try_from(offset).expect("it is small"), offset as usize + written);
                file.now.resize(file.now.len().max(end), 0);
                file.now[start..end].fill(byte);
            }
            Step::Resize(place, size) => {
                let Some(ino) = self.find(place) else { return };
                let change = super::store::Change { size: Some(size), ..Default::default() };
                self.store.change(ino, &change).expect("there is room for holes");
                self.file(place).now.resize(usize::try_from(size).expect("it is small"), 0);
            }
            Step::Move(from, to) => self.rename(from, to),
            Step::Remove(place) => {
                let removed = self.store.remove_file(self.ino(place.0), name(NAMES[place.1]));
                assert_eq!(removed.is_ok(), self.model.now.remove(&place).is_some());
            }
            Step::SyncFile(place) => {
                let Some(ino) = self.find(place) else { return };
                self.store.sync(ino).expect("nothing is wrong with it");
                let file = self.file(place);
                file.synced = file.now.clone();
            }
            Step::SyncFolder(folder) => {
                self.store.sync(self.ino(folder)).expect("nothing is wrong with it");
                self.model.sync_folder(folder);
            }
        }
    }

    fn rename(&mut self, from: Place, to: Place) {
        let (from_ino, to_ino) = (self.ino(from.0), self.ino(to.0));
        let moved = self.store.rename((from_ino, name(NAMES[from.1])), (to_ino, name(NAMES[to.1])), true);
        assert_eq!(moved.is_ok(), self.model.now.contains_key(&from));
        if moved.is_ok() && from != to {
            let file = self.model.now.remove(&from).expect("it was just found");
            self.model.now.insert(to, file);
            self.model.moved_across |= from.0 != to.0;
        }
    }

    fn file(&mut self, place: Place) -> &mut File {
        let file = self.model.now[&place];
        &mut self.model.files[file]
    }

    fn found(&mut self) -> BTreeMap<Place, Vec<u8>> {
        let mut found = BTreeMap::new();
        for folder in [false, true] {
            for (name, ino, kind) in self.store.entries(self.ino(folder)).expect("it is always there") {
                if kind == Kind::File {
                    let number = NAMES.iter().position(|known| name == **known).expect("there are no others");
                    let size = self.store.attributes(ino).expect("it is there").size;
                    let bytes = self.store.read(ino, 0, usize::try_from(size).expect("it is small"));
                    found.insert((folder, number), bytes.expect("it is there"));
                }
            }
        }
        found
    }
}

/// Pages that are taken, counted.
fn counted(store: &Store) -> u64 {
    store
        .files()
        .iter()
        .filter_map(|(_, ino)| store.attributes(*ino).ok())
        .filter(|it| it.kind == Kind::File)
        .map(|it| it.pages)
        .sum()
}

proptest! {
    #[test]
    fn a_power_cut_leaves_what_was_synced_and_nothing_else(
        lives in prop::collection::vec(prop::collection::vec(step(), 0..40), 1..4),
    ) {
        let mut both = Both::new();
        for steps in lives {
            for step in &steps {
                both.take(step);
                let (live, now) = (both.found(), &both.model);
                let expected: BTreeMap<Place, Vec<u8>> =
                    now.now.iter().map(|(place, file)| (*place, now.files[*file].now.clone())).collect();
                prop_assert_eq!(live, expected);
            }
            let expected = both.model.survivors();
            both.store.lose_unsynced();
            prop_assert_eq!(&both.found(), &expected);
            let (room, free) = both.store.room();
            prop_assert_eq!(room - free, counted(&both.store));
            // The next life begins with what there is.
            both.model = Model::default();
            for (place, bytes) in expected {
                both.model.files.push(File { now: bytes.clone(), synced: bytes });
                both.model.now.insert(place, both.model.files.len() - 1);
            }
            both.model.synced = both.model.now.clone();
        }
    }

    #[test]
    fn a_torn_end_keeps_all_that_was_synced_and_invents_nothing(
        before in prop::collection::vec(step(), 0..30),
        after in prop::collection::vec(step(), 0..30),
        seed in any::<u64>(),
    ) {
        let mut both = Both::new();
        before.iter().for_each(|step| both.take(step));
        let places: Vec<Place> = both.model.now.keys().copied().collect();
        places.iter().for_each(|place| both.take(&Step::SyncFile(*place)));
        [false, true].into_iter().for_each(|folder| both.take(&Step::SyncFolder(folder)));
        let synced = both.found();
        // What is written once more, and may survive or not; names stay.
        let writes = after.iter().filter(|step| matches!(step, Step::Write(..)));
        writes.for_each(|step| both.take(step));
        let live = both.found();
        both.store.tear(seed);
        let torn = both.found();
        prop_assert_eq!(torn.keys().collect::<Vec<_>>(), synced.keys().collect::<Vec<_>>());
        for (place, bytes) in torn {
            let (old, new) = (&synced[&place], &live[&place]);
            prop_assert!(bytes.len() >= old.len() && bytes.len() <= new.len());
            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                let part = |whole: &[u8]| -> Vec<u8> {
                    let rest = whole.iter().skip(number * SECTOR).take(sector.len()).copied();
                    rest.chain(std::iter::repeat(0)).take(sector.len()).collect()
                };
                prop_assert!(sector == part(old) || sector == part(new), "sector {} of {:?}", number, place);
            }
        }
    }
}

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
