//! Where rows lie: the keys of every stored row, and the staged batch that writes them.
//!
//! | space | key | value |
//! |---|---|---|
//! | data | prefix, stored key | [`Record`] |
//! | log | prefix, first half of the epoch, sequence | stored key |
//! | meta | `d`, database id | [`Interned`] |
//! | meta | `s`, prefix | [`StateRow`](crate::replica::StateRow) |
//! | meta | `b`, prefix | [`Base`](crate::replica::Base), where there is one |
//! | meta | `x`, prefix | nothing: the rows of this prefix are to be removed |
//! | meta | `r`, prefix | nothing: the copy came complete with a backup, and was not active since |
//! | meta | `p`, name | a row of the peer itself |
//!
//! A prefix is the 4-byte local number of a database, never used again. A stored key is one byte
//! with the length of the keyspace's name (0 for the default one), that name, and the user's key. The
//! sums of a counter lie under stored keys of their own: a byte 255, the length of the counter's stored
//! key in two, that key, and the stamp of the sum's first increment, see [`counter`](crate::counter).

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::ident::{DatabaseId, Epoch};
use crate::record::Record;
use crate::stamp::{Dot, Stamp, Time};
use crate::store::{Batch, Read, Rows, Space, StoreError};
use crate::wire;

/// The local number of a database.
pub type Prefix = u32;

/// Bytes of a local number, which every row of a copy begins with.
pub const PREFIX_BYTES: usize = size_of::<Prefix>();

/// What the local number of a database stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interned {
    /// The local number.
    pub prefix: Prefix,
    /// The path.
    pub path: String,
}

/// The stored key of a user's key in the default keyspace.
pub fn stored_key(key: &[u8]) -> Vec<u8> {
    stored_key_in("", key)
}

/// The stored key of a user's key in a keyspace, whose name has at most
/// [`KEYSPACE_MAX`](crate::limits::KEYSPACE_MAX) bytes.
pub fn stored_key_in(keyspace: &str, key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + keyspace.len() + key.len());
    stored.push(keyspace.len() as u8);
    stored.extend_from_slice(keyspace.as_bytes());
    stored.extend_from_slice(key);
    stored
}

/// The name of the keyspace, and the user's key, in a stored key; `None` for any other row.
pub fn split_key(stored: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = stored.split_first()?;
    let length = usize::from(*length);
    (length <= crate::limits::KEYSPACE_MAX).then_some(())?;
    rest.split_at_checked(length).filter(|(_, key)| !key.is_empty())
}

/// Bytes of the stamp at the end of the stored key of a sum.
pub const STAMP_BYTES: usize = size_of::<Time>() + size_of::<Epoch>();

/// What the stored keys of sums begin with: no keyspace has a name of this length.
const SUMS: u8 = 0xff;

/// The beginning of the stored keys of all sums.
pub const SUMS_PREFIX: [u8; 1] = [SUMS];

/// The beginning of the stored keys of the sums of a counter.
pub fn sums_prefix(counter: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(3 + counter.len() + STAMP_BYTES);
    stored.push(SUMS);
    stored.extend_from_slice(&(counter.len() as u16).to_be_bytes());
    stored.extend_from_slice(counter);
    stored
}

/// The stored key of the sum of a counter that began with an increment of this stamp.
pub fn sum_key(counter: &[u8], first: Stamp) -> Vec<u8> {
    let mut stored = sums_prefix(counter);
    stored.extend_from_slice(&first.time.0.to_be_bytes());
    stored.extend_from_slice(&first.epoch.0.to_be_bytes());
    stored
}

/// The rows of a copy between which lie the sums of a counter that began after some time.
pub fn sums_since(prefix: Prefix, counter: &[u8], since: Time) -> (Vec<u8>, Vec<u8>) {
    let after = |time: Time| {
        let mut row = data_key(prefix, &sums_prefix(counter));
        row.extend_from_slice(&time.0.to_be_bytes());
        row
    };
    // Stamps end far below the last time.
    (after(Time(since.0.saturating_add(1))), after(Time(u64::MAX)))
}

