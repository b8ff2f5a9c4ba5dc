//! One database: the handle that users read and write through.

mod edits;
mod keyspaces;
mod watching;

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::Stream;
use tidings_core::counter::resolve;
use tidings_core::definition::{Definition, Durability};
use tidings_core::filter::Filter;
use tidings_core::ident::DatabaseId;
use tidings_core::limits::{KEYSPACE_MAX, PAGE_MAX, PAGE_READS_MAX, VALUE_MAX};
use tidings_core::message::{Change, Condition, Operation, PageRequest, Reply, Write, Written};
use tidings_core::name::{Key, Path};
use tidings_core::node::{Place, Submission};
use tidings_core::read::{FoundPage, read_page, read_record, read_stored};
use tidings_core::record::{Payload, Record};
use tidings_core::rows::{Prefix, split_key, stored_key_in};
use tidings_core::stamp::{Dot, Version};
use tidings_core::status::DatabaseStatus;
use tidings_core::store::{Store, prefix_end};

use crate::batch::{Batch, Edit};
use crate::expiry;
use crate::peer::{request, status};
use crate::shared::Shared;
use crate::store::AnySnapshot;
use crate::{Error, Result};

pub use edits::Counted;
pub use keyspaces::KeyspacePage;

/// How long a call waits for the directory to be in step with the other peers.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks whether it is.
const STEP_POLL: Duration = Duration::from_millis(20);
/// Pause between two looks whether a copy reflects a write: a round trip or two.
const BEHIND_POLL: Duration = Duration::from_millis(5);
/// How long to wait for other holders' acknowledgements, unless the call says otherwise.
const ACKS_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of values that several keys are read with at once: the answer is held as a whole.
const MANY_BYTES: usize = 64 << 20;
/// Rows read at a time by a scan.
const SCAN_PAGE: u32 = 1000;

/// A handle to one database. Clones share one handle; [`close`](Database::close) closes it for all
/// its clones, never for other handles.
///
/// Every method is [`Error::Closed`] once the handle or the peer is closed, [`Error::Storage`] once
/// the store has failed, and [`Error::Unavailable`] when the database is held by others and none of
/// them can be reached.
#[derive(Clone)]
pub struct Database {
    handle: Arc<Handle>,
    /// The name of the keyspace that keys are in.
    keyspace: Arc<str>,
}

struct Handle {
    shared: Arc<Shared>,
    path: Path,
    id: DatabaseId,
    definition: Arc<Definition>,
    /// Once the copy here is known to be complete: its local number, and above it the count of copies
    /// moved at that time, plus one.
    here: AtomicU64,
    closed: AtomicBool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.handle.path).finish_non_exhaustive()
    }
}

/// A key with its value, its expiry and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, exactly as written.
    pub key: Vec<u8>,
    /// The value; empty in a keys-only listing.
    pub value: Vec<u8>,
    /// From when on it is hidden; `None`: it stays.
    pub expires: Option<SystemTime>,
    /// The write that won.
    pub version: Version,
}

/// How a write is acknowledged. The default takes what the definition says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Overrides the definition's durability.
    pub durability: Option<Durability>,
    /// How many holders must have it, this one included, each with that durability; `None`: 1.
    pub acks: Option<u32>,
    /// How long to wait for the acknowledgements; `None`: 10 s.
    pub timeout: Option<Duration>,
    /// Hidden this long after the write; from a millisecond to a hundred years. As the definition's
    /// `ttl`, it is for puts without an expiry of their own.
    pub ttl: Option<Duration>,
    /// Hidden from this time on, for puts without an expiry of their own. It stands before any `ttl`, and
    /// its bounds are those of [`Batch::put_until`].
    pub expires: Option<SystemTime>,
    /// What must be true of every key of the write, at the holder that accepts it, before any of them is
    /// written. It is no lock: another holder may accept another write at the same time, and then the
    /// later stamp wins. With `max` 1 there is no other holder.
    pub condition: Option<Condition>,
}

/// What to list: keys with a prefix, one page at a time, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only keys that start with these bytes.
    pub prefix: Vec<u8>,
    /// Most entries in the page; 0: as many as a page may have, 10,000.
    pub limit: usize,
    /// Continue after the page that gave this cursor.
    pub cursor: Option<Vec<u8>>,
    /// Descending.
    pub reverse: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only keys that match this, as a whole: the prefix is a part of what it has to match. It is
    /// evaluated where the copy is.
    pub filter: Option<Filter>,
    /// Most keys that the page looks at, deleted and expired ones among them: at most 10,000. 0: with a
    /// filter 10,000, and without one as many as it takes to fill the page.
    pub budget: usize,
}

