//! The name of a data folder: made at the first start, and never the same again. By it a server that comes back with an
//! empty folder is known for somebody who has forgotten what it acknowledged.

use std::{io, path::Path};

use boss_base::files;
use boss_proto::ids::Uid;

/// Beside the log: whoever loses the log loses it too.
const FILE: &str = "folder-id";
/// Four times what we write.
const BYTES_MAX: usize = 256;

/// The name of the folder; made and synced when there is none yet.
pub(super) fn name_of(log_dir: &Path) -> io::Result<String> {
    let path = log_dir.join(FILE);
    match files::read_bounded(&path, BYTES_MAX) {
        Ok(bytes) => {
            let name = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
            let usable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            let problem = || io::Error::new(io::ErrorKind::InvalidData, "it holds no name of a data folder");
            usable.then_some(name).ok_or_else(problem)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = Uid::random().to_string();
            files::write_atomic(&path, name.as_bytes(), files::PRIVATE)?;
            Ok(name)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_name_and_a_fresh_one_has_another() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = name_of(first.path()).unwrap();
        assert_eq!(name_of(first.path()).unwrap(), name);
        assert_ne!(name_of(second.path()).unwrap(), name);
    }

    #[test]
    fn a_damaged_name_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), [0xff, 0, 1]).unwrap();
        assert_eq!(name_of(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), [0xff, 0, 1]);
    }
}
