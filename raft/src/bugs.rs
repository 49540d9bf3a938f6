//! Whether a deliberate bug is at work here. Tests of this crate choose one for their thread, whatever the build; everything
//! else asks [`boss_base::bugs`].

pub(crate) use boss_base::bugs::Bug;
#[cfg(not(test))]
pub(crate) use boss_base::bugs::on;

#[cfg(test)]
pub(crate) use testing::{on, with};

#[cfg(test)]
mod testing {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    pub(crate) fn on(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug) || boss_base::bugs::on(bug)
    }

    /// Runs it on this thread with the bug at work.
    pub(crate) fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
        CHOSEN.set(Some(bug));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        CHOSEN.set(None);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests;
