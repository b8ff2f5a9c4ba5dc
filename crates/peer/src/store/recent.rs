//! Rows written lately, kept in memory beside the engine's cache of blocks.
//!
//! A write reads the row that it replaces, and a row that was written once is often written again. A
//! look in a hash table costs a tenth of a search through memtables, filters and blocks.
//!
//! Only commits put rows in. A reader that did could have read before a commit what it then puts in
//! after it. While a commit is under way its rows are out, so that nobody finds an older row here
//! after having seen the newer one in a snapshot.

use fjall::Slice;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Longer rows are left to the engine: a few would take the place of thousands.
const ROW_MAX: usize = 16 * 1024;
/// What an entry occupies beside its bytes: two slices, a place in the queue, one in the table.
const ENTRY_BYTES: usize = 96;

#[derive(Clone)]
struct Bytes;

impl Weighter<Slice, Slice> for Bytes {
    fn weight(&self, key: &Slice, value: &Slice) -> u64 {
        (key.len() + value.len() + ENTRY_BYTES) as u64
    }
}

/// The rows.
pub(super) struct RecentRows(Cache<Slice, Slice, Bytes>);

impl RecentRows {
    /// No rows, and room for so many bytes of them.
    pub(super) fn new(bytes: u64) -> Self {
        let rows = usize::try_from(bytes).unwrap_or(usize::MAX) / (4 * ENTRY_BYTES);
        Self(Cache::with_weighter(rows, bytes, Bytes))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Slice> {
        self.0.get(key)
    }

    /// A commit is about to change this row.
    pub(super) fn begin(&self, key: &[u8]) {
        self.0.remove(key);
    }

    /// A commit has set this row.
    pub(super) fn end(&self, key: Slice, value: Slice) {
        if value.len() <= ROW_MAX {
            self.0.insert(key, value);
        }
    }
}
