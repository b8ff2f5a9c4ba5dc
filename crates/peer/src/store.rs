//! Where a peer keeps its rows: the data [`directory`], the engine in it, and the store in memory
//! for peers that are meant to forget.
//!
//! [`FjallStore`] implements the core's `Store` over fjall; [`AnyStore`] is what a peer holds, so
//! that one program can run both kinds. [`private`] is for every file that only its owner may read,
//! also outside of the directory.

pub mod directory;
mod engine;
mod journal;
pub mod look;
pub mod private;
mod recent;
mod sums;

use std::ops::Bound;

use tidings_core::store::{
    Batch, MemorySnapshot, MemoryStore, Read, Row, Rows, Space, Store, StoreError,
};

pub use directory::{Directory, DirectoryError, read_private_file};
pub use engine::{FjallSnapshot, FjallStore, StoreConfig};

/// The store of one peer, on disk or in memory.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// On disk.
    Fjall(FjallStore),
    /// In memory; gone with the process.
    Memory(MemoryStore),
}

/// A snapshot of an [`AnyStore`].
#[derive(Debug)]
pub enum AnySnapshot {
    /// Of a store on disk.
    Fjall(FjallSnapshot),
    /// Of a store in memory.
    Memory(MemorySnapshot),
}

impl Read for AnyStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Fjall(store) => store.get(space, key),
            Self::Memory(store) => store.get(space, key),
        }
    }

    fn look<R>(
        &self,
        space: Space,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        match self {
            Self::Fjall(store) => store.look(space, key, look),
            Self::Memory(store) => store.look(space, key, look),
        }
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        match self {
            Self::Fjall(store) => store.range(space, start, end),
            Self::Memory(store) => store.range(space, start, end),
        }
    }

    fn sums(&self, start: &[u8], end: &[u8]) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Fjall(store) => store.sums(start, end),
            Self::Memory(store) => store.sums(start, end),
        }
    }
}

impl Store for AnyStore {
    type Snapshot = AnySnapshot;

    fn snapshot(&self) -> AnySnapshot {
        match self {
            Self::Fjall(store) => AnySnapshot::Fjall(store.snapshot()),
            Self::Memory(store) => AnySnapshot::Memory(store.snapshot()),
        }
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        match self {
            Self::Fjall(store) => store.commit(batch),
            Self::Memory(store) => store.commit(batch),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::Fjall(store) => store.sync(),
            Self::Memory(store) => store.sync(),
        }
    }
}

impl Read for AnySnapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Fjall(snapshot) => snapshot.get(space, key),
            Self::Memory(snapshot) => snapshot.get(space, key),
        }
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        match self {
            Self::Fjall(snapshot) => snapshot.range(space, start, end),
            Self::Memory(snapshot) => snapshot.range(space, start, end),
        }
    }
}
