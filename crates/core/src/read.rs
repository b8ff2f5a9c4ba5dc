//! Reading a copy without the node: point reads and pages, from the store or a snapshot of it.

use alloc::vec::Vec;
use core::ops::Bound;

use crate::limits::{PAGE_BYTES_MAX, PAGE_MAX};
use crate::message::PageRequest;
use crate::record::{Payload, Record};
use crate::rows::{self, Prefix};
use crate::stamp::Millis;
use crate::store::{Read, Space, StoreError};

/// Reads the record of a stored key in a copy, without the node.
///
/// # Errors
/// When the store cannot read or the row is damaged.
pub fn read_record(
    read: &impl Read,
    prefix: Prefix,
    stored: &[u8],
) -> Result<Option<Record>, StoreError> {
    let row = rows::data_key(prefix, stored);
    read.look(Space::Data, &row, |row| row.map(crate::replica::decode_record).transpose())?
}

/// A stored key and its record.
pub type Found = (Vec<u8>, Record);

/// Live rows of a range of stored keys in a copy, and whether there are more.
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
        let mut record = crate::replica::decode_record(&data)?;
        if !record.is_visible(wall) {
            continue;
        }
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