/// What to scan for, beside the range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Only keys that match this, as a whole. It is evaluated where the copy is.
    pub filter: Option<Filter>,
    /// Leave the values out.
    pub keys_only: bool,
}

/// One page of a listing. It has at most 4 MiB of keys and values beyond its first entry.
///
/// With a filter or a budget it may end before it is full, and even be empty, with a cursor: it looked at
/// as many keys as it may, or read 16 MiB of keys and values, where a key counts for more with a filter
/// that is slow. Only a page without a cursor is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` when this page is the last.
    pub cursor: Option<Vec<u8>>,
}

impl Database {
    pub(crate) fn new(
        shared: Arc<Shared>,
        path: Path,
        id: DatabaseId,
        definition: Arc<Definition>,
    ) -> Self {
        let (here, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        let handle = Arc::new(Handle { shared, path, id, definition, here, closed });
        Self { handle, keyspace: Arc::from("") }
    }

    /// The same database, with the keys of a keyspace: a namespace of its own, which begins to exist with
    /// its first key. All keyspaces share the copies and the size of the database. The default one has no
    /// name. It is one handle with this one: closing either closes both.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for a name of more than 128 bytes.
    pub fn keyspace(&self, name: &str) -> Result<Self> {
        if name.len() > KEYSPACE_MAX {
            let length = name.len();
            return Err(Error::BadArgument(format!(
                "the name of a keyspace of {length} bytes: at most {KEYSPACE_MAX}"
            )));
        }
        Ok(Self { handle: Arc::clone(&self.handle), keyspace: Arc::from(name) })
    }

    /// The name of the keyspace that keys are in; empty: the default one.
    pub fn keyspace_name(&self) -> &str {
        &self.keyspace
    }

    /// The stored key of a key of this keyspace.
    fn stored(&self, key: &[u8]) -> Vec<u8> {
        stored_key_in(&self.keyspace, key)
    }

    /// The stored key of a key that is one.
    fn checked(&self, key: &[u8]) -> Result<Vec<u8>> {
        Key::new(key)?;
        Ok(self.stored(key))
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.handle.path.as_str()
    }

    /// The definition that accepted the path when the handle was opened.
    pub fn definition(&self) -> &Definition {
        &self.handle.definition
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn check(&self) -> Result<()> {
        if self.handle.closed.load(Ordering::Acquire) {
            return Err(Error::Closed(format!("the handle to {:?}", self.path())));
        }
        self.shared().check()
    }

    /// Where to read; waits until it is known.
    async fn place(&self) -> Result<Place> {
        self.check()?;
        let known = self.handle.here.load(Ordering::Acquire);
        let moved = self.shared().moved.load(Ordering::Acquire);
        if known >> 32 == (moved & 0x7fff_ffff) + 1 {
            return Ok(Place::Here(known as u32));
        }
        let deadline = tokio::time::Instant::now() + STEP_TIMEOUT;
        loop {
            let path = &self.handle.path;
            let (place, moved) = self
                .shared()
                .with(|node, now| (node.place_for_use(path, now), node.copies_moved()))?;
            match place {
                Place::Here(prefix) => {
                    let known = (((moved & 0x7fff_ffff) + 1) << 32) | u64::from(prefix);
                    self.handle.here.store(known, Ordering::Release);
                }
                Place::Unknown if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(STEP_POLL).await;
                    continue;
                }
                Place::Unknown => return Err(Error::not_in_step(path.as_str())),
                Place::Elsewhere | Place::Nowhere => {}
            }
            return Ok(place);
        }
    }

    /// The value of a key, or `None` when there is none.
    ///
    /// # Errors
    /// [`Error::KeyLength`], and see [`Database`].
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let record = self.record(key.as_ref()).await?;
        Ok(record.and_then(|record| record.into_value(self.shared().now().wall)))
    }

