//! What survives: what was synced, and after a torn end some of the rest. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use super::{
    content::{Content, PAGE, SECTOR},
    store::{Body, Dirty, Ino, Node, ROOT, Store},
};
use crate::checkers::generate::Random;

impl Store {
    /// The power is cut: nothing is there but what was synced.
    pub fn lose_unsynced(&mut self) {
        self.dirty.clear();
        self.live.clear();
        self.sweep();
        self.begin_life();
    }

    /// The power is cut while the kernel writes back: of what was not synced each page and each folder has made it or
    /// not, and of the page that a file got last, some sectors.
    pub fn tear(&mut self, seed: u64) {
        let mut random = Random(seed);
        for (ino, dirty) in self.dirty.clone() {
            match self.live.get(&ino).map(|node| node.body.clone()) {
                Some(Body::File(content)) => self.tear_file(ino, &content, &dirty, &mut random),
                Some(Body::Folder(_)) if random.below(2) == 0 => self.settle(ino),
                _ => {}
            }
        }
        self.lose_unsynced();
    }

    fn tear_file(&mut self, ino: Ino, live: &Content, dirty: &Dirty, random: &mut Random) {
        let Some(Body::File(mut durable)) = self.durable_or_fresh(ino).map(|node| node.body.clone()) else { return };
        let mut reaches = durable.size();
        // A file is cut off as a whole, or not: that is its size.
        let kept = dirty.pages.iter().filter(|page| (**page as u64) * (PAGE as u64) < live.size());
        for page in kept {
            let (new, end) = (live.page(*page), live.size().min((*page as u64 + 1) * PAGE as u64));
            if dirty.last == Some(*page) {
                let torn = durable.page(*page).torn(&new, random.below(PAGE / SECTOR + 1));
                durable.set_page(*page, torn);
                reaches = reaches.max(end);
            } else if random.below(2) == 0 {
                durable.set_page(*page, new);
                reaches = reaches.max(end);
            }
        }
        // A size is written when the bytes are, or later: never before there is anything to be found below it.
        durable.resize(if random.below(4) == 0 { live.size() } else { reaches });
        if let Some(node) = self.durable.get_mut(&ino) {
            node.body = Body::File(durable);
        }
    }

    /// What there is of it on the disk; of something that never was synced, what a folder's sync would put there.
    fn durable_or_fresh(&mut self, ino: Ino) -> Option<&mut Node> {
        if !self.durable.contains_key(&ino) {
            let live = self.live.get(&ino)?;
            let fresh = Node { body: live.body.unsynced(), meta: live.meta.clone() };
            self.durable.insert(ino, fresh);
        }
        self.durable.get_mut(&ino)
    }

    /// Makes it durable, with everything that must be so together with it.
    pub(super) fn settle(&mut self, ino: Ino) {
        let mut together: BTreeSet<Ino> = [ino].into();
        let mut found = vec![ino];
        while let Some(one) = found.pop() {
            let Some(dirty) = self.dirty.remove(&one) else { continue };
            found.extend(dirty.with.iter().filter(|other| together.insert(**other)));
            self.settle_one(one, &dirty);
        }
        self.sweep();
    }

    fn settle_one(&mut self, ino: Ino, dirty: &Dirty) {
        self.durable_or_fresh(ino);
        let Some(live) = self.live.remove(&ino) else { return };
        match &live.body {
            Body::File(content) => self.settle_file(ino, content, dirty),
            Body::Folder(entries) => self.settle_folder(ino, entries),
            Body::Link(_) => {}
        }
        if let Some(durable) = self.durable.get_mut(&ino) {
            durable.meta = live.meta.clone();
        }
        self.live.insert(ino, live);
    }

    fn settle_file(&mut self, ino: Ino, live: &Content, dirty: &Dirty) {
        let Some(Node { body: Body::File(durable), .. }) = self.durable.get_mut(&ino) else { return };
        for page in &dirty.pages {
            durable.set_page(*page, live.page(*page));
        }
        durable.resize(live.size());
    }

    fn settle_folder(&mut self, ino: Ino, entries: &BTreeMap<OsString, Ino>) {
        for child in entries.values() {
            self.durable_or_fresh(*child);
        }
        if let Some(durable) = self.durable.get_mut(&ino) {
            durable.body = Body::Folder(entries.clone());
        }
    }

    /// Forgets what is on the disk and can never be found again.
    pub(super) fn sweep(&mut self) {
        let mut reached: BTreeSet<Ino> = [ROOT].into();
        let mut folders = vec![ROOT];
        while let Some(folder) = folders.pop() {
            if let Some(Node { body: Body::Folder(entries), .. }) = self.durable.get(&folder) {
                folders.extend(entries.values().filter(|child| reached.insert(**child)));
            }
        }
        let live = &self.live;
        self.durable.retain(|ino, _| reached.contains(ino) || live.contains_key(ino));
    }
}
