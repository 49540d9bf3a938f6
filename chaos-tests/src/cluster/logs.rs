//! What the processes of a cluster have written to their logs.

use std::{fs, io, path::Path};

use super::Cluster;

impl Cluster {
    /// Copies the logs of all processes into a folder.
    pub fn copy_logs(&self, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(self.folder.path().join("logs"))?.flatten() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// The log of a server or node, as far as it is written.
    #[must_use]
    pub fn log_of(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.log(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
