//! The small synchronous storage trait that the protocol stands on.
//!
//! Data is larger than memory, so the core reads and commits through [`Store`]. A commit is one
//! atomic [`Batch`]; it is *buffered* when [`Store::commit`] returns (it survives the process) and
//! *synced* once a later [`Store::sync`] returned (it survives power loss). Commits become durable
//! in order: what survives a crash is always a prefix of the commits.
//!
//! [`MemoryStore`] is the volatile implementation; the `contract` module (for tests only) is the one
//! suite that every implementation passes.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod memory;

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::ops::Bound;

pub use memory::{MemorySnapshot, MemoryStore};

/// One of the shared keyspaces; every database is a prefix inside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// key → register.
    Data,
    /// (epoch, sequence) → key: the index of live records by dot.
    Log,
    /// Everything that describes them: vectors, digests, sizes, the peer's own rows.
    Meta,
}

impl Space {
    /// Every space, in a fixed order.
    pub const ALL: [Self; 3] = [Self::Data, Self::Log, Self::Meta];

    /// The name under which an engine keeps this space.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Log => "log",
            Self::Meta => "meta",
        }
    }
}

/// Writes that become visible and durable together, or not at all.
///
/// Where one row is named twice, the later write wins. Keys have at least one byte: an engine may
/// panic on an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Space, key, and the new value or `None` to remove the row.
    pub writes: Vec<(Space, Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets a row.
    pub fn put(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((space, key, Some(value)));
    }

    /// Removes a row; removing an absent row is fine.
    pub fn remove(&mut self, space: Space, key: Vec<u8>) {
        self.writes.push((space, key, None));
    }
}

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows in ascending byte order of their keys, from either end. It owns what it reads from.
pub type Rows = Box<dyn DoubleEndedIterator<Item = Result<Row, StoreError>> + Send>;

/// Reading, from the live state or from a snapshot.
pub trait Read {
    /// One row.
    ///
    /// # Errors
    /// When the engine could not read; an absent row is `Ok(None)`, never an error.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Looks at one row where it lies, for whoever does not need a copy of it.
    ///
    /// # Errors
    /// As for [`Read::get`].
    fn look<R>(
        &self,
        space: Space,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError>
    where
        Self: Sized,
    {
        Ok(look(self.get(space, key)?.as_deref()))
    }

    /// The rows between two bounds, as of the moment of the call.
    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows;

    /// The rows of sums of one counter from `start` up to `end`, which is not among them, as of the moment
    /// of the call. They are few and read often, so a store may keep them in memory.
    ///
    /// # Errors
    /// As for [`Read::get`].
    fn sums(&self, start: &[u8], end: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.range(Space::Data, Bound::Included(start), Bound::Excluded(end)).collect()
    }
}

/// A storage engine: reads, atomic commits, snapshots, syncs. Handles are cheap clones of one
/// engine and may be used from several threads, but only one of them commits at a time.
pub trait Store: Read + Clone + Send + Sync + 'static {
    /// A view that later commits do not change.
    type Snapshot: Read + Send + Sync + 'static;

    /// Takes a snapshot; cheap.
    fn snapshot(&self) -> Self::Snapshot;

    /// Applies the batch atomically; it is buffered when this returns.
    ///
    /// # Errors
    /// Any error is final for this engine: whether the batch is in is unknown, every later commit
    /// fails too, and the peer stops serving.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Makes every commit that returned before this call durable.
    ///
    /// # Errors
    /// As for [`Store::commit`]; what was not synced before may be lost by a power cut.
    fn sync(&self) -> Result<(), StoreError>;
}

/// Why the storage engine could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room left; nothing of the batch is acknowledged.
    #[error("no space left on the disk that holds the data directory: {0}; free some and restart")]
    Full(Arc<str>),
    /// The engine failed to read or write.
    #[error("storage failed: {0}; the peer stops serving, its data up to the last sync is safe")]
    Io(Arc<str>),
    /// An earlier commit failed; nothing is written any more.
    #[error("storage stopped after an earlier failure: {0}; restart the peer")]
    Stopped(Arc<str>),
    /// A stored row does not decode.
    #[error("stored data is damaged: {0}")]
    Corrupt(Arc<str>),
}

impl StoreError {
    /// A damaged row, described.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(Arc::from(what.into()))
    }
}

/// The smallest key greater than every key with this prefix, or `None` when there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// Whether no key at all can lie between the two bounds, inverted ones included.
pub fn is_empty_range(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, Bound::Excluded(end)) => end.is_empty(),
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
    }
}

/// The rows of a store whose keys start with `prefix`, ascending.
pub fn prefix_rows(read: &impl Read, space: Space, prefix: &[u8]) -> Rows {
    match prefix_end(prefix) {
        Some(end) => read.range(space, Bound::Included(prefix), Bound::Excluded(&end)),
        None => read.range(space, Bound::Included(prefix), Bound::Unbounded),
    }
}
