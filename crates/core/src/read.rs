//! Reading a copy without the node: point reads and pages, from the store or a snapshot of it.

use alloc::vec::Vec;
use core::ops::Bound;

use crate::counter::resolve;
use crate::limits::{PAGE_BYTES_MAX, PAGE_MAX};
use crate::message::PageRequest;
use crate::record::{Payload, Record};
use crate::replica::decode_record;
use crate::rows::{self, Prefix};
use crate::stamp::Millis;
use crate::store::{Read, Space, StoreError};

/// Reads the record of a stored key in a copy, without the node: of a counter, what says that it is one.
///
/// # Errors
/// When the store cannot read or the row is damaged.
pub fn read_stored(
    read: &impl Read,
    prefix: Prefix,
    stored: &[u8],
) -> Result<Option<Record>, StoreError> {
    let row = rows::data_key(prefix, stored);
    read.look(Space::Data, &row, |row| row.map(decode_record).transpose())?
}

/// Reads what users see of a stored key in a copy, without the node: of a counter, its value. Several rows
/// make that up: where others write meanwhile, read from a snapshot.
///
/// # Errors
/// When the store cannot read or the row is damaged.
pub fn read_record(
    read: &impl Read,
    prefix: Prefix,
    stored: &[u8],
) -> Result<Option<Record>, StoreError> {
    let record = read_stored(read, prefix, stored)?;
    record.map(|record| resolve(read, prefix, stored, record)).transpose()
}

/// A stored key and its record.
pub type Found = (Vec<u8>, Record);

/// What users see of a range of stored keys in a copy, and whether there is more.
///
/// # Errors
/// When the store cannot read or a row is damaged.
pub fn read_page(
    read: &impl Read,
    prefix: Prefix,
    page: &PageRequest,
    wall: Millis,
) -> Result<(Vec<Found>, bool), StoreError> {
    let limit = (page.limit as usize).clamp(1, PAGE_MAX);
    let place = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Included(key) => Bound::Included(rows::data_key(prefix, key)),
        Bound::Excluded(key) => Bound::Excluded(rows::data_key(prefix, key)),
        Bound::Unbounded => Bound::Unbounded,
    };
    let start = match place(&page.start) {
        Bound::Unbounded => Bound::Included(rows::data_key(prefix, &[])),
        bound => bound,
    };
    let end = match place(&page.end) {
        Bound::Unbounded => Bound::Excluded(rows::data_key(prefix + 1, &[])),
        bound => bound,
    };
    let mut found =
        read.range(Space::Data, start.as_ref().map(|key| &**key), end.as_ref().map(|key| &**key));
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        let row = if page.reverse { found.next_back() } else { found.next() };
        let Some(row) = row else { return Ok((rows, false)) };
        let (key, data) = row?;
        let record = decode_record(&data)?;
        if !record.is_visible(wall) {
            continue;
        }
        let mut record = resolve(read, prefix, &key[4..], record)?;
        let weight = key.len() + if page.keys_only { 0 } else { record.payload().len() };
        if rows.len() >= limit || (!rows.is_empty() && bytes + weight > PAGE_BYTES_MAX) {
            return Ok((rows, true));
        }
        bytes += weight;
        if page.keys_only
            && let Payload::Value(value, _) = &mut record.register.val
        {
            *value = Vec::new();
        }
        rows.push((key[4..].to_vec(), record));
    }
}
