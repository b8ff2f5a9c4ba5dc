//! The simulated disk: what a storage engine and the hardware under it can do to a peer.
//!
//! A [`Disk`] is one machine's data directory and outlives the processes that use it. A process
//! opens it and gets a [`FaultyStore`]; when the process dies, its handles fail from then on, and
//! the next one opens the disk again. Everything random is drawn from the seed of the disk, so the
//! same calls meet the same faults.
//!
//! The disk keeps one current table set and, for every commit since the last sync, the batch that
//! takes it back. A power cut takes back the newest ones: what survives is always a prefix of the
//! commits, as with a real journal whose batches carry checksums. The one exception is
//! [`Crash::TornWithin`], which no engine that is worth its name does: it is there to show that the
//! checkers would notice.

mod faults;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tidings_core::store::{
    Batch, MemorySnapshot, MemoryStore, Read, Space, Store as _, prefix_rows,
};

pub use faults::{Counts, Failure, Operation};
pub use store::{FaultySnapshot, FaultyStore};

use faults::Faults;

/// A machine's disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk {
    platter: Arc<Mutex<Platter>>,
}

/// What a disk held at one moment, to put back later or on another disk. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(MemorySnapshot);

/// How a process ends, and what the disk loses with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed; the operating system lives and writes out what was committed.
    Process,
    /// Power is lost, and with it a number of unsynced commits that the seed draws, the newest
    /// first.
    Power,
    /// Power is lost; exactly this many of the unsynced commits survive, the oldest first (all of
    /// them when there are fewer).
    PowerKeeping(usize),
    /// As [`Crash::Power`], and the last commit that reached the disk did so in part. Its checksum
    /// says so, and the engine drops it whole.
    Torn,
    /// A planted bug: the last commit that survives does so in part, its writes in no order.
    TornWithin,
}

/// What a crash did to the unsynced commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survival {
    /// Commits that survived.
    pub kept: usize,
    /// Commits that were lost, torn ones included.
    pub lost: usize,
    /// Whether one of the lost ones had been written in part, or, with [`Crash::TornWithin`],
    /// whether one of the kept ones was.
    pub torn: bool,
}

/// The state of the disk, behind the lock of [`Disk`].
#[derive(Debug)]
struct Platter {
    live: MemoryStore,
    /// What takes back each commit since the last sync, oldest first.
    undo: Vec<Batch>,
    /// A batch whose commit failed, yet reached the disk: it appears when the disk is next opened.
    limbo: Option<Batch>,
    /// Counts the processes; a handle of an earlier one is dead.
    life: u64,
    /// Why the process of this life may no longer write.
    stopped: Option<Arc<str>>,
    /// Bytes that may still be written; `None` for no bound.
    room: Option<u64>,
    faults: Faults,
    random: ChaCha8Rng,
    changes: Changes,
    /// The rows of the log, by the prefix of their database.
    logs: BTreeMap<[u8; 4], LogSum>,
}

/// The rows of the log of one database as one number: a sum of their hashes, modulo 2^64, and how
/// many they are. Reading all of them at every look took longer the larger a database was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogSum {
    sum: u64,
    rows: u64,
}

impl LogSum {
    fn hash(key: &[u8], value: &[u8]) -> u64 {
        crate::trace::hash(key).wrapping_mul(3) ^ crate::trace::hash(value)
    }

    /// One more row.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_add(Self::hash(key, value));
        self.rows += 1;
    }

    /// One row less.
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_sub(Self::hash(key, value));
        self.rows -= 1;
    }
}

/// Most rows remembered as changed; beyond, everything counts as changed.
const CHANGES_MAX: usize = 1 << 20;

/// What changed on a disk since the last look.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Anything may have.
    pub(crate) everything: bool,
    /// These rows of data and of what describes it; rows of the log are not listed.
    pub(crate) rows: Vec<(Space, Vec<u8>)>,
}

impl Changes {
    fn note(&mut self, batch: &Batch) {
        if self.everything {
            return;
        }
        let rows = batch.writes.iter().filter(|(space, ..)| *space != Space::Log);
        self.rows.extend(rows.map(|(space, key, _)| (*space, key.clone())));
        if self.rows.len() > CHANGES_MAX {
            self.note_everything();
        }
    }

    fn note_everything(&mut self) {
        self.everything = true;
        self.rows = Vec::new();
    }
}

impl Disk {
    /// An empty disk, with the seed of all its bad luck.
    pub fn new(seed: u64) -> Self {
        let platter = Platter {
            live: MemoryStore::new(),
            undo: Vec::new(),
            limbo: None,
            life: 0,
            stopped: None,
            room: None,
            faults: Faults::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            changes: Changes::default(),
            logs: BTreeMap::new(),
        };
        Self { platter: Arc::new(Mutex::new(platter)) }
    }

