//! The volatile store: for in-memory peers, for tests, and as the platter of the simulated disk.
//!
//! Each space is one ordered map behind an [`Arc`]. A snapshot or a scan holds the map it started
//! from; a commit changes the map in place when nobody holds it, and otherwise leaves the old one
//! to its holders and goes on with a copy. So snapshots cost nothing to take, and the copy is paid
//! only by a commit that happens while one is alive.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    vec::Vec,
};
use core::{mem, ops::Bound};

use spin::Mutex;

use super::{Batch, Read, Row, Rows, Space, Store, StoreError, is_empty_range};

/// One space: an ordered map, shared with the snapshots and scans that still read it.
type Table = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

/// A store in memory. It never fails, [`Store::sync`] has nothing to do, and everything is gone
/// with the last handle.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    live: Arc<Mutex<MemorySnapshot>>,
}

/// What a [`MemoryStore`] held at one moment. Cloning it copies three pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemorySnapshot {
    tables: [Table; Space::ALL.len()],
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits the batch and returns the batch that takes it back: committed right afterwards, it
    /// restores every row to what it was.
    ///
    /// Its writes are in the reverse order of the batch's, one for one.
    pub fn commit_undoable(&self, batch: Batch) -> Batch {
        let mut undo = Vec::with_capacity(batch.writes.len());
        let mut live = self.live.lock();
        for (space, key, value) in batch.writes {
            let previous = live.write(space, key.clone(), value);
            undo.push((space, key, previous));
        }
        drop(live);
        undo.reverse();
        Batch { writes: undo }
    }

    /// Replaces everything by what the snapshot holds.
    pub fn restore(&self, snapshot: MemorySnapshot) {
        let previous = mem::replace(&mut *self.live.lock(), snapshot);
        // Dropped here, after the lock: freeing a large table takes its time.
        drop(previous);
    }
}

impl From<MemorySnapshot> for MemoryStore {
    fn from(snapshot: MemorySnapshot) -> Self {
        Self { live: Arc::new(Mutex::new(snapshot)) }
    }
}

impl Read for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.live.lock().get(space, key)
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        self.live.lock().range(space, start, end)
    }
}

impl Store for MemoryStore {
    type Snapshot = MemorySnapshot;

    fn snapshot(&self) -> MemorySnapshot {
        self.live.lock().clone()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut live = self.live.lock();
        for (space, key, value) in batch.writes {
            live.write(space, key, value);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl MemorySnapshot {
    /// The number of rows in a space.
    #[must_use]
    pub fn len(&self, space: Space) -> usize {
        self.table(space).len()
    }

    /// Whether a space has no rows.
    #[must_use]
    pub fn is_empty(&self, space: Space) -> bool {
        self.table(space).is_empty()
    }

    /// The `index`-th key of a space in ascending order; takes time in proportion to `index`.
    #[must_use]
    pub fn key_at(&self, space: Space, index: usize) -> Option<&[u8]> {
        self.table(space).keys().nth(index).map(Vec::as_slice)
    }

    fn table(&self, space: Space) -> &Table {
        let [data, log, meta] = &self.tables;
        match space {
            Space::Data => data,
            Space::Log => log,
            Space::Meta => meta,
        }
    }

    /// Writes one row, copying the table first when somebody else still reads it; returns what
    /// the row held before.
    fn write(&mut self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let [data, log, meta] = &mut self.tables;
        let table = match space {
            Space::Data => data,
            Space::Log => log,
            Space::Meta => meta,
        };
        match value {
            None if !table.contains_key(&key) => None,
            None => Arc::make_mut(table).remove(&key),
            Some(value) => match Arc::make_mut(table).entry(key) {
                Entry::Vacant(row) => {
                    row.insert(value);
                    None
                }
                Entry::Occupied(mut row) => Some(row.insert(value)),
            },
        }
    }
}

impl Read for MemorySnapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.table(space).get(key).cloned())
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        let table = (!is_empty_range(start, end)).then(|| Arc::clone(self.table(space)));
        Box::new(TableRows { table, start: start.map(Vec::from), end: end.map(Vec::from) })
    }
}

/// A scan of one table that owns its table: the bounds move inwards past each row handed out.
struct TableRows {
    /// `None` once the ends have met, so that a finished scan does not make commits copy.
    table: Option<Table>,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl TableRows {
    /// Takes the first or the last row between the bounds.
    fn take(&mut self, from_the_end: bool) -> Option<Row> {
        let table = self.table.as_ref()?;
        let start = self.start.as_ref().map(Vec::as_slice);
        let end = self.end.as_ref().map(Vec::as_slice);
        let row = if is_empty_range(start, end) {
            None
        } else {
            let mut rows = table.range::<[u8], _>((start, end));
            if from_the_end { rows.next_back() } else { rows.next() }
        };
        let Some((key, value)) = row else {
            self.table = None;
            return None;
        };
        let row = (key.clone(), value.clone());
        let bound = Bound::Excluded(key.clone());
        if from_the_end {
            self.end = bound;
        } else {
            self.start = bound;
        }
        Some(row)
    }
}

impl Iterator for TableRows {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(false).map(Ok)
    }
}

impl DoubleEndedIterator for TableRows {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(true).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    /// The volatile store keeps every law of the contract.
    #[test]
    fn the_contract_holds() {
        contract::check(MemoryStore::new);
    }

    /// A commit copies a table only while somebody reads the old one: shown by the address of the
    /// table before and after.
    #[test]
    fn copies_only_while_a_snapshot_is_alive() {
        let store = MemoryStore::new();
        let put = |value: u8| {
            let mut batch = Batch::default();
            batch.put(Space::Data, b"key".to_vec(), [value].to_vec());
            store.commit(batch).unwrap();
        };
        let address = || Arc::as_ptr(store.live.lock().table(Space::Data));
        put(1);
        let before = address();
        put(2);
        assert_eq!(address(), before);
        let mut rows = store.range(Space::Data, Bound::Unbounded, Bound::Unbounded);
        put(3);
        let copied = address();
        assert_ne!(copied, before);
        assert_eq!(rows.next(), Some(Ok((b"key".to_vec(), [2].to_vec()))));
        assert_eq!(rows.next(), None);
        put(4);
        assert_eq!(address(), copied, "a finished scan lets go of its table");
    }

    /// Committing what `commit_undoable` returns restores every row, rows named twice included.
    #[test]
    fn an_undo_restores_every_row() {
        let store = MemoryStore::new();
        let mut first = Batch::default();
        first.put(Space::Data, b"kept".to_vec(), b"old".to_vec());
        first.put(Space::Log, b"removed".to_vec(), b"old".to_vec());
        store.commit(first).unwrap();
        let before = store.snapshot();

        let mut second = Batch::default();
        second.put(Space::Data, b"kept".to_vec(), b"1".to_vec());
        second.put(Space::Data, b"kept".to_vec(), b"2".to_vec());
        second.remove(Space::Log, b"removed".to_vec());
        second.remove(Space::Log, b"never there".to_vec());
        second.put(Space::Meta, b"new".to_vec(), b"1".to_vec());
        let undo = store.commit_undoable(second);
        assert_ne!(store.snapshot(), before);
        store.commit(undo).unwrap();
        assert_eq!(store.snapshot(), before);
    }
}
