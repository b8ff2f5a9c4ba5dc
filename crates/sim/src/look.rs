//! What lies on a disk, read by the checkers without the help of a node.
//!
//! Reading a whole disk at every look was most of the time of a run. So a look keeps what it read and
//! reads again only the rows that changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use tidings_core::ident::DatabaseId;
use tidings_core::record::{Fingerprint, Record};
use tidings_core::replica::{Derived, State, Stored, decode_record};
use tidings_core::rows::{self, Interned};
use tidings_core::stamp::Time;
use tidings_core::store::{MemorySnapshot, Read, Space, StoreError, prefix_rows};
use tidings_core::wire;

use crate::disk::{Changes, LogSum};
use crate::trace;

/// A row as it was read, and what it adds to the sums.
#[derive(Clone, Debug)]
struct Row {
    record: Record,
    /// Hash of key and record.
    hash: u64,
    element: u128,
}

/// One copy of one database, as it is stored.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its path.
    pub path: String,
    /// Its local number.
    pub prefix: rows::Prefix,
    /// What is stored beside the rows.
    pub state: State,
    rows: BTreeMap<Vec<u8>, Row>,
    /// Sum of the hashes of all rows, modulo 2^64.
    pub canonical: u64,
    /// What follows from the rows.
    pub(crate) found: Derived,
    /// What the log must be: one row for each row of data.
    pub(crate) log: LogSum,
    /// Rows that changed and were not checked since.
    pub(crate) fresh: BTreeSet<Vec<u8>>,
    /// Whether anything changed since it was checked.
    pub(crate) checked: bool,
}

impl Copy {
    /// The record under a stored key.
    pub fn record(&self, stored: &[u8]) -> Option<&Record> {
        self.rows.get(stored).map(|row| &row.record)
    }

    /// The record under a stored key, and the hash of both.
    pub(crate) fn hashed(&self, stored: &[u8]) -> Option<(&Record, u64)> {
        self.rows.get(stored).map(|row| (&row.record, row.hash))
    }

    /// All stored keys and records.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &Record)> {
        self.rows.iter().map(|(key, row)| (key.as_slice(), &row.record))
    }

    /// Stored keys that begin with these bytes, ascending.
    pub(crate) fn under<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let rows = self.rows.range(prefix.to_vec()..);
        rows.map(|(key, _)| key.as_slice()).take_while(|key| key.starts_with(prefix))
    }

    /// Whether a record that is not here may have been deleted, with a tombstone that was collected.
    pub fn may_have_collected(&self, time: Time) -> bool {
        self.state.newest_collected >= time
    }

    /// Whether it says the same as another copy that reflects the same: all values, and each tombstone
    /// that one of them has is in the other, or was collected there. Where values came late, one may still
    /// stand where the tombstone was collected, until they compare.
    pub fn agrees_with(&self, other: &Self, has_late: bool) -> bool {
        self.canonical == other.canonical || self.disagreement(other, has_late).is_none()
    }

    /// The first key of which it does not.
    pub(crate) fn disagreement<'a>(&'a self, other: &'a Self, has_late: bool) -> Option<&'a [u8]> {
        fn first<'a>(one: &'a Copy, other: &Copy, has_late: bool) -> Option<&'a [u8]> {
            // What is called lost may be here all the same: nobody claims to reflect it.
            let lost =
                |copy: &Copy, record: &Record| copy.state.progress.lost().contains(record.dot());
            let disagrees = |(key, record): &(&[u8], &Record)| {
                let (theirs, time) = (other.record(key), record.stamp().time);
                let older = theirs.is_none_or(|theirs| theirs.stamp() < record.stamp());
                let known =
                    older && (has_late || !record.is_live()) && other.may_have_collected(time);
                let late = !older
                    && theirs.is_some_and(|theirs| !theirs.is_live())
                    && one.may_have_collected(time);
                let lost = lost(one, record) || theirs.is_some_and(|theirs| lost(other, theirs));
                !(theirs == Some(*record) || known || late || lost)
            };
            one.records().find(disagrees).map(|(key, _)| key)
        }
        first(self, other, has_late).or_else(|| first(other, self, has_late))
    }

    /// Whether the log names every row by its dot, and nothing else.
    pub fn log_fits(&self, read: &impl Read) -> bool {
        let mut named = 0;
        for row in prefix_rows(read, Space::Log, &self.prefix.to_be_bytes()) {
            let Ok((key, stored)) = row else { return false };
            let log = self.record(&stored).map(|record| rows::log_key(self.prefix, record.dot()));
            if log != Some(key) {
                return false;
            }
            named += 1;
        }
        named == self.rows.len()
    }

    fn set(
        &mut self,
        fingerprint: &Fingerprint,
        stored: &[u8],
        bytes: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let old = match bytes {
            Some(bytes) => {
                let (record, hash) = (decode_record(bytes)?, hash_row(stored, bytes));
                self.canonical = self.canonical.wrapping_add(hash);
                self.log.add(&rows::log_key(self.prefix, record.dot()), stored);
                let element = self.found.add(fingerprint, stored, &record);
                self.rows.insert(stored.to_vec(), Row { record, hash, element })
            }
            None => self.rows.remove(stored),
        };
        if let Some(Row { record, hash, element }) = old {
            self.canonical = self.canonical.wrapping_sub(hash);
            self.log.take(&rows::log_key(self.prefix, record.dot()), stored);
            self.found.remove(stored, &record, element);
        }
        self.fresh.insert(stored.to_vec());
        self.checked = false;
        Ok(())
    }
}

