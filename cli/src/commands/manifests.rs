//! Finds the manifests that a command line names and reads them. Asks no cluster.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use boss_base::files;
use boss_proto::{limits::MANIFEST_BYTES_MAX, manifest, v1};

use crate::failure::{Exit, Failure, chain};

/// Files of a folder that are taken for manifests.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// Every object of these files in their order; what cannot be read is a failure of its own, so that one bad file or
/// document does not hide the others.
pub(super) fn read(paths: &[PathBuf]) -> Vec<Result<v1::Object, Failure>> {
    let mut found = Vec::new();
    for path in paths {
        match expand(path) {
            Ok(files) => files.iter().for_each(|file| read_file(file, &mut found)),
            Err(failure) => found.push(Err(failure)),
        }
    }
    found
}

/// A folder stands for the manifests in it, in the order of their names.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let what = || format!("cannot read {}", path.display());
    let entries: io::Result<Vec<_>> =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut files = entries.map_err(|error| Failure::new(Exit::Failed, what(), error))?;
    files.retain(|file| {
        file.is_file()
            && file.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending))
    });
    files.sort();
    if files.is_empty() {
        return Err(Failure::bad_input(what(), "no .yaml, .yml or .json file is in it"));
    }
    Ok(files)
}

fn read_file(path: &Path, found: &mut Vec<Result<v1::Object, Failure>>) {
    let (name, text) = if path == Path::new("-") {
        ("standard input".to_owned(), read_input())
    } else {
        (path.display().to_string(), files::read_bounded(path, MANIFEST_BYTES_MAX))
    };
    let what = || format!("cannot read {name}");
    let text = match text {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Failure::bad_input(what(), "it is not UTF-8 text")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::bad_input(what(), "there is no such file"))
        }
        Err(error) => Err(Failure::new(Exit::BadInput, what(), chain(&error))),
    };
    let text = match text {
        Ok(text) => text,
        Err(failure) => return found.push(Err(failure)),
    };
    let before = found.len();
    found.extend(manifest::documents(&text).map(|object| object.map_err(|error| Failure::bad_input(what(), error))));
    if found.len() == before {
        found.push(Err(Failure::bad_input(what(), "it holds no object")));
    }
}

pub(super) fn read_input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: boss.dev/v1\nkind: Pod\nmetadata: { name: NAME }\n";

    fn names(paths: &[PathBuf]) -> Vec<Result<String, Exit>> {
        let name = |object: v1::Object| object.metadata().unwrap().name.clone();
        read(paths).into_iter().map(|found| found.map(name).map_err(|failure| failure.exit)).collect()
    }

    #[test]
    fn a_folder_gives_its_manifests_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        for (file, name) in [("b.yaml", "two"), ("a.yml", "one"), ("c.json.bak", "no"), ("README.md", "no")] {
            fs::write(directory.path().join(file), POD.replace("NAME", name)).unwrap();
        }
        assert_eq!(names(&[directory.path().to_owned()]), [Ok("one".into()), Ok("two".into())]);
    }

    #[test]
    fn a_bad_file_or_document_does_not_hide_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let (bad, good) = (directory.path().join("bad.yaml"), directory.path().join("good.yaml"));
        fs::write(&bad, format!("{}---\nkind: Pot\n", POD.replace("NAME", "one"))).unwrap();
        fs::write(&good, POD.replace("NAME", "two")).unwrap();
        let missing = directory.path().join("missing.yaml");
        let found = names(&[bad, missing, good]);
        assert_eq!(found, [Ok("one".into()), Err(Exit::BadInput), Err(Exit::BadInput), Ok("two".into())]);
    }

    #[test]
    fn files_without_objects_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(names(&[directory.path().to_owned()]), [Err(Exit::BadInput)]);
        let file = directory.path().join("x.yaml");
        fs::write(&file, "# nothing\n").unwrap();
        assert_eq!(names(std::slice::from_ref(&file)), [Err(Exit::BadInput)]);
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(names(&[file]), [Err(Exit::BadInput)]);
    }
}
