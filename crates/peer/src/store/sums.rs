//! The sums of counters used lately, kept in memory beside the engine.
//!
//! An increment reads the sums of all peers, which is a scan; and a scan passes every version that a row
//! had since its memtable began, of which a busy counter has hundreds of thousands.
//!
//! What is here is what the engine has: a commit that changes sums keeps readers out until it is done.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::Slice;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tidings_core::rows::sums_of;
use tidings_core::store::{Row, StoreError};

/// Counters with more sums are left to the engine.
const SUMS_MAX: usize = 256;
/// What a row occupies beside its bytes: two slices, a place in a map.
const ROW_BYTES: usize = 96;
/// What a counter is taken for where room is set aside.
const COUNTER_BYTES: u64 = 512;

/// The sums of one counter from some row on.
#[derive(Clone)]
struct Sums {
    start: Slice,
    rows: BTreeMap<Slice, Slice>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Slice, Sums> for Bytes {
    fn weight(&self, key: &Slice, sums: &Sums) -> u64 {
        let rows = sums.rows.iter().map(|(key, row)| key.len() + row.len() + ROW_BYTES);
        (key.len() + sums.start.len() + ROW_BYTES + rows.sum::<usize>()) as u64
    }
}

/// Counters by what the rows of their sums begin with.
pub(super) struct RecentSums(Mutex<Cache<Slice, Sums, Bytes>>);

/// Keeps readers out while sums change.
pub(super) struct Changing<'a>(MutexGuard<'a, Cache<Slice, Sums, Bytes>>);

impl RecentSums {
    /// None, and room for so many bytes of them.
    pub(super) fn new(bytes: u64) -> Self {
        let count = usize::try_from(bytes / COUNTER_BYTES).unwrap_or(usize::MAX);
        Self(Mutex::new(Cache::with_weighter(count, bytes, Bytes)))
    }

    fn lock(&self) -> MutexGuard<'_, Cache<Slice, Sums, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums of one counter from a row on, from here or as the engine reads them.
    pub(super) fn get(
        &self,
        start: &[u8],
        read: impl FnOnce() -> Result<Vec<Row>, StoreError>,
    ) -> Result<Vec<Row>, StoreError> {
        // The row that a counter's sums are read from is a stamp's time behind what they begin with.
        let counter = &start[..start.len().saturating_sub(size_of::<u64>())];
        let mut recent = self.lock();
        if let Some(sums) = recent.get(counter).filter(|sums| *sums.start == *start) {
            let rows = sums.rows.iter();
            return Ok(rows.map(|(key, row)| (key.to_vec(), row.to_vec())).collect());
        }
        let rows = read()?;
        if rows.len() <= SUMS_MAX {
            let kept = rows.iter().map(|(key, row)| (Slice::from(&**key), Slice::from(&**row)));
            let sums = Sums { start: Slice::from(start), rows: kept.collect() };
            recent.insert(Slice::from(counter), sums);
        }
        Ok(rows)
    }

    /// A commit is about to change sums.
    pub(super) fn begin(&self) -> Changing<'_> {
        Changing(self.lock())
    }
}

impl Changing<'_> {
    /// The commit set or removed this row.
    pub(super) fn end(&mut self, key: &Slice, row: Option<&Slice>) {
        let Some(counter) = sums_of(key) else { return };
        let Some(mut sums) = self.0.get_mut(counter) else { return };
        if *key < sums.start {
            return;
        }
        match row {
            Some(row) => sums.rows.insert(key.clone(), row.clone()),
            None => sums.rows.remove(key),
        };
        let many = sums.rows.len() > SUMS_MAX;
        drop(sums);
        if many {
            self.0.remove(counter);
        }
    }
}
