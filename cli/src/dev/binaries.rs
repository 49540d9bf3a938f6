//! Finds the programs of a cluster: beside this program, then in PATH. Starts nothing.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::Error;

/// The programs that a cluster consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// `boss-server`
    pub server: PathBuf,
    /// `boss-node`
    pub node: PathBuf,
}

impl Binaries {
    /// Those beside the running program, else those in PATH.
    pub fn find() -> Result<Self, Error> {
        let beside = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
        Self::find_in(beside.as_deref(), env::var_os("PATH").as_deref())
    }

    fn find_in(beside: Option<&Path>, path: Option<&OsStr>) -> Result<Self, Error> {
        let in_path = path.map(|path| env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
        let folders: Vec<PathBuf> = beside.map(Path::to_owned).into_iter().chain(in_path).collect();
        let find = |name: &'static str| {
            let found = folders.iter().map(|folder| folder.join(name)).find(|path| is_executable(path));
            found.ok_or_else(|| Error::NoBinary { name, looked_in: folders.clone() })
        };
        Ok(Self { server: find("boss-server")?, node: find("boss-node")? })
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn put(folder: &Path, name: &str, mode: u32) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), "").unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn programs_beside_us_come_before_those_in_path() {
        let directory = tempfile::tempdir().unwrap();
        let (beside, path) = (directory.path().join("a"), directory.path().join("b"));
        put(&beside, "boss-server", 0o755);
        put(&beside, "boss-node", 0o644);
        put(&path, "boss-server", 0o755);
        let find = || Binaries::find_in(Some(&beside), Some(path.as_os_str()));
        assert!(matches!(find(), Err(Error::NoBinary { name: "boss-node", .. })));
        put(&path, "boss-node", 0o755);
        assert_eq!(find().unwrap(), Binaries { server: beside.join("boss-server"), node: path.join("boss-node") });
    }
}
