//! The bytes of a snapshot file: magic, header with checksum, compressed chunks of rows with checksums, an end mark
//! with the number of rows. Everything is checked before anything is believed.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use boss_proto::ids::ClusterId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::BadSnapshot;
use crate::{
    failpoints::failpoint,
    state::{
        Limits, Registry, State,
        rows::{self, Loader, Row},
    },
    storage::meta::{Meta, Place},
};

/// First bytes of each file; the digit is the format of what surrounds the rows.
const MAGIC: &[u8; 8] = b"BOSSNAP1";
/// A header holds identifiers and members, no objects.
const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Rows are packed until this many bytes are together.
const CHUNK_BYTES: usize = 256 * 1024;
/// No chunk is longer: the last row may stand over, compression may lengthen.
const CHUNK_BYTES_MAX: usize = 2 * CHUNK_BYTES;
/// Fast, and half as large as no compression for objects.
const LEVEL: i32 = 1;

/// Writes a snapshot; the caller makes it durable.
pub(crate) fn write(file: &File, cluster_id: &ClusterId, place: &Place, registry: &Registry) -> io::Result<()> {
    write_rows(file, &Meta::new(cluster_id, place, registry), rows::rows(registry))
}

pub(super) fn write_rows(file: &File, meta: &Meta, rows: impl Iterator<Item = Row>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    out.write_all(MAGIC)?;
    write_block(&mut out, &meta.encode_to_vec(), 0)?;
    failpoint!("snapshot.headed");
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES_MAX);
    let mut count = 0_u64;
    for row in rows {
        put_row(&mut chunk, &row);
        count += 1;
        if chunk.len() >= CHUNK_BYTES {
            write_chunk(&mut out, &mut chunk)?;
        }
    }
    if !chunk.is_empty() {
        write_chunk(&mut out, &mut chunk)?;
    }
    // An empty chunk with the number of rows ends the file.
    write_block(&mut out, &count.to_le_bytes(), 0)?;
    out.flush()?;
    failpoint!("snapshot.written");
    Ok(())
}

/// A block: its length, how long it is unpacked (0: it is not packed), its checksum, its bytes.
fn write_block(out: &mut impl Write, bytes: &[u8], unpacked: usize) -> io::Result<()> {
    let length = |length: usize| u32::try_from(length).map_err(|_| io::Error::other("a block is too long"));
    out.write_all(&length(bytes.len())?.to_le_bytes())?;
    out.write_all(&length(unpacked)?.to_le_bytes())?;
    out.write_all(&crc32fast::hash(bytes).to_le_bytes())?;
    out.write_all(bytes)
}

fn write_chunk(out: &mut impl Write, chunk: &mut BytesMut) -> io::Result<()> {
    let packed = zstd::bulk::compress(chunk, LEVEL)?;
    write_block(out, &packed, chunk.len())?;
    chunk.clear();
    Ok(())
}

fn put_row(chunk: &mut BytesMut, row: &Row) {
    let value = row.value.as_deref().unwrap_or_default();
    for part in [&row.key[..], value] {
        chunk.put_u32_le(u32::try_from(part.len()).expect("keys and values are bounded far below 4 GiB"));
        chunk.put_slice(part);
    }
}

/// Reads the description at the start of a snapshot alone.
pub(crate) fn read_meta(path: &Path, cluster_id: &ClusterId) -> Result<Meta, BadSnapshot> {
    let mut input = BufReader::new(File::open(path)?);
    Ok(Meta::read(&header(&mut input)?, cluster_id)?)
}

/// Reads a whole snapshot of whatever cluster.
pub(crate) fn read_any(path: &Path) -> Result<(Meta, State, Place), BadSnapshot> {
    read_any_from(&mut BufReader::new(File::open(path)?))
}

pub(super) fn read_any_from(input: &mut impl Read) -> Result<(Meta, State, Place), BadSnapshot> {
    let meta = Meta::read_any(&header(input)?)?;
    let (state, place) = body(input, &meta, Limits::default())?;
    Ok((meta, state, place))
}

