//! The sums of counters used lately, kept in memory beside the engine.
//!
//! An increment reads the sums of all peers, which is a scan; and a scan passes every version that a row
//! had since its memtable began, of which a busy counter has hundreds of thousands.
//!
//! What is here is what the engine has: a commit that changes sums keeps readers out until it is done.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::Slice;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tidings_core::rows::{STAMP_BYTES, sums_of};
use tidings_core::store::{Row, StoreError};

/// Counters with more sums are left to the engine.
const SUMS_MAX: usize = 256;
/// What a sum occupies beside the bytes of its row: its stamp, a slice, and what an allocation adds.
const SUM_BYTES: usize = 64;
/// What a counter occupies beside its sums: its key, their list, a place in the queue, one in the table.
const COUNTER_BYTES: usize = 128;
/// What a counter is taken for where room is set aside.
const TYPICAL_BYTES: u64 = 256;

/// The stamp of a sum, as its row ends with it.
type First = [u8; STAMP_BYTES];
/// The time of a stamp.
type Time = [u8; size_of::<u64>()];

/// The sums of one counter that began at some time or later, in the order of their rows.
#[derive(Clone)]
struct Sums {
    since: Time,
    rows: Vec<(First, Slice)>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Slice, Sums> for Bytes {
    fn weight(&self, counter: &Slice, sums: &Sums) -> u64 {
        let rows = sums.rows.iter().map(|(_, row)| row.len() + SUM_BYTES);
        (counter.len() + COUNTER_BYTES + rows.sum::<usize>()) as u64
    }
}

/// The key of a row of a sum: its counter, and its stamp.
fn split(key: &[u8]) -> Option<(&[u8], &First)> {
    sums_of(key).zip(key.last_chunk())
}

/// Counters by what the rows of their sums begin with.
pub(super) struct RecentSums(Mutex<Cache<Slice, Sums, Bytes>>);

/// Keeps readers out while sums change.
pub(super) struct Changing<'a>(MutexGuard<'a, Cache<Slice, Sums, Bytes>>);

impl RecentSums {
    /// None, and room for so many bytes of them.
    pub(super) fn new(bytes: u64) -> Self {
        let count = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self(Mutex::new(Cache::with_weighter(count, bytes, Bytes)))
    }

    fn lock(&self) -> MutexGuard<'_, Cache<Slice, Sums, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums of one counter from a row on, from here or as the engine reads them.
    ///
    /// That row is what they begin with, and a time.
    pub(super) fn get(
        &self,
        start: &[u8],
        read: impl FnOnce() -> Result<Vec<Row>, StoreError>,
    ) -> Result<Vec<Row>, StoreError> {
        let Some((counter, since)) = start.split_last_chunk() else { return read() };
        let mut recent = self.lock();
        if let Some(sums) = recent.get(counter).filter(|sums| sums.since == *since) {
            let row = |(first, row): &(First, Slice)| ([counter, first].concat(), row.to_vec());
            return Ok(sums.rows.iter().map(row).collect());
        }
        let rows = read()?;
        let sum = |(key, row): &Row| {
            let (_, first) = split(key).filter(|(of, _)| *of == counter)?;
            Some((*first, Slice::from(&**row)))
        };
        if rows.len() <= SUMS_MAX
            && let Some(rows) = rows.iter().map(sum).collect()
        {
            recent.insert(Slice::from(counter), Sums { since: *since, rows });
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
    pub(super) fn end(&mut self, key: &[u8], row: Option<&Slice>) {
        let Some((counter, first)) = split(key) else { return };
        let Some(mut sums) = self.0.get_mut(counter) else { return };
        if first.first_chunk() < Some(&sums.since) {
            return;
        }
        let place = sums.rows.binary_search_by(|(other, _)| other.cmp(first));
        match (place, row) {
            (Ok(place), Some(row)) => sums.rows[place].1 = row.clone(),
            (Ok(place), None) => drop(sums.rows.remove(place)),
            (Err(place), Some(row)) => sums.rows.insert(place, (*first, row.clone())),
            (Err(_), None) => {}
        }
        let many = sums.rows.len() > SUMS_MAX;
        drop(sums);
        if many {
            self.0.remove(counter);
        }
    }
}