    /// The value of a key with its expiry and its version.
    ///
    /// # Errors
    /// As for [`get`](Database::get).
    pub async fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let key = key.as_ref();
        Ok(self.record(key).await?.and_then(|record| self.visible(key, record)))
    }

    /// The value of a key as of a copy that reflects a write: what [`put`](Database::put) returned as
    /// its version, here or through any other peer. Waits for it, so that whoever carries its version
    /// along reads its own writes wherever it is served next. The write may be of any key of the database.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when no copy that can be asked reflects it in time, as for a version that was
    /// lost; and as for [`get`](Database::get). Where the database was dropped since, the answer may be of
    /// what was written to it afterwards.
    pub async fn get_entry_since(
        &self,
        key: impl AsRef<[u8]>,
        version: Version,
        timeout: Duration,
    ) -> Result<Option<Entry>> {
        let key = key.as_ref();
        let began = tokio::time::Instant::now();
        loop {
            if let Some(record) = self.record_since(key, Some(version.dot)).await? {
                return Ok(record.and_then(|record| self.visible(key, record)));
            }
            if began.elapsed() >= timeout {
                return Err(Error::TimedOut(timeout.as_millis() as u64));
            }
            tokio::time::sleep(BEHIND_POLL).await;
        }
    }

    async fn record(&self, key: &[u8]) -> Result<Option<Record>> {
        Ok(self.record_since(key, None).await?.flatten())
    }

    /// The record of a key; `None` where the copy does not reflect a write yet.
    async fn record_since(&self, key: &[u8], least: Option<Dot>) -> Result<Option<Option<Record>>> {
        let stored = self.checked(key)?;
        match self.place().await? {
            Place::Here(prefix) => {
                let (path, id) = (&self.handle.path, self.handle.id);
                let reflects = |dot| {
                    self.shared().with(|node, now| {
                        node.place(path, now) == Place::Here(prefix) && node.reflects(id, dot)
                    })
                };
                match least {
                    Some(dot) if !reflects(dot)? => Ok(None),
                    _ => Ok(Some(self.read_here(prefix, &stored)?)),
                }
            }
            _ => {
                Ok(self.got(vec![stored], least).await?.map(|mut records| records.pop().flatten()))
            }
        }
    }

    /// The record of a stored key in the copy here.
    fn read_here(&self, prefix: Prefix, stored: &[u8]) -> Result<Option<Record>> {
        let store = &self.shared().store;
        let mut found = read_stored(store, prefix, stored)?;
        let Some(counter) =
            found.take_if(|found| matches!(found.payload(), Payload::Counter { .. }))
        else {
            return Ok(found);
        };
        // Several rows make up a counter, and all of them are to be of one moment. They are where its own
        // row says the same before and after its sums were read.
        let shown = resolve(store, prefix, stored, counter.clone())?;
        if read_stored(store, prefix, stored)? == Some(counter) {
            return Ok(Some(shown));
        }
        Ok(read_record(&store.snapshot(), prefix, stored)?)
    }

    fn visible(&self, key: &[u8], record: Record) -> Option<Entry> {
        record.is_visible(self.shared().now().wall).then(|| entry(key.to_vec(), record))?
    }

    async fn got(
        &self,
        keys: Vec<Vec<u8>>,
        least: Option<Dot>,
    ) -> Result<Option<Vec<Option<Record>>>> {
        match request(self.shared(), &self.handle.path, Operation::Get { keys, least }).await? {
            Reply::Got(records) => Ok(Some(records)),
            Reply::Behind => Ok(None),
            _ => Err(Error::Internal("a get was answered as something else".into())),
        }
    }

    /// Several keys from one snapshot, in the order asked.
    ///
    /// # Errors
    /// As for [`get`](Database::get); [`Error::BadArgument`] above 10,000 keys, or where a copy here has
    /// more than 64 MiB of values for them.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Entry>>> {
        let max = tidings_core::limits::BATCH_WRITES_MAX;
        if keys.len() > max {
            let count = keys.len();
            return Err(Error::BadArgument(format!("{count} keys: at most {max} at once")));
        }
        let stored: Vec<Vec<u8>> =
            keys.iter().map(|key| self.checked(key.as_ref())).collect::<Result<_>>()?;
        let records = match self.place().await? {
            Place::Here(prefix) => {
                let snapshot = self.shared().store.snapshot();
                let mut bytes = 0;
                let mut read = |stored: &Vec<u8>| {
                    let record = read_record(&snapshot, prefix, stored)?;
                    bytes += record.as_ref().map_or(0, |record| record.payload().len());
                    if bytes <= MANY_BYTES {
                        return Ok(record);
                    }
                    let count = keys.len();
                    Err(Error::BadArgument(format!(
                        "{count} keys with more than {MANY_BYTES} bytes of values: ask for fewer at once"
                    )))
                };
                stored.iter().map(&mut read).collect::<Result<Vec<_>>>()?
            }
            _ => self.got(stored, None).await?.unwrap_or_default(),
        };
        let entry = |(key, record): (&K, Option<Record>)| {
            record.and_then(|record| self.visible(key.as_ref(), record))
        };
        Ok(keys.iter().zip(records).map(entry).collect())
    }

    /// Sets a key; the last writer wins.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::ValueLength`], [`Error::NoSpace`], [`Error::ClockSkew`], and see
    /// [`Database`]. Nothing was written then, except where the error says so.
    pub async fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Result<Version> {
        self.put_with(key, value, &WriteOptions::default()).await
    }

    /// [`put`](Database::put) with options.
    ///
    /// # Errors
    /// As for [`put`](Database::put), and [`Error::UnderReplicated`] when fewer holders than asked for
    /// acknowledged in time: the write is kept.
    pub async fn put_with(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        options: &WriteOptions,
    ) -> Result<Version> {
        self.write_one(key.into(), Edit::Put(value.into(), None), options).await
    }

    /// Deletes a key; deleting what is absent is fine.
    ///
    /// # Errors
    /// As for [`put`](Database::put).
    pub async fn delete(&self, key: impl Into<Vec<u8>>) -> Result<Version> {
        self.delete_with(key, &WriteOptions::default()).await
    }

    /// [`delete`](Database::delete) with options.
    ///
    /// # Errors
    /// As for [`put_with`](Database::put_with).
    pub async fn delete_with(
        &self,
        key: impl Into<Vec<u8>>,
        options: &WriteOptions,
    ) -> Result<Version> {
        self.write_one(key.into(), Edit::Delete, options).await
    }

    async fn write_one(&self, key: Vec<u8>, edit: Edit, options: &WriteOptions) -> Result<Version> {
        Ok(self.write_first(key, edit, options).await?.version)
    }

    async fn write_first(
        &self,
        key: Vec<u8>,
        edit: Edit,
        options: &WriteOptions,
    ) -> Result<Written> {
        let written = self.write(vec![(key, edit)], options).await?;
        let first = written.into_iter().next();
        first.ok_or_else(|| Error::Internal("a write returned no version".into()))
    }

    /// Applies several writes together; the versions are in the order of the batch.
    ///
    /// # Errors
    /// As for [`put`](Database::put), and [`Error::BatchTooLarge`].
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Version>> {
        self.batch_with(batch, &WriteOptions::default()).await
    }

    /// [`batch`](Database::batch) with options.
    ///
    /// # Errors
    /// As for [`batch`](Database::batch) and [`put_with`](Database::put_with).
    pub async fn batch_with(&self, batch: Batch, options: &WriteOptions) -> Result<Vec<Version>> {
        let written = self.write(batch.writes, options).await?;
        Ok(written.into_iter().map(|written| written.version).collect())
    }

    async fn write(
        &self,
        writes: Vec<(Vec<u8>, Edit)>,
        options: &WriteOptions,
    ) -> Result<Vec<Written>> {
        let place = self.place().await?;
        let submission = self.submission(writes, options)?;
        let here = if let Place::Here(prefix) = place { Some(prefix) } else { None };
        self.shared().write(submission, here).await
    }

    /// What the node is asked to write.
    fn submission(
        &self,
        writes: Vec<(Vec<u8>, Edit)>,
        options: &WriteOptions,
    ) -> Result<Submission> {
        let default = self.expiry(options)?;
        let writes = writes
            .into_iter()
            .map(|(key, edit)| {
                let key = self.checked(&key)?;
                let change = match edit {
                    Edit::Put(value, _) if value.len() > VALUE_MAX => {
                        return Err(Error::ValueLength { length: value.len() });
                    }
                    Edit::Put(value, own) => {
                        let own = own.map(expiry::to_millis).transpose()?;
                        Change::Set(Payload::Value(value, own.or(default)))
                    }
                    Edit::Delete => Change::Set(Payload::Tombstone),
                    Edit::Add(by) => Change::Add(by),
                    Edit::Expire(at) => Change::Expire(at.map(expiry::to_millis).transpose()?),
                };
                Ok(Write { key, change })
            })
            .collect::<Result<Vec<_>>>()?;
        let timeout = options.timeout.unwrap_or(ACKS_TIMEOUT).as_millis();
        Ok(Submission {
            path: self.handle.path.clone(),
            writes,
            durability: options.durability,
            acks: options.acks.unwrap_or(1),
            timeout: u64::try_from(timeout).unwrap_or(u64::MAX),
            condition: options.condition,
        })
    }

    /// When what is written now without an expiry of its own expires, in milliseconds since the Unix
    /// epoch.
    fn expiry(&self, options: &WriteOptions) -> Result<Option<u64>> {
        if let Some(expires) = options.expires {
            return expiry::to_millis(expires).map(Some);
        }
        let Some(ttl) = options.ttl.or(self.handle.definition.ttl.map(Duration::from_millis))
        else {
            return Ok(None);
        };
        let max = tidings_core::limits::TTL_MAX;
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 || millis > max {
            return Err(Error::BadArgument(format!(
                "a time to live of {millis} ms: it is from 1 to {max} ms"
            )));
        }
        Ok(Some(self.shared().now().wall.saturating_add(millis)))
    }

    /// One page of keys with a prefix.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for a cursor of another listing, and see [`Database`].
    pub async fn list(&self, options: &ListOptions) -> Result<Page> {
        let (start, end) = self.list_range(options)?;
        let limit = if options.limit == 0 { PAGE_MAX } else { options.limit.min(PAGE_MAX) };
        let (reverse, keys_only) = (options.reverse, options.keys_only);
        let filter = options.filter.as_ref();
        let page = PageRequest {
            start,
            end,
            limit: limit as u32,
            reverse,
            keys_only,
            filter: filter.map(|filter| filter.pattern().clone()),
            budget: options.budget.min(PAGE_READS_MAX) as u32,
        };
        let (rows, next) = match self.place().await? {
            Place::Here(prefix) => {
                let snapshot = self.shared().store.snapshot();
                read_page(&snapshot, prefix, &page, filter, self.shared().now().wall)?
            }
            _ => self.page(page).await?,
        };
        let cursor = next.and_then(|stored| Some(split_key(&stored)?.1.to_vec()));
        Ok(Page { entries: rows.into_iter().filter_map(found).collect(), cursor })
    }

    /// The stored keys that a page of a listing covers.
    fn list_range(&self, options: &ListOptions) -> Result<KeyRange> {
        let prefix = self.stored(&options.prefix);
        let mut end = prefix_end(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        let mut start = Bound::Included(prefix);
        if let Some(cursor) = &options.cursor {
            if !cursor.starts_with(&options.prefix) {
                return Err(Error::BadArgument(
                    "the cursor belongs to a listing of another prefix: begin without one".into(),
                ));
            }
            let after = Bound::Excluded(self.stored(cursor));
            if options.reverse {
                end = after;
            } else {
                start = after;
            }
        }
        Ok(self.narrowed((start, end), options.filter.as_ref()))
    }

    /// The part of a range of stored keys where those are that a filter can match.
    fn narrowed(&self, (start, end): KeyRange, filter: Option<&Filter>) -> KeyRange {
        let Some(filter) = filter else { return (start, end) };
        let first = self.stored(filter.literal_prefix());
        let behind = prefix_end(&first);
        let start = match start {
            Bound::Included(key) | Bound::Excluded(key) if key < first => Bound::Included(first),
            Bound::Unbounded => Bound::Included(first),
            start => start,
        };
        let end = match (end, behind) {
            (Bound::Included(key) | Bound::Excluded(key), Some(behind)) if key >= behind => {
                Bound::Excluded(behind)
            }
            (Bound::Unbounded, Some(behind)) => Bound::Excluded(behind),
            (end, _) => end,
        };
        (start, end)
    }

    async fn page(&self, page: PageRequest) -> Result<FoundPage> {
        match request(self.shared(), &self.handle.path, Operation::Page(page)).await? {
            Reply::Page(rows, next) => Ok((rows, next)),
            _ => Err(Error::Internal("a page was answered as something else".into())),
        }
    }

    /// Every entry between two keys, ascending. On a holder all are of one snapshot; elsewhere they
    /// come page by page, each of one snapshot.
    pub fn scan(
        &self,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
    ) -> impl Stream<Item = Result<Entry>> + Send + use<> {
        self.scan_with(start, end, &ScanOptions::default())
    }

    /// [`scan`](Database::scan) with options. However few keys a filter matches, the stream goes on to the
    /// end of the range.
    pub fn scan_with(
        &self,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
        options: &ScanOptions,
    ) -> impl Stream<Item = Result<Entry>> + Send + use<> {
        let start = match start.map(|key| self.stored(&key)) {
            Bound::Unbounded => Bound::Included(self.stored(&[])),
            bound => bound,
        };
        let end = match end.map(|key| self.stored(&key)) {
            Bound::Unbounded => {
                prefix_end(&self.stored(&[])).map_or(Bound::Unbounded, Bound::Excluded)
            }
            bound => bound,
        };
        self.rows(Ok(self.narrowed((start, end), options.filter.as_ref())), options.clone())
    }

    /// Every entry of a range of stored keys.
    fn rows(
        &self,
        range: Result<KeyRange>,
        options: ScanOptions,
    ) -> impl Stream<Item = Result<Entry>> + Send + use<> {
        let scan = range.map(|(start, end)| Scan {
            database: self.clone(),
            source: ScanSource::Unknown,
            start: Some(start),
            end,
            options,
            ready: Vec::new().into_iter(),
        });
        futures::stream::try_unfold(scan, |scan| async move {
            let mut scan = scan?;
            let next = scan.next().await?;
            Ok(next.map(|entry| (entry, Ok(scan))))
        })
    }

    /// Waits until this peer has everything that its reachable holders have now. At once where this
    /// peer holds no copy: every read asks a holder.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and see [`Database`].
    pub async fn sync(&self, timeout: Duration) -> Result<()> {
        self.place().await?;
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.shared().sync(&self.handle.path, timeout, sender)?;
        match receiver.await.map_err(|_| Error::Closed("the peer".into()))?? {
            Reply::Done => Ok(()),
            _ => Err(Error::Internal("a sync was answered as something else".into())),
        }
    }

    /// How the database is doing, and why.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody who holds it can be reached, or nobody has written to it.
    pub async fn status(&self) -> Result<DatabaseStatus> {
        self.check()?;
        status(self.shared(), &self.handle.path).await
    }

    /// Closes this handle: later calls on it or its clones are [`Error::Closed`].
    pub fn close(&self) {
        self.handle.closed.store(true, Ordering::Release);
    }
}