/// The hash of a row: of its stored key and of the bytes of its record.
pub(crate) fn hash_row(stored: &[u8], bytes: &[u8]) -> u64 {
    trace::hash(stored) ^ trace::hash(bytes).rotate_left(1)
}

/// The key of the fingerprints of all simulated clusters.
pub(crate) fn fingerprint() -> &'static Fingerprint {
    static FINGERPRINT: LazyLock<Fingerprint> = LazyLock::new(|| Fingerprint::new(&[7; 32]));
    &FINGERPRINT
}

/// The name of a database in one generation: its own in the first. What was dropped and what came after
/// are two databases for all checks.
pub fn incarnation(id: DatabaseId, generation: u64) -> DatabaseId {
    DatabaseId((u128::from_be_bytes(id.0) ^ u128::from(generation)).to_be_bytes())
}

/// Every copy on a disk.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// By incarnation.
    by_id: BTreeMap<DatabaseId, Copy>,
    prefixes: BTreeMap<[u8; 4], DatabaseId>,
    /// The incarnation that is there of a database.
    present: BTreeMap<DatabaseId, DatabaseId>,
}

impl Copies {
    /// The copy of an incarnation of a database.
    pub fn get(&self, id: DatabaseId) -> Option<&Copy> {
        self.by_id.get(&id)
    }

