//! What survives a power cut, against a model that keeps whole files; and each thing that can go wrong.

mod faults;
mod power_cuts;

use std::{ffi::OsStr, time::SystemTime};

use super::store::Meta;

const DISK: u64 = 1 << 20;

fn meta() -> Meta {
    Meta { mode: 0o600, owner: (0, 0), modified: SystemTime::UNIX_EPOCH }
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}