    /// Opens the disk for a new process. Handles of the process before it fail from now on, as
    /// after [`Crash::Process`].
    pub fn open(&self) -> FaultyStore {
        let mut platter = self.lock();
        platter.end_life();
        platter.settle();
        FaultyStore::new(self.clone(), platter.life)
    }

    /// Ends the process that has the disk open, and does to its unsynced commits what the crash
    /// does.
    pub fn crash(&self, crash: Crash) -> Survival {
        let mut platter = self.lock();
        platter.end_life();
        platter.settle();
        let unsynced = platter.undo.len();
        let kept = match crash {
            Crash::Process => unsynced,
            Crash::PowerKeeping(kept) => kept.min(unsynced),
            Crash::Power | Crash::Torn | Crash::TornWithin => platter.below(unsynced + 1),
        };
        let torn = match crash {
            Crash::Torn => kept < unsynced,
            Crash::TornWithin => kept > 0 && platter.tear(kept),
            Crash::Process | Crash::Power | Crash::PowerKeeping(_) => false,
        };
        if crash != Crash::Process {
            platter.take_back(kept);
            // What was read back after a power cut is on the disk to stay.
            platter.undo.clear();
        }
        let survival = Survival { kept, lost: unsynced - kept, torn };
        platter.faults.note_crash(survival);
        survival
    }

    /// Whether a commit is waiting for its sync.
    pub fn is_synced(&self) -> bool {
        self.lock().undo.is_empty()
    }

    /// Copies the disk as it is, as one copies the directory of a running process: everything
    /// committed is in it, synced or not.
    pub fn image(&self) -> Image {
        Image(self.lock().live.snapshot())
    }

    /// Everything on the disk, for a checker to read: it is counted by nobody and never fails.
    pub fn look(&self) -> MemorySnapshot {
        self.lock().live.snapshot()
    }

    /// A row as a power cut now would leave it.
    pub fn synced_row(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        let platter = self.lock();
        let mut undone = platter.undo.iter().flat_map(|batch| &batch.writes);
        match undone.find(|(own, row, _)| *own == space && row == key) {
            Some((_, _, before)) => before.clone(),
            None => platter.live.get(space, key).ok().flatten(),
        }
    }

    /// As [`Disk::look`], with what changed since the last time this was asked.
    pub(crate) fn look_at_changes(&self) -> (MemorySnapshot, Changes) {
        let mut platter = self.lock();
        (platter.live.snapshot(), std::mem::take(&mut platter.changes))
    }

    /// The rows of the log of a database.
    pub(crate) fn log_of(&self, prefix: [u8; 4]) -> LogSum {
        self.lock().logs.get(&prefix).copied().unwrap_or_default()
    }

    /// Puts an image onto the disk in place of what it held, synced: an older one of its own rolls
    /// it back, one of another disk makes it a clone. The process that had it open dies.
    pub fn restore(&self, image: &Image) {
        let mut platter = self.lock();
        platter.end_life();
        platter.limbo = None;
        platter.undo.clear();
        platter.live.restore(image.0.clone());
        platter.count_logs();
        platter.changes.note_everything();
        platter.faults.note_restore();
    }

    /// Puts a copy of another disk onto this one, as [`Disk::restore`] does with an image. What vanished
    /// there is missing here as well.
    pub fn clone_from_disk(&self, other: &Self) {
        let vanished = other.counts().vanished;
        self.restore(&other.image());
        self.lock().faults.note_vanished(vanished as usize);
    }

    /// Empties the disk. The process that had it open dies.
    pub fn wipe(&self) {
        self.restore(&Image(MemorySnapshot::default()));
    }

    /// Makes rows vanish behind the engine, under the feet of the process that has the disk open,
    /// and for good: no crash brings them back. Returns how many were there.
    pub fn vanish(&self, space: Space, keys: &[Vec<u8>]) -> usize {
        self.lock().vanish(space, keys)
    }

    /// Makes up to `count` rows of a space, drawn by the seed, vanish as [`Disk::vanish`] does;
    /// returns their keys.
    pub fn vanish_random(&self, space: Space, count: usize) -> Vec<Vec<u8>> {
        let mut platter = self.lock();
        let rows = platter.live.snapshot();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for _ in 0..count.min(rows.len(space)) {
            let index = platter.below(rows.len(space));
            if let Some(key) =
                rows.key_at(space, index).filter(|key| !keys.iter().any(|k| k == key))
            {
                keys.push(key.to_vec());
            }
        }
        drop(rows);
        platter.vanish(space, &keys);
        keys
    }

    /// Lets the `nth` operation of this kind from now (1 is the next) fail, once or from then on,
    /// in place of what was planned for the kind before. An `nth` of 0 plans nothing.
    pub fn fail(&self, operation: Operation, nth: u64, failure: Failure) {
        self.lock().faults.plan(operation, nth, failure);
    }

