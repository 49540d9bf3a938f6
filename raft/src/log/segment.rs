//! One file of the log: its name, its head, its creation. Knows how files are opened, not what records mean.
//!
//! ```text
//! "BOSSLOG\0" | format u32 | head length u32 | server id u64 | first sequence u64 | salt u64
//! | cluster id length u32 | crc32 u32 over everything else in the head | cluster id | padding to 8
//! ```

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use boss_proto::ids::{ClusterId, ServerId};
use rustix::fs::FallocateFlags;

use super::{OpenError, record::ALIGN};
use crate::failpoints::failpoint;

const MAGIC: &[u8; 8] = b"BOSSLOG\0";
/// Newest format that this build reads and the one that it writes.
const FORMAT: u32 = 1;
const FIXED_BYTES: usize = 48;
const CLUSTER_ID_LEN_MAX: usize = 256;
/// No segment is larger, whatever is configured; a larger file is none of ours and must not fill the memory.
pub(super) const BYTES_MAX: u64 = 1 << 30;
/// No log reaches it. Above it numbers are nonsense, and adding to them could overflow.
pub(super) const SEQUENCE_MAX: u64 = 1 << 62;

/// Whose log it is; stands in the head of every file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The server.
    pub server_id: ServerId,
}

/// One open file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Sequence of the first record; also the name.
    pub(super) first_sequence: u64,
    pub(super) salt: u64,
    /// Where records begin.
    pub(super) records_at: u64,
    /// Size of the file.
    pub(super) bytes: u64,
}

impl Segment {
    /// Makes the file durable under its name, empty but for the head and already of its full size. A failure leaves
    /// nothing behind.
    pub(super) fn create(dir: &Path, owner: &Owner, first_sequence: u64, bytes: u64) -> io::Result<Arc<Self>> {
        let path = dir.join(file_name(first_sequence));
        let temporary = path.with_extension("tmp");
        let created = Self::create_as(&temporary, &path, owner, first_sequence, bytes);
        if created.is_err() {
            // The first error is the one to report; the next start removes what this cannot.
            let _ = std::fs::remove_file(&temporary);
        }
        created
    }

    fn create_as(
        temporary: &Path,
        path: &Path,
        owner: &Owner,
        first_sequence: u64,
        bytes: u64,
    ) -> io::Result<Arc<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(temporary)?;
        failpoint!("log.segment.made");
        let salt = rand::random();
        let head = encode_head(owner, first_sequence, salt);
        preallocate(&file, bytes)?;
        failpoint!("log.segment.allocated");
        file.write_all_at(&head, 0)?;
        failpoint!("log.segment.headed");
        file.sync_all()?;
        failpoint!("log.segment.synced");
        std::fs::rename(temporary, path)?;
        failpoint!("log.segment.renamed");
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        failpoint!("log.segment.listed");
        let (path, records_at) = (path.to_owned(), head.len() as u64);
        Ok(Arc::new(Self { file, path, first_sequence, salt, records_at, bytes }))
    }

    /// Opens a file and checks whose it is.
    pub(super) fn open(path: &Path, owner: &Owner) -> Result<Arc<Self>, OpenError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(OpenError::io(path))?;
        let bytes = file.metadata().map_err(OpenError::io(path))?.len();
        if bytes > BYTES_MAX {
            let problem = format!("it has {bytes} bytes, more than any log file");
            return Err(OpenError::Corrupt { path: path.to_owned(), offset: BYTES_MAX, problem });
        }
        let mut head = vec![0; FIXED_BYTES + CLUSTER_ID_LEN_MAX];
        let read = read_up_to(&file, &mut head, 0).map_err(OpenError::io(path))?;
        head.truncate(read);
        let head = Head::decode(&head, path)?;
        head.check(owner, path)?;
        Ok(Arc::new(Self {
            file,
            path: path.to_owned(),
            first_sequence: head.first_sequence,
            salt: head.salt,
            records_at: head.bytes,
            bytes,
        }))
    }

    /// Makes durable what was read back here, the last batch. Its sync may have failed, or the process was killed before
    /// it: then the kernel's cache holds what the disk does not, and after a failure counts it as clean, so that no sync
    /// alone would ever write it. What was found counts from now on, so it must be there.
    pub(super) fn write_again(&self, batch: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(batch, offset)?;
        self.file.sync_data()
    }

    /// Makes zeros of `torn`. In place: a full disk must not keep a server from starting.
    pub(super) fn cut(&self, torn: Range<u64>) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = torn.start;
        while at < torn.end {
            let length = (torn.end - at).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..usize::try_from(length).unwrap_or(ZEROS.len())], at)?;
            failpoint!("log.cut.zeroed");
            at += length;
        }
        self.file.sync_data()?;
        failpoint!("log.cut.synced");
        Ok(())
    }
}

