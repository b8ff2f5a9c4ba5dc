//! Reading a copy without the node: point reads and pages, from the store or a snapshot of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use crate::counter::resolve;
use crate::filter::Filter;
use crate::limits::{
    KEYSPACE_MAX, KEYSPACES_PAGE_MAX, PAGE_BYTES_MAX, PAGE_MAX, PAGE_READ_BYTES_MAX, PAGE_READS_MAX,
};
use crate::message::{KeyspacesRequest, PageRequest};
use crate::record::{Payload, Record};
use crate::replica::decode_record;
use crate::rows::{self, Prefix, split_key};
use crate::stamp::Millis;
use crate::store::{Read, Rows, Space, StoreError, prefix_end};

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

/// Rows, and behind which stored key there may be more; `None`: there is nothing more.
pub type FoundPage = (Vec<Found>, Option<Vec<u8>>);

/// What users see of a range of stored keys in a copy: those that the filter matches, which is that of the
/// page. The page ends early, even without a row, once it looked at as many rows as its budget allows, or
/// with a budget at [`PAGE_READ_BYTES_MAX`] bytes.
///
/// # Errors
/// When the store cannot read or a row is damaged.
pub fn read_page(
    read: &impl Read,
    prefix: Prefix,
    page: &PageRequest,
    filter: Option<&Filter>,
    wall: Millis,
) -> Result<FoundPage, StoreError> {
    let limit = (page.limit as usize).clamp(1, PAGE_MAX);
    let mut budget = Budget::of(page.budget, filter);
    let mut found = range(read, prefix, page);
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
    loop {
        let row = if page.reverse { found.next_back() } else { found.next() };
        let Some(row) = row else { return Ok((rows, None)) };
        let (key, data) = row?;
        if !budget.takes(key.len(), data.len()) {
            return Ok((rows, stored_of(last)));
        }
        let stored = &key[4..];
        if filter
            .is_some_and(|filter| !split_key(stored).is_some_and(|(_, key)| filter.matches(key)))
        {
            last = Some(key);
            continue;
        }
        let record = decode_record(&data)?;
        if !record.is_visible(wall) {
            last = Some(key);
            continue;
        }
        let mut record = resolve(read, prefix, stored, record)?;
        let weight = key.len() + if page.keys_only { 0 } else { record.payload().len() };
        if rows.len() >= limit || (!rows.is_empty() && bytes + weight > PAGE_BYTES_MAX) {
            return Ok((rows, stored_of(last)));
        }
        bytes += weight;
        if page.keys_only
            && let Payload::Value(value, _) = &mut record.register.val
        {
            *value = Vec::new();
        }
        rows.push((stored.to_vec(), record));
        last = Some(key);
    }
}

/// The stored key of a row.
fn stored_of(row: Option<Vec<u8>>) -> Option<Vec<u8>> {
    row.map(|mut row| row.split_off(4))
}

/// The rows of a page.
fn range(read: &impl Read, prefix: Prefix, page: &PageRequest) -> Rows {
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
    read.range(Space::Data, start.as_ref().map(|key| &**key), end.as_ref().map(|key| &**key))
}

/// What a page may still read.
struct Budget {
    rows: usize,
    bytes: usize,
    /// How much more a byte of a key counts than one that is read only.
    weight: usize,
}

impl Budget {
    fn of(rows: u32, filter: Option<&Filter>) -> Self {
        let weight = filter.map_or(0, Filter::weight);
        match (rows as usize, filter) {
            (0, None) => Self { rows: usize::MAX, bytes: usize::MAX, weight },
            (0, Some(_)) => Self { rows: PAGE_READS_MAX, bytes: PAGE_READ_BYTES_MAX, weight },
            (rows, _) => {
                Self { rows: rows.min(PAGE_READS_MAX), bytes: PAGE_READ_BYTES_MAX, weight }
            }
        }
    }

    /// Whether one more row may be read. The first one always may.
    fn takes(&mut self, key: usize, data: usize) -> bool {
        let may = self.rows > 0 && self.bytes > 0;
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(key.saturating_mul(1 + self.weight) + data);
        may
    }
}

/// Names of keyspaces, and with which stored key there may be more; `None`: there is nothing more.
pub type NamesPage = (Vec<String>, Option<Vec<u8>>);

/// The keyspaces that have a key which users see, shorter names first, and those of one length by their
/// bytes; the default one has no name. It goes from one to the next without reading the keys between, but
/// for deleted and expired ones before the first that is seen: at most [`PAGE_READS_MAX`] rows in a page.
///
/// # Errors
/// When the store cannot read or a row is damaged.
pub fn read_keyspaces(
    read: &impl Read,
    prefix: Prefix,
    request: &KeyspacesRequest,
    wall: Millis,
) -> Result<NamesPage, StoreError> {
    let limit = (request.limit as usize).clamp(1, KEYSPACES_PAGE_MAX);
    let end = rows::data_key(prefix, &[KEYSPACE_MAX as u8 + 1]);
    let (mut names, mut looked, mut start) = (Vec::new(), 0, request.start.clone());
    loop {
        let from = rows::data_key(prefix, &start);
        let mut rows = read.range(Space::Data, Bound::Included(&from), Bound::Excluded(&end));
        let name = loop {
            let Some(row) = rows.next() else { return Ok((names, None)) };
            let (key, data) = row?;
            let stored = &key[4..];
            if looked == PAGE_READS_MAX {
                return Ok((names, Some(stored.to_vec())));
            }
            looked += 1;
            if decode_record(&data)?.is_visible(wall)
                && let Some((name, _)) = split_key(stored)
            {
                if names.len() == limit {
                    return Ok((names, Some(stored.to_vec())));
                }
                break name.to_vec();
            }
        };
        let Some(next) = prefix_end(&[&[name.len() as u8], &*name].concat()) else {
            return Ok((names, None));
        };
        start = next;
        names.extend(String::from_utf8(name));
    }
}

#[cfg(test)]
mod tests;
