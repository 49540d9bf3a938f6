//! What a measurement ran on: without it a number means nothing.

use std::{fmt, fs, thread};

use crate::{cluster::Spec, proc::load_average, run_folder};

/// Machine, build and cluster.
#[derive(Debug, Clone)]
pub struct Setting {
    spec: Spec,
    load_before: String,
}

impl Setting {
    /// As it is before the measurement.
    #[must_use]
    pub fn now(spec: Spec) -> Self {
        Self { spec, load_before: load_average() }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let processors = thread::available_parallelism().map_or(0, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let Spec { servers, nodes, profile, .. } = self.spec;
        writeln!(f, "{servers} servers, {nodes} nodes, profile {profile}, {build} build")?;
        writeln!(f, "{processors} processors, Linux {}, data in {}", kernel.trim(), run_folder::root().display())?;
        write!(f, "load average before {}, after {}", self.load_before, load_average())
    }
}
