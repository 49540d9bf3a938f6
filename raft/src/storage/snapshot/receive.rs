//! A snapshot that arrives in chunks from another server, into a file of its own until it is whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{fs::File, io::AsyncWriteExt};

use super::SnapshotFile;

/// A snapshot on its way in. Dropped before its end, it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotReceiver {
    file: File,
    temporary: Temporary,
    bytes: u64,
    checksum: crc32fast::Hasher,
}

/// Removes its file unless it was taken.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The next start removes what this cannot.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl SnapshotReceiver {
    pub(crate) async fn begin(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path).await?;
        let temporary = Temporary(Some(path.to_owned()));
        Ok(Self { file, temporary, bytes: 0, checksum: crc32fast::Hasher::new() })
    }

    /// Takes the next bytes.
    pub async fn write_chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk).await?;
        self.bytes += chunk.len() as u64;
        self.checksum.update(chunk);
        Ok(())
    }

    /// Ends it, if everything came as it was sent. What is in it is checked when it is installed.
    pub async fn finish(mut self, bytes: u64, crc32: u32) -> io::Result<SnapshotFile> {
        if self.bytes != bytes || self.checksum.clone().finalize() != crc32 {
            let problem = format!("{} bytes arrived of {bytes}, or others than were sent", self.bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        self.file.flush().await?;
        self.file.sync_all().await?;
        let path = self.temporary.0.take().expect("only this takes it, and it takes self");
        SnapshotFile::at(path)
    }
}