/// `00000000000000000001.wal`: sorts like its number.
pub(super) fn file_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.wal")
}

/// The first sequence in a file's name; `None` for files that are not ours.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal").filter(|digits| digits.len() == 20)?;
    digits.parse().ok()
}

/// Makes creations, renames and removals in the directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Reserves the space, so that an append neither moves the end of the file nor can run out of disk.
fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // Some file systems cannot reserve; there a full disk shows as a failed write, which ends the process.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes),
        Err(errno) => Err(errno.into()),
    }
}

struct Head {
    server_id: ServerId,
    cluster_id: String,
    first_sequence: u64,
    salt: u64,
    bytes: u64,
}

pub(super) fn encode_head(owner: &Owner, first_sequence: u64, salt: u64) -> Vec<u8> {
    let cluster = owner.cluster_id.as_str().as_bytes();
    let bytes = (FIXED_BYTES + cluster.len()).next_multiple_of(ALIGN);
    let mut head = Vec::with_capacity(bytes);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORMAT.to_le_bytes());
    head.extend_from_slice(&(bytes as u32).to_le_bytes());
    head.extend_from_slice(&owner.server_id.0.to_le_bytes());
    head.extend_from_slice(&first_sequence.to_le_bytes());
    head.extend_from_slice(&salt.to_le_bytes());
    head.extend_from_slice(&(cluster.len() as u32).to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(cluster);
    head.resize(bytes, 0);
    let crc = head_crc(&head);
    head[44..48].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Over everything but the checksum itself.
fn head_crc(head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..44]);
    hasher.update(&head[48..]);
    hasher.finalize()
}

impl Head {
    fn decode(bytes: &[u8], path: &Path) -> Result<Self, OpenError> {
        let corrupt = |problem: &str| OpenError::Corrupt { path: path.to_owned(), offset: 0, problem: problem.into() };
        if bytes.len() < FIXED_BYTES || &bytes[..8] != MAGIC {
            return Err(corrupt("it does not begin like a log file"));
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        // Before the checksum: a newer format may have put it elsewhere.
        if number(8) > FORMAT {
            return Err(OpenError::NewerFormat { path: path.to_owned(), found: number(8), known: FORMAT });
        }
        let (length, cluster_length) = (number(12) as usize, number(40) as usize);
        if length > bytes.len()
            || !length.is_multiple_of(ALIGN)
            || cluster_length > CLUSTER_ID_LEN_MAX
            || FIXED_BYTES + cluster_length > length
        {
            return Err(corrupt("its head has impossible lengths"));
        }
        if head_crc(&bytes[..length]) != number(44) {
            return Err(corrupt("the checksum of its head is wrong"));
        }
        if !(1..SEQUENCE_MAX).contains(&long(24)) {
            return Err(corrupt("its first sequence is impossible"));
        }
        let cluster = std::str::from_utf8(&bytes[FIXED_BYTES..FIXED_BYTES + cluster_length])
            .map_err(|_| corrupt("its cluster id is no text"))?;
        Ok(Self {
            server_id: ServerId(long(16)),
            cluster_id: cluster.to_owned(),
            first_sequence: long(24),
            salt: long(32),
            bytes: length as u64,
        })
    }

    fn check(&self, owner: &Owner, path: &Path) -> Result<(), OpenError> {
        if self.cluster_id != owner.cluster_id.as_str() {
            return Err(OpenError::WrongCluster {
                path: path.to_owned(),
                found: ClusterId::new(&*self.cluster_id),
                expected: owner.cluster_id.clone(),
            });
        }
        if self.server_id != owner.server_id {
            return Err(OpenError::WrongServer {
                path: path.to_owned(),
                found: self.server_id,
                expected: owner.server_id,
            });
        }
        let named = path.file_name().and_then(|name| name.to_str()).and_then(parse_name);
        if named != Some(self.first_sequence) {
            let problem = format!("its head says that it begins with record {}", self.first_sequence);
            return Err(OpenError::Corrupt { path: path.to_owned(), offset: 24, problem });
        }
        Ok(())
    }
}
