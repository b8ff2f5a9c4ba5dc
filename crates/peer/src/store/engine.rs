//! The store on disk: the core's `Store` over fjall, an LSM tree per space with one journal.
//!
//! A commit is one fjall batch. It is written to the journal and handed to the operating system
//! before it returns, so it survives the process, and [`Store::sync`] is an `fdatasync` of the
//! journal. fjall holds its journal lock during that; whoever wants many synced commits per second
//! commits them buffered and syncs once for all.
//!
//! Three of fjall's habits shape this file. A live scan of a keyspace reads whatever is newest while
//! it goes, so every scan here goes over a snapshot. A background flush or compaction that failed
//! poisons the engine, and the next commit or sync hears of it; but a commit that waits for such a
//! flush to make room would wait for ever, so the waiting is done here, where the poison is seen.
//! And fjall checks a journal entry by compressing it again, so that another version of the
//! compressor would call a sound journal damaged: the journal is not compressed.

use std::{
    fmt, fs, io,
    ops::Bound,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable as _, Slice,
    config::{BlockSizePolicy, CompressionPolicy},
};
use tidings_core::rows::sums_of;
use tidings_core::store::{Batch, Read, Row, Rows, Space, Store, StoreError, is_empty_range};

use super::{Directory, journal, recent::RecentRows, sums::RecentSums};

/// Full memtables that may wait for their flush before a commit waits too. fjall itself stops at
/// four, and then waits without looking whether the flush can still succeed.
const SEALED_MEMTABLES_MAX: usize = 3;

/// Tables in the first level before a commit waits for compaction. fjall itself slows down from
/// twenty runs and stops at thirty, again without looking.
const FIRST_LEVEL_TABLES_MAX: usize = 24;

/// Bytes committed between two looks at whether there is room: far less than a memtable.
const ROOM_BYTES: usize = 256 * 1024;

/// How long a commit sleeps between two looks at whether there is room: far less than a flush.
const ROOM_POLL: Duration = Duration::from_millis(1);

/// The least that fjall takes as the bound of its journals.
const JOURNAL_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What is tried to be written, to learn whether a background failure was a full disk.
const PROBE_BYTES: usize = 4 * 1024 * 1024;

/// How much memory and disk a store may use for its own purposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Bytes of rows and blocks kept in memory, half of them rows written lately, with the sums of counters, and
    /// half of them blocks read lately; a quarter of what the machine can spare is a good start.
    pub cache_bytes: u64,
    /// Bytes of a memtable before it is flushed; fixed when the store is created. Each of the three
    /// spaces holds one that fills and up to three that wait.
    pub memtable_bytes: u64,
    /// Bytes of journal before memtables are flushed to shorten it; bounds the time to open after
    /// a crash. At least 64 MiB.
    pub journal_bytes: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 128 * 1024 * 1024,
            memtable_bytes: 16 * 1024 * 1024,
            journal_bytes: 256 * 1024 * 1024,
        }
    }
}

/// A store in a data directory; clones are handles of the same one.
#[derive(Clone)]
pub struct FjallStore {
    shared: Arc<Shared>,
}

/// A view of a [`FjallStore`] that later commits do not change.
///
/// It keeps what it can see from being cleaned up, so it should not be kept for long.
pub struct FjallSnapshot {
    snapshot: fjall::Snapshot,
    shared: Arc<Shared>,
}

/// The engine, with the directory last: it stays locked until the engine has closed.
struct Shared {
    data: Keyspace,
    log: Keyspace,
    meta: Keyspace,
    database: Database,
    recent: RecentRows,
    sums: RecentSums,
    /// Bytes committed since the last look at whether there is room.
    unlooked: AtomicUsize,
    /// What opening cut off the journal.
    lost_bytes: Option<u64>,
    /// Why nothing is written any more.
    stopped: OnceLock<Arc<str>>,
    directory: Directory,
}