/// The stored key of the counter, and the stamp of the first increment, of the stored key of a sum.
pub fn split_sum(stored: &[u8]) -> Option<(&[u8], Stamp)> {
    let rest = stored.strip_prefix(&SUMS_PREFIX)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (counter, first) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (time, epoch) = first.split_first_chunk::<8>()?;
    let time = Time(u64::from_be_bytes(*time));
    let epoch = Epoch(u128::from_be_bytes(epoch.try_into().ok()?));
    split_key(counter)?;
    Some((counter, Stamp { time, epoch }))
}

/// What the rows of all sums of a counter in a copy begin with, of the row of one.
pub fn sums_of(row: &[u8]) -> Option<&[u8]> {
    let stored = row.get(PREFIX_BYTES..)?;
    split_sum(stored).map(|_| &row[..row.len() - STAMP_BYTES])
}

/// The row of a stored key.
pub fn data_key(prefix: Prefix, stored: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX_BYTES + stored.len());
    key.extend_from_slice(&prefix.to_be_bytes());
    key.extend_from_slice(stored);
    key
}

/// The data rows of a copy above a stored key (empty: from the first one), up to another (none: to
/// the last one).
pub fn data_rows(read: &impl Read, prefix: Prefix, above: &[u8], upto: Option<&[u8]>) -> Rows {
    let start = data_key(prefix, above);
    let lower = if above.is_empty() { Bound::Included(&*start) } else { Bound::Excluded(&*start) };
    let end = upto.map_or_else(|| data_key(prefix + 1, &[]), |upto| data_key(prefix, upto));
    let upper = if upto.is_some() { Bound::Included(&*end) } else { Bound::Excluded(&*end) };
    read.range(Space::Data, lower, upper)
}

/// The log row of a dot, in 20 bytes: what fjall keeps in a node of its tables in memory, where a
/// longer key is one more cache miss in every comparison. Half of an epoch is 64 random bits. Should
/// two of a database ever share them, a record can be missing from an answer to a pull, as after
/// any lost log row, and the self-check puts it back.
pub fn log_key(prefix: Prefix, dot: Dot) -> Vec<u8> {
    let mut key = Vec::with_capacity(20);
    key.extend_from_slice(&prefix.to_be_bytes());
    key.extend_from_slice(&dot.epoch.0.to_be_bytes()[..8]);
    key.extend_from_slice(&dot.sequence.to_be_bytes());
    key
}

/// The row that interns a database.
pub fn intern_key(id: DatabaseId) -> Vec<u8> {
    [b"d".as_slice(), &id.0].concat()
}

/// The row of a database's state.
pub fn state_key(prefix: Prefix) -> Vec<u8> {
    [b"s".as_slice(), &prefix.to_be_bytes()].concat()
}

/// The row that a database's state is written against.
pub fn base_key(prefix: Prefix) -> Vec<u8> {
    [b"b".as_slice(), &prefix.to_be_bytes()].concat()
}

/// The row of a prefix whose database is no longer here.
pub fn unlinked_key(prefix: Prefix) -> Vec<u8> {
    [b"x".as_slice(), &prefix.to_be_bytes()].concat()
}

/// A row of the peer itself.
pub fn peer_key(name: &str) -> Vec<u8> {
    [b"p".as_slice(), name.as_bytes()].concat()
}

/// A batch under construction, readable as if it were committed already.
#[derive(Debug, Default)]
pub struct Transaction {
    writes: BTreeMap<(Space, Vec<u8>), Option<Vec<u8>>>,
    /// Records that are no rows yet, by copy and stored key.
    records: BTreeMap<Prefix, BTreeMap<Vec<u8>, Record>>,
}

/// What a key says.
#[derive(Debug)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// Whether it is staged and no row yet: neither a log row nor the digest have it.
    pub staged: bool,
}

impl Transaction {
    /// Stages a row.
    pub fn put(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert((space, key), Some(value));
    }

    /// Stages the removal of a row.
    pub fn remove(&mut self, space: Space, key: Vec<u8>) {
        self.writes.insert((space, key), None);
    }