/// A file around whatever description and rows.
#[cfg(any(test, fuzzing))]
pub(super) fn file_of(header: &[u8], rows: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    write_block(&mut out, header, 0)?;
    write_chunk(&mut out, &mut BytesMut::from(rows))?;
    Ok(out)
}

/// Reads a whole snapshot, checking every part and the hash over all.
pub(crate) fn read(path: &Path, cluster_id: &ClusterId, limits: Limits) -> Result<(State, Place), BadSnapshot> {
    let mut input = BufReader::new(File::open(path)?);
    let meta = Meta::read(&header(&mut input)?, cluster_id)?;
    body(&mut input, &meta, limits)
}

fn body(input: &mut impl Read, meta: &Meta, limits: Limits) -> Result<(State, Place), BadSnapshot> {
    let mut loader = Loader::new(meta.header()?, limits)?.written_in(meta.format);
    let mut count = 0_u64;
    loop {
        let block = read_block(input, CHUNK_BYTES_MAX)?;
        if block.unpacked == 0 {
            check_end(input, &block.bytes, count)?;
            break;
        }
        let chunk =
            zstd::bulk::decompress(&block.bytes, block.unpacked).map_err(|error| damaged(&error.to_string()))?;
        count += load_rows(&mut loader, chunk.into())?;
    }
    Ok((loader.finish()?, meta.place()?))
}

fn header(input: &mut impl Read) -> Result<Vec<u8>, BadSnapshot> {
    let mut magic = [0; MAGIC.len()];
    exact(input, &mut magic)?;
    if magic != *MAGIC {
        return Err(damaged("it does not start as a snapshot"));
    }
    Ok(read_block(input, HEADER_BYTES_MAX)?.bytes)
}

struct Block {
    unpacked: usize,
    bytes: Vec<u8>,
}

fn read_block(input: &mut impl Read, bytes_max: usize) -> Result<Block, BadSnapshot> {
    let mut head = [0; 12];
    exact(input, &mut head)?;
    let mut head = &head[..];
    let (length, unpacked, checksum) = (head.get_u32_le() as usize, head.get_u32_le() as usize, head.get_u32_le());
    if length > bytes_max || unpacked > CHUNK_BYTES_MAX {
        return Err(damaged("a block is too long"));
    }
    let mut bytes = vec![0; length];
    exact(input, &mut bytes)?;
    if crc32fast::hash(&bytes) != checksum {
        return Err(damaged("a checksum does not agree"));
    }
    Ok(Block { unpacked, bytes })
}

fn load_rows(loader: &mut Loader, mut chunk: Bytes) -> Result<u64, BadSnapshot> {
    let mut count = 0;
    while chunk.has_remaining() {
        let key = take_part(&mut chunk)?;
        // Copied: a slice would keep the whole chunk in memory for as long as one object lives.
        let value = Bytes::copy_from_slice(&take_part(&mut chunk)?);
        loader.row(&key, value)?;
        count += 1;
    }
    Ok(count)
}

fn take_part(chunk: &mut Bytes) -> Result<Bytes, BadSnapshot> {
    let length = chunk.try_get_u32_le().map_err(|_| damaged("a row is cut short"))? as usize;
    if length > chunk.remaining() { Err(damaged("a row is cut short")) } else { Ok(chunk.split_to(length)) }
}

fn check_end(input: &mut impl Read, count: &[u8], found: u64) -> Result<(), BadSnapshot> {
    if count != found.to_le_bytes() {
        return Err(damaged("rows are missing"));
    }
    match input.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(damaged("something follows its end")),
    }
}

fn exact(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), BadSnapshot> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut short"),
        _ => BadSnapshot::Io(error),
    })
}

fn damaged(problem: &str) -> BadSnapshot {
    BadSnapshot::Damaged(problem.to_owned())
}