/// Where a scan reads.
enum ScanSource {
    /// Not known before the first page.
    Unknown,
    /// In a snapshot of the copy here.
    Here(Prefix, AnySnapshot),
    /// At a holder.
    Elsewhere,
}

/// A scan under way.
struct Scan {
    database: Database,
    source: ScanSource,
    start: Option<Bound<Vec<u8>>>,
    end: Bound<Vec<u8>>,
    options: ScanOptions,
    ready: std::vec::IntoIter<Entry>,
}

impl Scan {
    async fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Ok(Some(entry));
            }
            let Some(start) = self.start.take() else { return Ok(None) };
            let end = self.end.clone();
            let filter = self.options.filter.as_ref();
            let page = PageRequest {
                start,
                end,
                limit: SCAN_PAGE,
                reverse: false,
                keys_only: self.options.keys_only,
                filter: filter.map(|filter| filter.pattern().clone()),
                budget: 0,
            };
            if matches!(self.source, ScanSource::Unknown) {
                self.source = match self.database.place().await? {
                    Place::Here(prefix) => {
                        ScanSource::Here(prefix, self.database.shared().store.snapshot())
                    }
                    _ => ScanSource::Elsewhere,
                };
            }
            self.database.check()?;
            let (rows, next) = match &self.source {
                ScanSource::Here(prefix, snapshot) => {
                    let wall = self.database.shared().now().wall;
                    read_page(snapshot, *prefix, &page, filter, wall)?
                }
                _ => self.database.page(page).await?,
            };
            self.start = next.map(Bound::Excluded);
            if rows.is_empty() && self.start.is_some() {
                // Much was read and nothing found: others have their turn before it goes on.
                tokio::task::yield_now().await;
            }
            self.ready = rows.into_iter().filter_map(found).collect::<Vec<_>>().into_iter();
        }
    }
}

fn found((stored, record): (Vec<u8>, Record)) -> Option<Entry> {
    entry(split_key(&stored)?.1.to_vec(), record)
}

fn entry(key: Vec<u8>, record: Record) -> Option<Entry> {
    let version = record.version();
    match record.register.val {
        Payload::Value(value, expires) => {
            Some(Entry { key, value, expires: expires.map(expiry::from_millis), version })
        }
        _ => None,
    }
}

/// Bounds of stored keys.
type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);