impl FjallStore {
    /// Opens the store of a data directory, creating it where there is none.
    ///
    /// # Errors
    /// When the engine cannot open its files, or says that they are damaged.
    pub fn open(directory: &Directory, config: &StoreConfig) -> Result<Self, StoreError> {
        let path = directory.store_path();
        if directory.is_new() && path.exists() {
            // A first start was cut short, and fjall cannot open what it created half.
            fs::remove_dir_all(&path).map_err(|error| io_error(&error))?;
        }
        let open = || {
            Database::builder(&path)
                .cache_size(config.cache_bytes - config.cache_bytes / 2)
                .max_journaling_size(config.journal_bytes.max(JOURNAL_BYTES_MIN))
                .journal_compression(CompressionType::None)
                .open()
        };
        let (database, lost_bytes) = match open() {
            Err(fjall::Error::JournalRecovery(cause)) => {
                let copy = directory.path().join("journal.damaged");
                let lost_bytes = journal::mend(&path, &copy).map_err(|error| io_error(&error))?;
                tracing::error!(
                    %cause,
                    ?lost_bytes,
                    copy = %copy.display(),
                    "the journal is damaged, as by a power cut; it is cut where the damage begins",
                );
                (open(), lost_bytes)
            }
            opened => (opened, None),
        };
        let database = database.map_err(|error| describe(&error))?;
        let open = |space: Space| {
            database.keyspace(space.name(), || options(config)).map_err(|error| describe(&error))
        };
        let (data, log, meta) = (open(Space::Data)?, open(Space::Log)?, open(Space::Meta)?);
        if directory.is_new() && !directory.is_restoring() {
            database.persist(PersistMode::SyncAll).map_err(|error| describe(&error))?;
            directory.created().map_err(|error| StoreError::Io(error.to_string().into()))?;
        }
        let stopped = OnceLock::new();
        let directory = directory.clone();
        // One byte of eight for sums.
        let sums = config.cache_bytes / 8;
        let recent = RecentRows::new(config.cache_bytes / 2 - sums);
        let sums = RecentSums::new(sums);
        let unlooked = AtomicUsize::new(0);
        let shared = Shared {
            data,
            log,
            meta,
            database,
            recent,
            sums,
            unlooked,
            lost_bytes,
            stopped,
            directory,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Bytes of journal that opening had to cut off because they were damaged; `None` when it was
    /// sound. Commits were in them that never were synced, unless the disk itself is failing.
    pub fn lost_bytes(&self) -> Option<u64> {
        self.shared.lost_bytes
    }

    /// Makes every commit durable, and with it the files that they are in.
    ///
    /// # Errors
    /// As of [`Store::sync`].
    pub fn sync_all(&self) -> Result<(), StoreError> {
        self.shared.check()?;
        let synced = self.shared.database.persist(PersistMode::SyncAll);
        synced.map_err(|error| self.shared.stop(&error))
    }

    /// The data directory.
    pub fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    /// Bytes on disk: tables and journal.
    ///
    /// # Errors
    /// When the journal's length could not be read.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.shared.database.disk_space().map_err(|error| describe(&error))
    }
}

impl Read for FjallStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.look(space, key, |row| row.map(<[u8]>::to_vec))
    }

    fn look<R>(
        &self,
        space: Space,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        let shared = &*self.shared;
        let read = || shared.get(&shared.database.snapshot(), space, key);
        let value = if space == Space::Data { shared.recent.get(key, read) } else { read() };
        Ok(look(value?.as_deref()))
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        Shared::range(&self.shared, &self.shared.database.snapshot(), space, start, end)
    }

    fn sums(&self, start: &[u8], end: &[u8]) -> Result<Vec<Row>, StoreError> {
        let (lower, upper) = (Bound::Included(start), Bound::Excluded(end));
        self.shared.sums.get(start, || self.range(Space::Data, lower, upper).collect())
    }
}