    /// Every copy, by incarnation.
    pub fn iter(&self) -> impl Iterator<Item = (DatabaseId, &Copy)> {
        self.by_id.iter().map(|(id, copy)| (*id, copy))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Copy> {
        self.by_id.values_mut()
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn read(read: &impl Read) -> Result<Self, StoreError> {
        let mut copies = Self::default();
        for row in prefix_rows(read, Space::Meta, b"d") {
            let (key, bytes) = row?;
            copies.intern(read, &key, Some(&bytes))?;
        }
        Ok(copies)
    }

    /// Reads again what changed.
    ///
    /// # Errors
    /// When a row is damaged.
    pub(crate) fn update(
        &mut self,
        read: &MemorySnapshot,
        changes: &Changes,
    ) -> Result<(), StoreError> {
        if changes.everything {
            *self = Self::read(read)?;
            return Ok(());
        }
        let rows: BTreeSet<&(Space, Vec<u8>)> = changes.rows.iter().collect();
        let of = |space: Space| rows.iter().filter(move |(own, _)| *own == space);
        for (_, key) in of(Space::Meta).filter(|(_, key)| key.first() == Some(&b'd')) {
            self.intern(read, key, read.get(Space::Meta, key)?.as_deref())?;
        }
        for (_, key) in of(Space::Meta).filter(|(_, key)| key.first() == Some(&b's')) {
            if let Ok(prefix) = key[1..].try_into() {
                self.describe(read, prefix)?;
            }
        }
        for (_, key) in of(Space::Data) {
            self.set(key, read.get(Space::Data, key)?.as_deref())?;
        }
        Ok(())
    }

    /// Reads the row that interns a database, and what it names. A copy that was removed and came back
    /// has another number; after lost commits, perhaps that of another one.
    fn intern(
        &mut self,
        read: &impl Read,
        key: &[u8],
        bytes: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let id = <[u8; 16]>::try_from(&key[1..]).map(DatabaseId);
        let id = id.map_err(|_| StoreError::corrupt("the id of a database"))?;
        let interned = bytes.map(wire::decode::<Interned>).transpose();
        let interned = interned.map_err(|_| StoreError::corrupt("the row of a database"))?;
        let present = self.present.get(&id).copied();
        let known = present.and_then(|id| self.by_id.get(&id)).map(|copy| copy.prefix);
        if known.is_some() && known == interned.as_ref().map(|interned| interned.prefix) {
            return Ok(());
        }
        if let Some(present) = self.present.remove(&id)
            && let Some(copy) = self.by_id.remove(&present)
        {
            let prefix = copy.prefix.to_be_bytes();
            if self.prefixes.get(&prefix) == Some(&present) {
                self.prefixes.remove(&prefix);
            }
        }
        let Some(Interned { prefix, path }) = interned else { return Ok(()) };
        let (rows, fresh, state) = (BTreeMap::new(), BTreeSet::new(), read_state(read, prefix)?);
        let real = id;
        let id = incarnation(real, state.generation);
        self.present.insert(real, id);
        let (canonical, found, log, checked) = (0, Derived::default(), LogSum::default(), false);
        let copy = Copy { path, prefix, state, rows, canonical, found, log, fresh, checked };
        self.by_id.insert(id, copy);
        let prefix = prefix.to_be_bytes();
        self.prefixes.insert(prefix, id);
        for row in prefix_rows(read, Space::Data, &prefix) {
            let (key, bytes) = row?;
            self.set(&key, Some(&bytes))?;
        }
        Ok(())
    }

    /// Reads the state of the copy with a prefix.
    fn describe(&mut self, read: &impl Read, prefix: [u8; 4]) -> Result<(), StoreError> {
        let id = self.prefixes.get(&prefix);
        let Some(copy) = id.and_then(|id| self.by_id.get_mut(id)) else { return Ok(()) };
        copy.state = read_state(read, copy.prefix)?;
        copy.checked = false;
        Ok(())
    }

    /// Takes one row of data over.
    fn set(&mut self, key: &[u8], bytes: Option<&[u8]>) -> Result<(), StoreError> {
        let Some((prefix, stored)) = key.split_first_chunk::<4>() else { return Ok(()) };
        let id = self.prefixes.get(prefix);
        let copy = id.and_then(|id| self.by_id.get_mut(id));
        copy.map_or(Ok(()), |copy| copy.set(fingerprint(), stored, bytes))
    }
}

/// What is stored of a copy beside its rows.
fn read_state(read: &impl Read, prefix: rows::Prefix) -> Result<State, StoreError> {
    Stored::read(prefix, |key| read.get(Space::Meta, key)).map(|stored| stored.state)
}

/// The prefixes of the system databases: rows of all spaces begin with them.
pub fn system_prefixes(read: &impl Read) -> Vec<Vec<u8>> {
    let interned = prefix_rows(read, Space::Meta, b"d").filter_map(Result::ok);
    interned
        .filter_map(|(_, bytes)| wire::decode::<Interned>(&bytes).ok())
        .filter(|interned| interned.path.starts_with("_tidings/"))
        .map(|interned| interned.prefix.to_be_bytes().to_vec())
        .collect()
}
