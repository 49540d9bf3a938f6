//! Finds the programs under test. Never builds them.

use std::{env, path::PathBuf};

/// A program is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{program} is not built (looked in {}): run `cargo build --workspace --bins` with the same profile and CARGO_TARGET_DIR first, or `make bugs` for those with bugs", .folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "))]
pub struct NotBuilt {
    program: &'static str,
    folders: Vec<PathBuf>,
}

/// The path of `boss-server`, `boss-node`, `bossctl` or one of ours, of the profile that this program was built with.
pub fn find(program: &'static str) -> Result<PathBuf, NotBuilt> {
    let folders = folders();
    let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    found.ok_or(NotBuilt { program, folders })
}

/// The path of a program that was built with deliberate bugs: `make bugs` puts them beside the profiles' folders.
pub fn find_bugged(program: &'static str) -> Result<PathBuf, NotBuilt> {
    let own = env::current_exe().unwrap_or_default();
    let folders: Vec<PathBuf> = own.ancestors().skip(2).take(2).map(|folder| folder.join("bugs")).collect();
    let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    found.ok_or(NotBuilt { program, folders })
}

/// Set it to take the programs from elsewhere: from a release, or from another build.
const FOLDER_VARIABLE: &str = "BOSS_CHAOS_BINARIES";

// A program lies in `<target>/<profile>`, a test in its `deps`, an example in its `examples`.
fn folders() -> Vec<PathBuf> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let own = env::current_exe().unwrap_or_default();
    let beside = own.ancestors().skip(1).take(2).map(PathBuf::from);
    let chosen = env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let beside = chosen.into_iter().chain(beside);
    beside.chain(env::var_os("CARGO_TARGET_DIR").map(|folder| PathBuf::from(folder).join(profile))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_reported_with_what_to_do() {
        let error = find("boss-nothing").expect_err("there is no such program");
        assert!(error.to_string().contains("cargo build --workspace --bins"), "{error}");
    }
}
