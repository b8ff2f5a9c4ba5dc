//! One database: the handle that users read and write through.

use std::ops::Bound;
use std::time::Duration;

use futures::Stream;
use tidings_core::definition::Durability;
use tidings_core::stamp::Version;
use tidings_core::status::DatabaseStatus;

use crate::Result;

/// A handle to one database. Clones share one handle; [`close`](Database::close) closes it for all
/// its clones, never for other handles.
#[derive(Clone, Debug)]
pub struct Database {}

/// A key with its value and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, exactly as written.
    pub key: Vec<u8>,
    /// The value; empty in a keys-only listing.
    pub value: Vec<u8>,
    /// The write that won.
    pub version: Version,
}

/// How a write is acknowledged. The default takes what the definition says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Overrides the definition's durability.
    pub durability: Option<Durability>,
    /// How many holders must have it, this one included; `None`: 1. 
    pub acks: Option<u32>,
    /// How long to wait for the acknowledgements; `None`: 10 s.
    pub timeout: Option<Duration>,
    /// Hidden this long after the write.
    pub ttl: Option<Duration>,
}

/// What to list: keys with a prefix, one page at a time, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only keys that start with these bytes.
    pub prefix: Vec<u8>,
    /// Most entries in the page; 0: as many as a page may have.
    pub limit: usize,
    /// Continue after the page that gave this cursor.
    pub cursor: Option<Vec<u8>>,
    /// Descending.
    pub reverse: bool,
    /// Leave the values out.
    pub keys_only: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` when this page is the last.
    pub cursor: Option<Vec<u8>>,
}

/// Several writes that are applied together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.push((key.into(), Some(value.into())));
        self
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.push((key.into(), None));
        self
    }
}

/// One winning change seen by a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None`: deleted.
    pub value: Option<Vec<u8>>,
    /// The write that won.
    pub version: Version,
}

/// The changes of one database from now on. Ends with [`Error::Lagged`](crate::Error::Lagged) when
/// the reader is too slow, and with `None` when the database is closed.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// The next change.
    pub async fn next(&mut self) -> Option<Result<Change>> {
        todo!()
    }
}

impl Database {
    /// The path.
    pub fn path(&self) -> &str {
        todo!()
    }
    /// The value of a key, or `None` when there is none.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        todo!()
    }
    /// The value of a key with its version.
    pub async fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        todo!()
    }
    /// Several keys from one snapshot, in the order asked.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Entry>>> {
        todo!()
    }
    /// Sets a key; the last writer wins.
    pub async fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Result<Version> {
        todo!()
    }
    /// [`put`](Database::put) with options.
    pub async fn put_with(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, options: &WriteOptions) -> Result<Version> {
        todo!()
    }
    /// Deletes a key; deleting what is absent is fine.
    pub async fn delete(&self, key: impl Into<Vec<u8>>) -> Result<Version> {
        todo!()
    }
    /// [`delete`](Database::delete) with options.
    pub async fn delete_with(&self, key: impl Into<Vec<u8>>, options: &WriteOptions) -> Result<Version> {
        todo!()
    }
    /// Applies several writes together; the versions are in the order of the batch.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Version>> {
        todo!()
    }
    /// [`batch`](Database::batch) with options.
    pub async fn batch_with(&self, batch: Batch, options: &WriteOptions) -> Result<Vec<Version>> {
        todo!()
    }
    /// One page of keys with a prefix.
    pub async fn list(&self, options: &ListOptions) -> Result<Page> {
        todo!()
    }
    /// Every entry between two keys, ascending. On a holder all are of one snapshot.
    pub fn scan(&self, start: Bound<Vec<u8>>, end: Bound<Vec<u8>>) -> impl Stream<Item = Result<Entry>> + Send + use<> {
        futures::stream::empty()
    }
    /// Winning changes, local and remote, of keys with this prefix, from now on.
    pub async fn watch(&self, prefix: impl Into<Vec<u8>>) -> Result<Watch> {
        todo!()
    }
    /// Waits until this peer has everything that its reachable holders have now.
    pub async fn sync(&self, timeout: Duration) -> Result<()> {
        todo!()
    }
    /// How the database is doing, and why.
    pub async fn status(&self) -> Result<DatabaseStatus> {
        todo!()
    }
    /// Closes this handle: later calls on it or its clones are [`Error::Closed`](crate::Error::Closed).
    pub fn close(&self) {
        todo!()
    }
}
