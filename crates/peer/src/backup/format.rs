//! The format of a backup: one stream of bytes, written and read once from its beginning to its end.
//!
//! ```text
//! head   "tidings backup\n", the number of the format u8 (1),
//!        the length of the origin u32, the origin, when it was taken u64 (ms since the Unix epoch),
//!        check u64
//! block  1, space u8 (0 data, 1 log, 2 meta), the number of rows u32, their bytes u32, the rows, check u64
//! row    the length of the key u16, the length of the value u32, key, value
//! end    2, the number of all rows u64, BLAKE3 of everything before [32]
//! ```
//!
//! Numbers are little-endian. A check is the xxh3 of the part before it, seeded with the offset where that
//! begins, so that a damaged part is noticed before anything of it is used, and where it is can be said.
//! Blocks come by space, rows by the bytes of their keys. The origin is encoded as stored rows
//! are, and so begins with the version of their format.

use std::io::{Read, Write};
use std::ops::Bound;

use tidings_core::backup::{Origin, is_copied, is_database};
use tidings_core::directory::Directory;
use tidings_core::ident::PeerId;
use tidings_core::stamp::Time;
use tidings_core::store::{Batch, Space, StoreError};
use tidings_core::wire;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{BackupError, BackupReport};

/// The format that this build writes and reads.
pub const VERSION: u8 = 1;
/// What every backup begins with.
pub const MAGIC: &[u8; 15] = b"tidings backup\n";

/// Bytes of rows after which a block ends.
const BLOCK_BYTES: usize = 256 * 1024;
/// The longest block that is read: the longest row and one block before it, with room to spare.
const BLOCK_MAX: usize = 24 * 1024 * 1024;
/// The longest origin that is read: many times any.
const ORIGIN_MAX: usize = 4 * 1024;

const BLOCK: u8 = 1;
const END: u8 = 2;
/// Tag, space, number of rows, bytes.
const BLOCK_HEAD: usize = 1 + 1 + 4 + 4;
/// Lengths of key and value.
const ROW_HEAD: usize = 2 + 4;
const CHECK: usize = 8;
const HASH: usize = blake3::OUT_LEN;

fn check_of(part: &[u8], offset: u64) -> [u8; CHECK] {
    xxh3_64_with_seed(part, offset).to_le_bytes()
}

fn number(space: Space) -> u8 {
    match space {
        Space::Data => 0,
        Space::Log => 1,
        Space::Meta => 2,
    }
}

/// Counts databases that are not the system's.
fn users(databases: u64) -> u64 {
    databases.saturating_sub(Directory::system_paths().count() as u64)
}

/// Writes a backup.
pub(super) struct Writer<W> {
    out: W,
    hash: blake3::Hasher,
    offset: u64,
    origin: Origin,
    taken: u64,
    rows: u64,
    databases: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the head: whose rows follow, as of when.
    pub(super) fn begin(
        snapshot: &impl tidings_core::store::Read,
        peer: PeerId,
        taken: u64,
        out: W,
    ) -> Result<Self, BackupError> {
        let origin = Origin::read(snapshot, peer)?;
        let hash = blake3::Hasher::new();
        let mut head = MAGIC.to_vec();
        head.push(VERSION);
        let bytes = wire::encode(&origin);
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend(bytes);
        head.extend(taken.to_le_bytes());
        let mut writer = Self { out, hash, offset: 0, origin, taken, rows: 0, databases: 0 };
        writer.part(head)?;
        Ok(writer)
    }

    /// Writes the rows of a space that belong into a backup. `go_on` is asked before each block.
    pub(super) fn space(
        &mut self,
        snapshot: &impl tidings_core::store::Read,
        space: Space,
        go_on: impl Fn() -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let (mut count, mut block) = (0_u32, Vec::new());
        for row in snapshot.range(space, Bound::Unbounded, Bound::Unbounded) {
            let (key, value) = row?;
            if !is_copied(space, &key) {
                continue;
            }
            let lengths = (u16::try_from(key.len()), u32::try_from(value.len()));
            let (Ok(key_length), Ok(value_length)) = lengths else {
                return Err(StoreError::corrupt("a row is longer than any that is written").into());
            };
            if block.is_empty() {
                block.resize(BLOCK_HEAD, 0);
            }
            block.extend(key_length.to_le_bytes());
            block.extend(value_length.to_le_bytes());
            block.extend(&key);
            block.extend(&value);
            count += 1;
            self.databases += u64::from(is_database(space, &key));
            if block.len() >= BLOCK_BYTES {
                go_on()?;
                self.block(space, std::mem::take(&mut count), std::mem::take(&mut block))?;
            }
        }
        go_on()?;
        if count == 0 { Ok(()) } else { self.block(space, count, block) }
    }

