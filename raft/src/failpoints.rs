//! Points between two calls to the disk at which a test can kill the process: a test of this crate its own child, chaos tests
//! a server that was built for it ([`boss_base::failpoints`]). Everywhere else a point is no code at all. Knows no storage.

/// Names a point: `failpoint!("log.segment.renamed");`. Names begin with the part they belong to, so that a test can
/// ask for all of one part.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(test)]
        $crate::failpoints::reach($name);
        #[cfg(not(test))]
        boss_base::failpoints::reach($name);
    };
}

pub(crate) use failpoint;

#[cfg(test)]
pub(crate) use testing::{
    children::{crash_at_every_point, is_child, run_child},
    reach,
};

#[cfg(test)]
mod testing;
