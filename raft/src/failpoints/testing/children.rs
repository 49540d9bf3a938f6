//! Runs a test of this very program as a child that dies at a point, and lets the caller look at what it left.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use super::{DIE_AT, TRACE};

/// The folder that a child works in; unset in every other process.
const FOLDER: &str = "BOSS_TEST_CHILD_FOLDER";
const KILLED: i32 = 9;

/// The folder to work in, when this process is the child of [`crash_at_every_point`]. A test that is a child's work
/// begins with it and does nothing without it.
pub(crate) fn is_child() -> Option<PathBuf> {
    env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs the test named `child` (its whole path) once to learn which points beginning with `part` it comes by, then
/// again and again in a fresh folder, killed at each point: the first time, in the middle and the last time. `check`
/// looks at the folder each time. Returns the points.
pub(crate) fn crash_at_every_point(child: &str, part: &str, mut check: impl FnMut(&Path, &str)) -> Vec<String> {
    let points = points(child, part);
    assert!(!points.is_empty(), "{child} comes by no point of {part}");
    for (point, times) in &points {
        let mut hits = vec![1, times.div_ceil(2), *times];
        hits.dedup();
        for hit in hits {
            let folder = TempDir::new().unwrap();
            let order = format!("{point}@{hit}");
            let output = run(child, folder.path(), (DIE_AT, order.as_ref()));
            let signal = output.status.signal();
            // Threads take turns: the last times may not come again in another run.
            assert!(
                signal == Some(KILLED) || (hit > 1 && output.status.success()),
                "{order}: {:?}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
            check(folder.path(), &order);
        }
    }
    points.into_keys().collect()
}

/// Runs the test named `child` once in the folder; it must end well.
pub(crate) fn run_child(child: &str, folder: &Path) {
    let output = run(child, folder, ("BOSS_TEST_NO_ORDER", "".as_ref()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn points(child: &str, part: &str) -> BTreeMap<String, u64> {
    let (folder, trace) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let trace = trace.path().join("points");
    let output = run(child, folder.path(), (TRACE, trace.as_os_str()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut points = BTreeMap::new();
    for point in fs::read_to_string(&trace).unwrap_or_default().lines().filter(|point| point.starts_with(part)) {
        *points.entry(point.to_owned()).or_default() += 1;
    }
    points
}

fn run(child: &str, folder: &Path, order: (&str, &std::ffi::OsStr)) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(FOLDER, folder)
        .env(order.0, order.1)
        .output()
        .unwrap()
}
