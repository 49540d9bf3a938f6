//! What tests need of the machine that they run on, and that they say so when it is not there.

use std::io::{self, Write};

use crate::{nemesis::Family, net};

/// Whether a test can have hosts of its own here, and faults of these kinds. When not, it says why on standard error. A user
/// who is root must be able to have hosts; which devices there are is the machine's matter.
#[must_use]
pub fn are_met(families: &[Family]) -> bool {
    let no_hosts = net::why_not();
    if let Some(why) = &no_hosts {
        assert!(!nix::unistd::geteuid().is_root(), "{why}");
    }
    let Some(why) = no_hosts.or_else(|| families.iter().find_map(|family| family.why_not())) else { return true };
    // A test whose standard error is closed has nobody to tell.
    let _ = writeln!(io::stderr(), "skipped: {why}");
    false
}
