//! A file that asynchronous code reads and writes: by the runtime's pool of threads, or where there is one thread, by that.
//! Knows no format.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::tasks::Blocking;

/// An open file. Of calls that are given up some may still be done, but always before the next one.
#[derive(Debug)]
pub enum AsyncFile {
    /// Its calls go to the pool.
    Pool(tokio::fs::File),
    /// Its calls are done at once.
    Here(fs::File),
}

impl AsyncFile {
    /// Opens a file for reading from its start.
    pub async fn open(path: &Path, blocking: Blocking) -> io::Result<Self> {
        match blocking {
            Blocking::Threads => tokio::fs::File::open(path).await.map(Self::Pool),
            Blocking::Here => fs::File::open(path).map(Self::Here),
        }
    }

    /// Makes a new file for writing; there must be none.
    pub async fn create_new(path: &Path, blocking: Blocking) -> io::Result<Self> {
        match blocking {
            Blocking::Threads => {
                tokio::fs::File::options().write(true).create_new(true).open(path).await.map(Self::Pool)
            }
            Blocking::Here => fs::File::options().write(true).create_new(true).open(path).map(Self::Here),
        }
    }

    /// The next bytes, so many at most; none at the end.
    pub async fn read_chunk(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(bytes_max);
        match self {
            Self::Pool(file) => file.take(bytes_max as u64).read_buf(&mut chunk).await.map(drop)?,
            Self::Here(file) => file.take(bytes_max as u64).read_to_end(&mut chunk).map(drop)?,
        }
        Ok(chunk)
    }

    /// Writes all bytes where the last call ended.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Pool(file) => file.write_all(bytes).await,
            Self::Here(file) => file.write_all(bytes),
        }
    }

    /// Forgets what stands after so many bytes, and goes on there.
    pub async fn cut_to(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Pool(file) => {
                file.seek(SeekFrom::Start(bytes)).await?;
                file.set_len(bytes).await
            }
            Self::Here(file) => {
                file.seek(SeekFrom::Start(bytes))?;
                file.set_len(bytes)
            }
        }
    }

    /// Everything that was written is on the disk.
    pub async fn sync_all(&mut self) -> io::Result<()> {
        match self {
            Self::Pool(file) => {
                file.flush().await?;
                file.sync_all().await
            }
            Self::Here(file) => file.sync_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_cut_and_written_again_is_read_in_chunks() {
        let folder = tempfile::tempdir().unwrap();
        for blocking in [Blocking::Threads, Blocking::Here] {
            let path = folder.path().join(format!("{blocking:?}"));
            let mut file = AsyncFile::create_new(&path, blocking).await.unwrap();
            file.write_all(b"abcdef").await.unwrap();
            file.cut_to(4).await.unwrap();
            file.write_all(b"xyz").await.unwrap();
            file.sync_all().await.unwrap();
            assert!(AsyncFile::create_new(&path, blocking).await.is_err());
            let (mut file, mut all) = (AsyncFile::open(&path, blocking).await.unwrap(), Vec::new());
            loop {
                let chunk = file.read_chunk(3).await.unwrap();
                if chunk.is_empty() {
                    break;
                }
                assert!(chunk.len() <= 3);
                all.extend(chunk);
            }
            assert_eq!(all, b"abcdxyz");
        }
    }
}
