//! The file that holds the reserve. Knows no marks.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::FallocateFlags;

/// Written when the file system cannot reserve without writing.
static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Finds out whether it is held, and changes nothing.
    pub(super) fn at(path: &Path, bytes: u64) -> Self {
        let held = fs::metadata(path).is_ok_and(|file| file.len() == bytes);
        Self { path: path.to_owned(), bytes, held }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Takes the space; `false` when it does not fit after all.
    pub(super) fn take(&mut self) -> io::Result<bool> {
        match self.allocate() {
            Ok(()) => self.held = true,
            Err(error) => {
                // A part of it is of no use and keeps others from what they need.
                let _ = fs::remove_file(&self.path);
                if !super::says_full(&error) {
                    return Err(error);
                }
            }
        }
        Ok(self.held)
    }

    /// Gives the space back; `false` when there was none.
    pub(super) fn give_up(&mut self) -> bool {
        if !std::mem::take(&mut self.held) {
            return false;
        }
        fs::remove_file(&self.path)
            .inspect_err(|error| tracing::warn!(path = %self.path.display(), %error, "the reserve cannot be given up"))
            .is_ok()
    }

    fn allocate(&self) -> io::Result<()> {
        let file = File::create(&self.path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => fill(file.try_clone()?, self.bytes)?,
            Err(errno) => return Err(errno.into()),
        }
        file.sync_all()
    }
}

fn fill(mut file: File, mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let length = usize::try_from(bytes).unwrap_or(BLOCK.len()).min(BLOCK.len());
        io::Write::write_all(&mut file, &BLOCK[..length])?;
        bytes -= length as u64;
    }
    Ok(())
}