    /// Lets the process that has the disk open die in the `nth` operation of any kind from now. A
    /// commit that it dies in is, by the seed, gone or there. An `nth` of 0 plans nothing.
    pub fn kill_at(&self, nth: u64) {
        self.lock().faults.plan_kill(nth);
    }

    /// Another process will open the disk: what was planned for the one before is forgotten. What
    /// fails for ever and a full disk stay as they are.
    pub fn forget_plans(&self) {
        self.lock().faults.forget_once();
    }

    /// Plans no failures any more and makes room: the disk is as good as new.
    pub fn repair(&self) {
        let mut platter = self.lock();
        platter.faults.clear();
        platter.room = None;
    }

    /// Sets how many more bytes of keys and values may be committed before the disk is full;
    /// 0 is full now, `None` is boundless. Removing rows takes room too: an engine writes that down.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.lock().room = bytes;
    }

    /// While paused, operations are neither counted nor failed by plan, so that a checker can look
    /// without shifting the n-th of anything.
    pub fn pause_counting(&self, paused: bool) {
        self.lock().faults.pause(paused);
    }

    /// What happened on this disk so far.
    pub fn counts(&self) -> Counts {
        self.lock().faults.counts()
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        // A panic elsewhere is being reported already; the table itself is whole.
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    /// A number under `bound`, or 0 when that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.random.next_u64()) * (bound as u128);
        (product >> 64) as usize
    }

    /// Commits a batch; returns what takes it back.
    fn write(&mut self, batch: Batch) -> Batch {
        self.changes.note(&batch);
        let is_log = |(space, ..): &&(Space, Vec<u8>, Option<Vec<u8>>)| *space == Space::Log;
        let logged: Vec<Option<Vec<u8>>> =
            batch.writes.iter().filter(is_log).map(|(_, _, row)| row.clone()).collect();
        let undo = self.live.commit_undoable(batch);
        // It names the rows in the reverse order.
        let before = undo.writes.iter().filter(is_log).rev();
        for ((_, key, old), new) in before.zip(logged) {
            let Some(prefix) = key.first_chunk::<4>() else { continue };
            let sum = self.logs.entry(*prefix).or_default();
            if let Some(old) = old {
                sum.take(key, old);
            }
            if let Some(new) = new {
                sum.add(key, &new);
            }
        }
        undo
    }

    /// Counts the rows of the log from the beginning.
    fn count_logs(&mut self) {
        self.logs.clear();
        for (key, row) in prefix_rows(&self.live, Space::Log, &[]).flatten() {
            if let Some(prefix) = key.first_chunk::<4>() {
                self.logs.entry(*prefix).or_default().add(&key, &row);
            }
        }
    }

    fn end_life(&mut self) {
        self.life += 1;
        self.stopped = None;
    }

    /// Lets a batch that reached the disk though its commit failed appear, as the newest commit.
    fn settle(&mut self) {
        if let Some(batch) = self.limbo.take() {
            let undo = self.write(batch);
            self.undo.push(undo);
        }
    }

    /// Takes back every unsynced commit but the oldest `kept`.
    fn take_back(&mut self, kept: usize) {
        while self.undo.len() > kept {
            if let Some(undo) = self.undo.pop() {
                self.write(undo);
            }
        }
    }

    /// Takes back the commits after the `kept`-th, and some of the writes of that one. False, and
    /// nothing done to it, when it has a single write.
    fn tear(&mut self, kept: usize) -> bool {
        self.take_back(kept);
        let writes = self.undo.last().map_or(0, |undo| undo.writes.len());
        if writes < 2 {
            return false;
        }
        // One at least is lost and one at least is kept.
        let lost_at_least = self.below(writes);
        let kept_at_least = (lost_at_least + 1 + self.below(writes - 1)) % writes;
        let fates: Vec<bool> = (0..writes)
            .map(|index| index == lost_at_least || (index != kept_at_least && self.below(2) == 0))
            .collect();
        if let Some(undo) = self.undo.pop() {
            let lost = undo.writes.into_iter().zip(fates);
            let lost = lost.filter(|(_, is_lost)| *is_lost).map(|(write, _)| write).collect();
            self.write(Batch { writes: lost });
            // Nothing left to take back: what is torn stays torn.
            self.undo.push(Batch::default());
        }
        true
    }

    fn vanish(&mut self, space: Space, keys: &[Vec<u8>]) -> usize {
        let mut removal = Batch::default();
        for key in keys {
            removal.remove(space, key.clone());
        }
        let undo = self.write(removal);
        let there = undo.writes.iter().filter(|(_, _, value)| value.is_some()).count();
        for batch in &mut self.undo {
            for (at, key, value) in &mut batch.writes {
                if *at == space && keys.contains(key) {
                    *value = None;
                }
            }
        }
        // Rows of the log are not listed one by one.
        self.changes.note_everything();
        self.faults.note_vanished(there);
        there
    }
}
