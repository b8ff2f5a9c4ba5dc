//! Rows written or read lately, kept in memory beside the engine's cache of blocks.
//!
//! A write reads the row that it replaces, and a row that was used once is often used again. A look
//! in a hash table costs a tenth of a search through memtables, filters and blocks.
//!
//! Nobody may find an older row here after having seen the newer one, here or in a snapshot. So the
//! rows of a commit are out while it is under way; and a reader that found nothing leaves a guard
//! before it asks the engine, which a commit takes away, so that what was read too early is not
//! put in.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use fjall::Slice;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};

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
pub(super) struct RecentRows {
    rows: Cache<Slice, Slice, Bytes>,
    /// Whether a commit is under way; there is one at a time.
    committing: AtomicBool,
}

impl RecentRows {
    /// No rows, and room for so many bytes of them.
    pub(super) fn new(bytes: u64) -> Self {
        let count = usize::try_from(bytes).unwrap_or(usize::MAX) / (4 * ENTRY_BYTES);
        let rows = Cache::with_weighter(count, bytes, Bytes);
        Self { rows, committing: AtomicBool::new(false) }
    }

    /// A row, from here or as the engine reads it.
    pub(super) fn get<E>(
        &self,
        key: &[u8],
        read: impl FnOnce() -> Result<Option<Slice>, E>,
    ) -> Result<Option<Slice>, E> {
        if let Some(row) = self.rows.get(key) {
            return Ok(Some(row));
        }
        match self.rows.get_value_or_guard(&Slice::from(key), Some(Duration::ZERO)) {
            GuardResult::Value(row) => Ok(Some(row)),
            GuardResult::Guard(guard) => {
                // Either this sees the commit that began, or that one sees the guard.
                fence(Ordering::SeqCst);
                if self.committing.load(Ordering::Relaxed) {
                    drop(guard);
                    return read();
                }
                let row = read()?;
                if let Some(row) = row.as_ref().filter(|row| row.len() <= ROW_MAX) {
                    // The guard is gone where a commit changed the row meanwhile.
                    let _ = guard.insert(row.clone());
                }
                Ok(row)
            }
            GuardResult::Timeout => read(),
        }
    }

    /// A commit is about to change rows.
    pub(super) fn begin<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        self.committing.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        for key in keys {
            self.rows.remove(key);
        }
    }

    /// A commit has set or removed rows, in this order.
    pub(super) fn end(&self, rows: Vec<(Slice, Option<Slice>)>) {
        for (key, row) in rows {
            match row {
                Some(row) if row.len() <= ROW_MAX => self.rows.insert(key, row),
                _ => {
                    self.rows.remove(&key);
                }
            }
        }
        self.committing.store(false, Ordering::Release);
    }
}