    /// Stages the removal of a row that was written at most once: where it is only staged so far,
    /// it never reaches the store.
    pub fn remove_once(&mut self, space: Space, key: Vec<u8>) {
        match self.writes.entry((space, key)) {
            Entry::Occupied(staged) if staged.get().is_some() => {
                staged.remove();
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(None);
            }
        }
    }

    /// Stages a record, which is no row before [`Transaction::take`]: of those that take each other's
    /// place in one commit, only the last one costs anything.
    pub fn set(&mut self, prefix: Prefix, stored: &[u8], record: Record) {
        let records = self.records.entry(prefix).or_default();
        match records.get_mut(stored) {
            Some(place) => *place = record,
            None => drop(records.insert(stored.to_vec(), record)),
        }
    }

    /// The record of a stored key that is staged and no row yet.
    pub fn staged(&self, prefix: Prefix, stored: &[u8]) -> Option<&Record> {
        self.records.get(&prefix)?.get(stored)
    }

    /// Takes a record back that is no row yet.
    pub fn unset(&mut self, prefix: Prefix, stored: &[u8]) {
        if let Some(records) = self.records.get_mut(&prefix) {
            records.remove(stored);
        }
    }

    /// Takes out the records of a copy that are no rows yet.
    pub fn take(&mut self, prefix: Prefix) -> BTreeMap<Vec<u8>, Record> {
        self.records.remove(&prefix).unwrap_or_default()
    }

    /// What a stored key says, as staged or stored.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn record(
        &self,
        store: &impl Read,
        prefix: Prefix,
        stored: &[u8],
    ) -> Result<Option<Found>, StoreError> {
        if let Some(record) = self.staged(prefix, stored) {
            return Ok(Some(Found { record: record.clone(), staged: true }));
        }
        let decode = |bytes: Option<&[u8]>| bytes.map(decode_record).transpose();
        let place = (Space::Data, data_key(prefix, stored));
        let record = match self.writes.get(&place) {
            Some(staged) => decode(staged.as_deref()),
            None => store.look(Space::Data, &place.1, decode)?,
        };
        Ok(record?.map(|record| Found { record, staged: false }))
    }

    /// The records of the sums of a counter that began after some time, by their rows, as they will be
    /// after the commit.
    ///
    /// # Errors
    /// When the store cannot read or a row is damaged.
    pub fn sums(
        &self,
        store: &impl Read,
        prefix: Prefix,
        counter: &[u8],
        since: Time,
    ) -> Result<BTreeMap<Vec<u8>, Record>, StoreError> {
        let (start, end) = sums_since(prefix, counter, since);
        let stored = store.sums(&start, &end)?.into_iter();
        let decoded = stored.map(|(key, row)| Ok((key, decode_record(&row)?)));
        let mut sums: BTreeMap<_, _> = decoded.collect::<Result<_, StoreError>>()?;
        let rows = (Space::Data, start.clone())..(Space::Data, end.clone());
        for ((_, key), row) in self.writes.range(rows) {
            match row {
                Some(row) => sums.insert(key.clone(), decode_record(row)?),
                None => sums.remove(key),
            };
        }
        if let Some(records) = self.records.get(&prefix) {
            let keys = start[PREFIX_BYTES..].to_vec()..end[PREFIX_BYTES..].to_vec();
            let staged = records.range(keys);
            sums.extend(staged.map(|(key, record)| (data_key(prefix, key), record.clone())));
        }
        Ok(sums)
    }

    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.records.values().all(BTreeMap::is_empty)
    }

    /// The batch to commit.
    pub fn into_batch(self) -> Batch {
        debug_assert!(self.records.is_empty(), "records that never became rows");
        Batch {
            writes: self
                .writes
                .into_iter()
                .map(|((space, key), value)| (space, key, value))
                .collect(),
        }
    }
}

/// Decodes a data row.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is damaged.
pub fn decode_record(bytes: &[u8]) -> Result<Record, StoreError> {
    wire::decode(bytes).map_err(|error| StoreError::corrupt(alloc::format!("a data row: {error}")))
}
