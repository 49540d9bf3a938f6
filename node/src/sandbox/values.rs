//! What a sandbox is given at its start and nobody writes down: it goes from the agent's memory to the launcher's, and
//! through a file that has no name to the monitor. Knows no secret's name.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use boss_proto::limits::SANDBOX_VALUES_BYTES_MAX;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

/// JSON may write each byte as six, and the names come on top.
const FILE_BYTES_MAX: u64 = 8 * SANDBOX_VALUES_BYTES_MAX as u64;

/// Variables of the environment.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Values {
    /// Whether nothing is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the variables, in order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Every variable.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// A file without a name, in memory only, from which another process reads them.
    pub fn to_file(&self) -> io::Result<File> {
        let mut file = File::from(memfd_create("boss-values", MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// What [`Values::to_file`] holds.
    pub fn from_file(file: &File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        // Its own words could show a value.
        serde_json::from_slice(&bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no values are in it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        [("A", "canary-1"), ("B", "line\n\"two\"\u{1}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect()
    }

    #[test]
    fn another_process_reads_what_was_given() {
        assert_eq!(Values::from_file(&values().to_file().unwrap()).unwrap(), values());
        assert_eq!(Values::from_file(&Values::default().to_file().unwrap()).unwrap(), Values::default());
        let empty = tempfile::tempfile().unwrap();
        assert!(Values::from_file(&empty).is_err(), "nothing is not an empty list");
    }

    #[test]
    fn debug_shows_names_only() {
        let shown = format!("{:?}", values());
        assert!(shown.contains("\"A\"") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn the_longest_values_fit_into_the_file() {
        let worst: Values = [("A".to_owned(), "\u{1}".repeat(SANDBOX_VALUES_BYTES_MAX))].into_iter().collect();
        assert_eq!(Values::from_file(&worst.to_file().unwrap()).unwrap(), worst);
    }
}