    fn block(&mut self, space: Space, count: u32, mut block: Vec<u8>) -> Result<(), BackupError> {
        let bytes = (block.len() - BLOCK_HEAD) as u32;
        block[0] = BLOCK;
        block[1] = number(space);
        block[2..6].copy_from_slice(&count.to_le_bytes());
        block[6..BLOCK_HEAD].copy_from_slice(&bytes.to_le_bytes());
        self.rows += u64::from(count);
        self.part(block)
    }

    /// Writes a part and its check.
    fn part(&mut self, mut part: Vec<u8>) -> Result<(), BackupError> {
        let check = check_of(&part, self.offset);
        part.extend(check);
        self.hash.update(&part);
        self.write(&part)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let failed = |error| BackupError::io("write", None, error);
        self.out.write_all(bytes).map_err(failed)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Writes the end, without which a backup is none.
    pub(super) fn finish(mut self) -> Result<BackupReport, BackupError> {
        let mut end = vec![END];
        end.extend(self.rows.to_le_bytes());
        self.hash.update(&end);
        end.extend(self.hash.finalize().as_bytes());
        self.write(&end)?;
        self.out.flush().map_err(|error| BackupError::io("write", None, error))?;
        Ok(BackupReport {
            peer: self.origin.peer.to_string(),
            taken: self.taken,
            rows: self.rows,
            databases: users(self.databases),
            bytes: self.offset,
        })
    }
}

/// Reads a backup, and refuses every part that is not as it was written.
pub(super) struct Reader<R> {
    input: R,
    hash: blake3::Hasher,
    offset: u64,
    origin: Origin,
    taken: u64,
    rows: u64,
    databases: u64,
    /// The space of the last block.
    space: u8,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub(super) fn begin(input: R) -> Result<Self, BackupError> {
        let origin = Origin { peer: PeerId([0; 32]), cluster: 0, reserved: Time::default() };
        let (hash, offset) = (blake3::Hasher::new(), 0);
        let (taken, rows, databases, space) = (0, 0, 0, 0);
        let mut reader = Self { input, hash, offset, origin, taken, rows, databases, space };
        let mut head = Vec::new();
        reader.more(&mut head, MAGIC.len()).map_err(|error| match error {
            BackupError::Truncated { .. } => BackupError::Foreign,
            other => other,
        })?;
        if head != MAGIC {
            return Err(BackupError::Foreign);
        }
        reader.more(&mut head, 1)?;
        match head[MAGIC.len()] {
            VERSION => {}
            found if found > VERSION => return Err(BackupError::Newer { found }),
            _ => return Err(reader.damaged(0, "its format has a number that none has")),
        }
        let length = u32::from_le_bytes(reader.number(&mut head)?) as usize;
        if length > ORIGIN_MAX {
            return Err(reader.damaged(0, "its origin is longer than any"));
        }
        let at = head.len();
        reader.more(&mut head, length)?;
        reader.taken = u64::from_le_bytes(reader.number(&mut head)?);
        reader.check(&head, 0)?;
        reader.origin = wire::decode(&head[at..at + length])
            .map_err(|_| reader.damaged(0, "its origin is not understood"))?;
        Ok(reader)
    }

