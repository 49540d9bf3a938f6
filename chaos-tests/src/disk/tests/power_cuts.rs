//! Random work on a disk and power cuts in between, beside a model that keeps whole copies.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::{
        content::SECTOR,
        store::{Change, Ino, Kind, ROOT, Store},
    },
    DISK, meta, name,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

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
                let change = Change { size: Some(size), ..Default::default() };
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