impl Store for FjallStore {
    type Snapshot = FjallSnapshot;

    fn snapshot(&self) -> FjallSnapshot {
        let shared = Arc::clone(&self.shared);
        FjallSnapshot { snapshot: shared.database.snapshot(), shared }
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let shared = &*self.shared;
        shared.check()?;
        shared.wait_for_room(&batch)?;
        let mut writes =
            OwnedWriteBatch::with_capacity(shared.database.clone(), batch.writes.len())
                .durability(Some(PersistMode::Buffer));
        let data = |(space, ..): &&(Space, Vec<u8>, Option<Vec<u8>>)| *space == Space::Data;
        shared.recent.begin(batch.writes.iter().filter(data).map(|(_, key, _)| &**key));
        let mut rows = Vec::new();
        for (space, key, value) in batch.writes {
            let keyspace = shared.keyspace(space);
            let key = Slice::from(key);
            let value = value.map(Slice::from);
            if space == Space::Data {
                rows.push((key.clone(), value.clone()));
            }
            match value {
                Some(value) => writes.insert(keyspace, key, value),
                None => writes.remove(keyspace, key),
            }
        }
        let mut sums = rows.iter().filter(|(key, _)| sums_of(key).is_some()).peekable();
        let mut changing = sums.peek().map(|_| shared.sums.begin());
        writes.commit().map_err(|error| shared.stop(&error))?;
        if let Some(changing) = &mut changing {
            sums.for_each(|(key, row)| changing.end(key, row.as_ref()));
        }
        drop(changing);
        shared.recent.end(rows);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.shared.check()?;
        self.shared
            .database
            .persist(PersistMode::SyncData)
            .map_err(|error| self.shared.stop(&error))
    }
}

impl Read for FjallSnapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.shared.get(&self.snapshot, space, key)?.map(|value| value.to_vec()))
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        Shared::range(&self.shared, &self.snapshot, space, start, end)
    }
}

impl fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallStore").field("path", &self.shared.directory.path()).finish()
    }
}

impl fmt::Debug for FjallSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallSnapshot")
            .field("sequence", &self.snapshot.seqno())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Data => &self.data,
            Space::Log => &self.log,
            Space::Meta => &self.meta,
        }
    }

    fn get(
        &self,
        snapshot: &fjall::Snapshot,
        space: Space,
        key: &[u8],
    ) -> Result<Option<Slice>, StoreError> {
        snapshot.get(self.keyspace(space), key).map_err(|error| describe(&error))
    }

    fn range(
        this: &Arc<Self>,
        snapshot: &fjall::Snapshot,
        space: Space,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> Rows {
        if is_empty_range(start, end) {
            return Box::new(std::iter::empty());
        }
        let rows = snapshot.range::<&[u8], _>(this.keyspace(space), (start, end));
        Box::new(FjallRows { rows, _shared: Arc::clone(this) })
    }

    /// Refuses when an earlier commit or sync failed.
    fn check(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Stopped(Arc::clone(reason))),
        }
    }

    /// Waits until the engine can take another batch without waiting itself.
    fn wait_for_room(&self, batch: &Batch) -> Result<(), StoreError> {
        let bytes = |(_, key, value): &(Space, Vec<u8>, Option<Vec<u8>>)| {
            64 + key.len() + value.as_ref().map_or(0, Vec::len)
        };
        let bytes: usize = batch.writes.iter().map(bytes).sum();
        if self.unlooked.fetch_add(bytes, Ordering::Relaxed) + bytes < ROOM_BYTES {
            return Ok(());
        }
        self.unlooked.store(0, Ordering::Relaxed);
        while [&self.data, &self.log, &self.meta].into_iter().any(is_crowded) {
            // Costs nothing where nothing is dirty, and fails when the background has failed.
            self.database.persist(PersistMode::Buffer).map_err(|error| self.stop(&error))?;
            thread::sleep(ROOM_POLL);
        }
        Ok(())
    }

    /// Refuses everything from now on; returns what the caller who hit the failure is told.
    fn stop(&self, error: &fjall::Error) -> StoreError {
        let error = match error {
            fjall::Error::Poisoned => self.background_failure(),
            error => describe(error),
        };
        let reason = match &error {
            StoreError::Full(reason)
            | StoreError::Io(reason)
            | StoreError::Stopped(reason)
            | StoreError::Corrupt(reason) => reason,
        };
        tracing::error!(%error, "the store takes no more writes");
        // An earlier reason stands.
        let _ = self.stopped.set(Arc::clone(reason));
        error
    }

    /// fjall tells the cause of a failed flush or compaction to its log only; the one that people
    /// can do something about, a full disk, is recognised by trying.
    fn background_failure(&self) -> StoreError {
        let probe = self.directory.path().join("probe.new");
        let written = fs::write(&probe, vec![0; PROBE_BYTES]);
        let _ = fs::remove_file(&probe);
        match written {
            Err(error) if is_full(&error) => io_error(&error),
            _ => StoreError::Io("a flush or compaction in the background failed".into()),
        }
    }
}

