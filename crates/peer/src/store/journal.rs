//! Mending the engine's journal after a power cut.
//!
//! What was not synced may reach the disk in any order, so a power cut can leave a page of zeros
//! inside the tail of the journal. Where that page hides a tag, fjall ends the journal before it;
//! where it lies inside a large value, fjall finds a batch that does not match its checksum and
//! refuses to open, for good. Both are the same loss, of commits that nobody was told were synced.
//! So when fjall refuses, the journal that it was writing is cut behind its last sound batch, and
//! a copy of it is kept.
//!
//! The layout read here is that of fjall 3 with an uncompressed journal:
//!
//! ```text
//! batch  1, count u32, sequence u64, entries, 3, xxh3 of the entries u64, "FJL" 3
//! entry  2, type u8, compression u8 (0), keyspace u64, key length u16,
//!        value length u32, stored length u32, key, value
//!        4, keyspace u64
//! ```

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";
const UNCOMPRESSED: u8 = 0;

/// Cuts the newest journal of the engine in `store` behind its last sound batch, after copying it
/// to `copy`. Returns how many bytes before the end of what was written are gone, or `None`, with
/// nothing done, when all of it is sound and the damage must be elsewhere.
pub(super) fn mend(store: &Path, copy: &Path) -> io::Result<Option<u64>> {
    let Some(path) = newest(store)? else { return Ok(None) };
    let bytes = fs::read(&path)?;
    let sound = sound_length(&bytes);
    // Ahead of the writing the file is zeros.
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if written <= sound {
        return Ok(None);
    }
    fs::copy(&path, copy)?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.set_len(sound as u64)?;
    file.sync_all()?;
    Ok(Some((written - sound) as u64))
}

/// The journal that was being written: the one with the highest number. The others were synced
/// before it was begun.
fn newest(store: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok());
        if let Some(number) = number {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The length of the sound batches at the beginning of a journal.
fn sound_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(after) = after_batch(rest) {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// What follows the batch that `bytes` begin with, when that is a sound one.
fn after_batch(bytes: &[u8]) -> Option<&[u8]> {
    let (&[START], rest) = take(bytes)? else { return None };
    let (&count, rest) = take(rest)?;
    let (_sequence, entries): (&[u8; 8], _) = take(rest)?;
    let mut rest = entries;
    for _ in 0..u32::from_le_bytes(count) {
        rest = after_entry(rest)?;
    }
    let checked = &entries[..entries.len() - rest.len()];
    let (&[END], rest) = take(rest)? else { return None };
    let (&checksum, rest) = take(rest)?;
    let (&trailer, rest) = take(rest)?;
    let is_sound = trailer == TRAILER && u64::from_le_bytes(checksum) == xxh3_64(checked);
    is_sound.then_some(rest)
}

fn after_entry(bytes: &[u8]) -> Option<&[u8]> {
    let (&[tag], rest) = take(bytes)?;
    if tag == CLEAR {
        return take::<8>(rest).map(|(_keyspace, rest)| rest);
    }
    let (&[_type, compression], rest) = take(rest)?;
    let (_keyspace, rest): (&[u8; 8], _) = take(rest)?;
    let (&key, rest) = take(rest)?;
    let (&value, rest) = take(rest)?;
    let (&stored, rest) = take(rest)?;
    let is_known = tag == ITEM && compression == UNCOMPRESSED && value == stored;
    let length = usize::from(u16::from_le_bytes(key)) + u32::from_le_bytes(stored) as usize;
    if is_known { rest.get(length..) } else { None }
}

fn take<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    bytes.split_first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(values: &[&[u8]]) -> Vec<u8> {
        let mut entries = Vec::new();
        for value in values {
            entries.extend([ITEM, 0, UNCOMPRESSED]);
            entries.extend(7_u64.to_le_bytes());
            entries.extend(3_u16.to_le_bytes());
            entries.extend((value.len() as u32).to_le_bytes());
            entries.extend((value.len() as u32).to_le_bytes());
            entries.extend(b"key");
            entries.extend(*value);
        }
        let mut bytes = vec![START];
        bytes.extend((values.len() as u32).to_le_bytes());
        bytes.extend(9_u64.to_le_bytes());
        bytes.extend(&entries);
        bytes.push(END);
        bytes.extend(xxh3_64(&entries).to_le_bytes());
        bytes.extend(TRAILER);
        bytes
    }

    /// Every damaged byte and every cut ends the sound part before its batch, and nothing panics.
    #[test]
    fn damage_anywhere_ends_the_sound_part() {
        let (first, second) = (batch(&[b"one", b""]), batch(&[b"two two"]));
        let whole = [first.as_slice(), &second].concat();
        assert_eq!(sound_length(&whole), whole.len());
        for index in 0..whole.len() {
            let expected = if index < first.len() { 0 } else { first.len() };
            assert_eq!(sound_length(&whole[..index]), expected);
            let mut damaged = whole.clone();
            damaged[index] ^= 0x55;
            // The sequence is outside the checksum.
            let within = index - expected;
            if !(5..13).contains(&within) {
                assert_eq!(sound_length(&damaged), expected, "byte {index}");
            }
        }
    }
}
