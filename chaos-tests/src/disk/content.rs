//! What is in a file: pages, which are shared until they are written. Pure.

use std::{ops::Range, sync::Arc};

/// What the kernel writes back at a time.
pub(super) const PAGE: usize = 4_096;
/// What a drive writes or does not write, but never in part.
pub(super) const SECTOR: usize = 512;

/// One page of a file.
#[derive(Debug, Clone, Default)]
pub(super) enum Page {
    /// Nothing; it takes no room and reads as zeros.
    #[default]
    Hole,
    /// Room that was reserved and not written.
    Reserved,
    /// It was written.
    Data(Arc<[u8; PAGE]>),
}

/// A file's bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pages: Vec<Page>,
    /// Those of them that take room.
    taken: u64,
    size: u64,
}

impl Page {
    pub(super) fn takes_room(&self) -> bool {
        !matches!(self, Self::Hole)
    }

    fn bytes(&self) -> &[u8; PAGE] {
        static ZEROS: [u8; PAGE] = [0; PAGE];
        match self {
            Self::Data(bytes) => bytes,
            Self::Hole | Self::Reserved => &ZEROS,
        }
    }

    /// The first sectors of `new`, and the others as they were here.
    pub(super) fn torn(&self, new: &Self, sectors: usize) -> Self {
        let mut bytes = *self.bytes();
        let end = (sectors * SECTOR).min(PAGE);
        bytes[..end].copy_from_slice(&new.bytes()[..end]);
        Self::Data(Arc::new(bytes))
    }
}

/// Pages that hold these bytes.
pub(super) fn pages_of(bytes: Range<u64>) -> Range<usize> {
    let page = |at: u64| usize::try_from(at / PAGE as u64).unwrap_or(usize::MAX);
    page(bytes.start)..page(bytes.end.saturating_add(PAGE as u64 - 1))
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Pages that take room.
    pub(super) fn room(&self) -> u64 {
        self.taken
    }

    /// Of these pages, those that take none yet.
    pub(super) fn holes(&self, pages: Range<usize>) -> impl Iterator<Item = usize> {
        pages.filter(|page| !self.pages.get(*page).is_some_and(Page::takes_room))
    }

    pub(super) fn page(&self, number: usize) -> Page {
        self.pages.get(number).cloned().unwrap_or_default()
    }

    /// Puts a page there, whatever the size says.
    pub(super) fn set_page(&mut self, number: usize, page: Page) {
        if number >= self.pages.len() {
            if !page.takes_room() {
                return;
            }
            self.pages.resize(number + 1, Page::Hole);
        }
        self.taken += u64::from(page.takes_room());
        self.taken -= u64::from(self.pages[number].takes_room());
        self.pages[number] = page;
    }

    /// Pages that were written.
    pub(super) fn written(&self) -> impl Iterator<Item = usize> {
        self.pages.iter().enumerate().filter(|(_, page)| matches!(page, Page::Data(_))).map(|(number, _)| number)
    }

    pub(super) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = offset.saturating_add(length as u64).min(self.size);
        let mut read = Vec::with_capacity(usize::try_from(end.saturating_sub(offset)).unwrap_or_default());
        let mut at = offset;
        while at < end {
            let (page, within) = place(at);
            let count = (PAGE - within).min(usize::try_from(end - at).unwrap_or(PAGE));
            match self.pages.get(page) {
                Some(page) => read.extend_from_slice(&page.bytes()[within..within + count]),
                None => read.resize(read.len() + count, 0),
            }
            at += count as u64;
        }
        read
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (page, within) = place(at);
            let count = (PAGE - within).min(rest.len());
            if page >= self.pages.len() {
                self.pages.resize(page + 1, Page::Hole);
            }
            let page = &mut self.pages[page];
            if !matches!(page, Page::Data(_)) {
                self.taken += u64::from(!page.takes_room());
                *page = Page::Data(Arc::new([0; PAGE]));
            }
            if let Page::Data(shared) = page {
                Arc::make_mut(shared)[within..within + count].copy_from_slice(&rest[..count]);
            }
            (at, rest) = (at + count as u64, &rest[count..]);
        }
        self.size = self.size.max(offset + bytes.len() as u64);
    }

    /// Reserves room; the size is another matter.
    pub(super) fn reserve(&mut self, page: usize) {
        self.set_page(page, Page::Reserved);
    }

    /// Cuts it off, or makes it longer with nothing. Returns the pages that have changed.
    pub(super) fn resize(&mut self, size: u64) -> Range<usize> {
        let kept = pages_of(0..size).end;
        let before = self.pages.len();
        let cut = self.pages.drain(kept.min(before)..).filter(Page::takes_room).count();
        self.taken -= cut as u64;
        let (page, within) = place(size);
        let mut changed = kept..before.max(kept);
        if within > 0
            && let Some(Page::Data(shared)) = self.pages.get_mut(page)
        {
            // What comes after the new end reads as zeros if it ever becomes longer again.
            Arc::make_mut(shared)[within..].fill(0);
            changed.start = page;
        }
        self.size = size;
        changed
    }
}

fn place(at: u64) -> (usize, usize) {
    let page = usize::try_from(at / PAGE as u64).unwrap_or(usize::MAX);
    (page, usize::try_from(at % PAGE as u64).unwrap_or_default())
}