    /// Whose rows these are.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The rows of the next block; `None` after the last, when the whole is as it was written.
    pub(super) fn block(&mut self) -> Result<Option<Batch>, BackupError> {
        let from = self.offset;
        let mut part = Vec::new();
        self.more(&mut part, 1)?;
        match part[0] {
            BLOCK => {}
            END => return self.end(part, from).map(|()| None),
            _ => return Err(self.damaged(from, "no part begins like that")),
        }
        self.more(&mut part, 1)?;
        let space = part[1];
        let count = u32::from_le_bytes(self.number(&mut part)?);
        let length = u32::from_le_bytes(self.number(&mut part)?) as usize;
        let found = Space::ALL.into_iter().find(|known| number(*known) == space);
        let Some(found) = found.filter(|_| length <= BLOCK_MAX) else {
            return Err(self.damaged(from, "a block begins as none does"));
        };
        self.more(&mut part, length)?;
        self.check(&part, from)?;
        let misplaced = space < self.space;
        self.space = space;
        let batch = rows(&part[BLOCK_HEAD..], found).filter(|batch| {
            batch.writes.len() == count as usize
                && !misplaced
                && batch.writes.iter().all(|(space, key, _)| is_copied(*space, key))
        });
        let batch = batch.ok_or_else(|| self.damaged(from, "its rows are none"))?;
        self.rows += u64::from(count);
        let databases = batch.writes.iter().filter(|(space, key, _)| is_database(*space, key));
        self.databases += databases.count() as u64;
        Ok(Some(batch))
    }

    fn end(&mut self, mut part: Vec<u8>, from: u64) -> Result<(), BackupError> {
        let rows = u64::from_le_bytes(self.number(&mut part)?);
        let whole = self.hash.finalize();
        let hash: [u8; HASH] = self.number(&mut part)?;
        if rows != self.rows || hash != *whole.as_bytes() {
            return Err(self.damaged(from, "what it says of the whole does not hold"));
        }
        let mut behind = [0; 1];
        match self.input.read(&mut behind) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged(self.offset, "something follows its end")),
            Err(error) => Err(BackupError::io("read", None, error)),
        }
    }

    /// What was read, once it was read to its end.
    pub(super) fn report(&self) -> BackupReport {
        BackupReport {
            peer: self.origin.peer.to_string(),
            taken: self.taken,
            rows: self.rows,
            databases: users(self.databases),
            bytes: self.offset,
        }
    }

    /// Reads so many more bytes of a part.
    fn more(&mut self, part: &mut Vec<u8>, bytes: usize) -> Result<(), BackupError> {
        let before = part.len();
        // Not more than comes is made room for, whatever a damaged length says.
        let read = (&mut self.input).take(bytes as u64).read_to_end(part);
        self.offset += (part.len() - before) as u64;
        read.map_err(|error| BackupError::io("read", None, error))?;
        if part.len() - before < bytes {
            return Err(BackupError::Truncated { at: self.offset });
        }
        self.hash.update(&part[before..]);
        Ok(())
    }

    fn number<const N: usize>(&mut self, part: &mut Vec<u8>) -> Result<[u8; N], BackupError> {
        let before = part.len();
        self.more(part, N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&part[before..]);
        Ok(bytes)
    }

    /// Reads the check behind a part that began at this offset.
    fn check(&mut self, part: &[u8], from: u64) -> Result<(), BackupError> {
        let check: [u8; CHECK] = self.number(&mut Vec::new())?;
        let sound = check == check_of(part, from);
        if sound { Ok(()) } else { Err(self.damaged(from, "it does not match its checksum")) }
    }

    fn damaged(&self, from: u64, why: &'static str) -> BackupError {
        BackupError::Damaged { from, upto: self.offset, why }
    }
}

/// The rows of a block; `None` where its bytes are no rows.
fn rows(mut bytes: &[u8], space: Space) -> Option<Batch> {
    let mut batch = Batch::default();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<ROW_HEAD>()?;
        let key = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let value = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (key, rest) = rest.split_at_checked(key).filter(|(key, _)| !key.is_empty())?;
        let (value, rest) = rest.split_at_checked(value)?;
        batch.put(space, key.to_vec(), value.to_vec());
        bytes = rest;
    }
    Some(batch)
}

/// Reads to the end; `each` gets the rows of a block, and how many bytes were read.
pub(super) fn read_all<R: Read>(
    reader: &mut Reader<R>,
    mut each: impl FnMut(Batch, u64) -> Result<(), BackupError>,
) -> Result<BackupReport, BackupError> {
    while let Some(batch) = reader.block()? {
        each(batch, reader.offset())?;
    }
    Ok(reader.report())
}

#[cfg(test)]
mod tests;
