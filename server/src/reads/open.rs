//! How many watches this server has open. A watch holds its place until it is dropped. Knows no watch.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use boss_base::cached;
use boss_proto::limits::WATCHES_MAX;

use super::Error;
use crate::metric_definitions::WATCHES_OPEN;

/// The open watches of all subjects. Clones share them.
#[derive(Clone, Default)]
pub(super) struct OpenWatches(Arc<AtomicUsize>);

/// One open watch's share of the limit.
pub(super) struct OpenWatch(OpenWatches);

impl OpenWatches {
    /// A place for one more.
    pub(super) fn open(&self) -> Result<OpenWatch, Error> {
        if self.0.fetch_add(1, Ordering::Relaxed) >= WATCHES_MAX {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::TooManyWatches);
        }
        cached!(gauge WATCHES_OPEN).increment(1.0);
        Ok(OpenWatch(self.clone()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
        cached!(gauge WATCHES_OPEN).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watch_more_than_the_limit_is_refused_until_another_ends() {
        let watches = OpenWatches::default();
        let mut open: Vec<OpenWatch> = (0..WATCHES_MAX).map(|_| watches.open().unwrap()).collect();
        let error = watches.open().err().expect("the limit is reached");
        assert!(error.to_string().contains(&WATCHES_MAX.to_string()), "{error}");
        open.pop();
        open.push(watches.open().unwrap());
        assert!(watches.open().is_err(), "a refused one took no place");
        drop(open);
        assert!(watches.is_empty());
    }
}