/// A scan. It keeps the engine open: dropping the last handle in the middle of it would let
/// another process clean up the tables that it still reads.
struct FjallRows {
    rows: fjall::Iter,
    _shared: Arc<Shared>,
}

impl Iterator for FjallRows {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().map(row)
    }
}

impl DoubleEndedIterator for FjallRows {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.rows.next_back().map(row)
    }
}

fn row(guard: fjall::Guard) -> Result<Row, StoreError> {
    match guard.into_inner() {
        Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
        Err(error) => Err(describe(&error)),
    }
}

fn is_crowded(keyspace: &Keyspace) -> bool {
    keyspace.sealed_memtable_count() >= SEALED_MEMTABLES_MAX
        || keyspace.l0_table_count() >= FIRST_LEVEL_TABLES_MAX
}

/// The options of a space, chosen with a million rows of 100 bytes on a machine shared with others,
/// so that only large differences count.
///
/// - Memtables of 16 MiB: with 64 MiB, fjall's default, so much stayed in the journal that opening
///   after a million commits took 6.5 s against 1.3 s, and reads were slower too.
/// - Blocks of 4 KiB without a hash index, fjall's default: nothing else was clearly faster.
/// - fjall's filters, in every level: a put reads the row that it replaces, and a new key has none,
///   so reads that find nothing are half of the load of a filling store. Leaving the filter of the
///   last level out (`expect_point_read_hits`) would make each of them a block read.
/// - No compression: values are opaque and often compressed by who wrote them, and it made no
///   difference to reads.
fn options(config: &StoreConfig) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(config.memtable_bytes)
        .data_block_size_policy(BlockSizePolicy::all(4 * 1024))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
}

/// fjall's errors as sentences.
fn describe(error: &fjall::Error) -> StoreError {
    use fjall::{Error, LsmError};
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => io_error(error),
        Error::Storage(LsmError::ChecksumMismatch { .. }) => {
            StoreError::corrupt("a block of a table does not match its checksum")
        }
        Error::JournalRecovery(cause) => StoreError::corrupt(format!(
            "the journal cannot be replayed ({cause}); restore a copy of the data directory, or \
             start with an empty one and let the other holders fill it"
        )),
        Error::Poisoned => StoreError::Io("a flush or compaction in the background failed".into()),
        Error::Locked => StoreError::Io("its files are in use by another process".into()),
        Error::InvalidVersion(_) => {
            StoreError::Io("its files were written by another version of the engine".into())
        }
        other => StoreError::corrupt(format!("the engine reports {other}")),
    }
}

fn io_error(error: &io::Error) -> StoreError {
    let text = error.to_string().into();
    if is_full(error) { StoreError::Full(text) } else { StoreError::Io(text) }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
