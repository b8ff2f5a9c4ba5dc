//! One copy of one database: applying records, and everything derived from them.
//!
//! I2: the vector, the digest, the log and the size are staged in the batch of the records they
//! describe, always. The sums of the 256 buckets of the digest are counted where a compare needs
//! them, and kept up to date in memory from then on: a write would touch one more row for each.

mod counting;
mod derived;
mod late;
mod stored;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::clock::HybridClock;
use crate::counter::resolve_staged;
use crate::ident::{DatabaseId, Epoch};
use crate::interval::Interval;
use crate::planted::{Planted, planted};
use crate::record::{Fingerprint, Merge, Payload, Record, Sent, bucket_of};
pub use crate::rows::decode_record;
use crate::rows::{self, Found, Prefix, Transaction};
use crate::stamp::{Dot, Millis, Time};
use crate::store::{Read, Space, StoreError};
use crate::vector::{Progress, Vector};
use crate::wire;
pub use counting::Added;
pub use derived::{Counts, Derived};
pub use late::{Late, is_below};
pub use stored::{Base, HOT_MAX, StateRow, Stored};

/// What is stored of a copy beside its rows, in every batch that touches the copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How often the database was dropped: dots are per generation.
    pub generation: u64,
    /// What the rows reflect.
    pub progress: Progress,
    /// Vector of the collected tombstones: whoever does not dominate it is not answered by log.
    pub floor: Vector,
    /// The greatest stamp time of any tombstone collected here or where this copy was filled from.
    pub newest_collected: Time,
    /// Sum of the elements of the live entries, modulo 2^128.
    pub digest: u128,
    /// How many rows of which kind there are.
    pub counts: Counts,
}

impl State {
    /// What it says that follows from the rows alone.
    pub fn derived(&self) -> Derived {
        let Self { digest, counts, .. } = *self;
        Derived { digest, counts }
    }
}

/// What happened to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It won: the row now says what it says.
    Won,
    /// The row already says something newer, or the same.
    Lost,
    /// Like `Won` (true) or `Lost` (false), but two values carry one stamp: an alarm.
    Conflict(bool),
}

/// The sums of the elements of the live entries, modulo 2^128, by bucket.
pub type Buckets = [u128; 256];

/// One copy of one database.
#[derive(Debug)]
pub struct Replica {
    /// The database.
    pub id: DatabaseId,
    /// Its local number.
    pub prefix: Prefix,
    /// Its path.
    pub path: Arc<str>,
    /// What is stored beside the rows.
    pub state: State,
    /// What its row is written against.
    base: Option<Box<Base>>,
    /// The parts of the digest, where they are known or being counted.
    buckets: Option<Box<Buckets>>,
    /// Whether the sums are complete: until then they hold what changed since the count began.
    counted: bool,
    /// Fingerprint of generation, vector and digest, until the next change.
    summary: Option<u64>,
}

impl Replica {
    /// A copy with a known state.
    pub fn new(id: DatabaseId, prefix: Prefix, path: Arc<str>, stored: Stored) -> Self {
        let Stored { state, base } = stored;
        Self { id, prefix, path, state, base, buckets: None, counted: false, summary: None }
    }

    /// Whether the state reflects this dot.
    pub fn covers(&self, dot: Dot) -> bool {
        let mut loose = self.state.progress.loose();
        let mut seen = || loose.any(|(epoch, upto)| epoch == dot.epoch && upto >= dot.sequence);
        if planted(Planted::HighestSeenCovers) && seen() {
            return true;
        }
        self.state.progress.covers(dot)
    }

    /// The record of a stored key, as staged or stored.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn record(
        &self,
        transaction: &Transaction,
        store: &impl Read,
        stored: &[u8],
    ) -> Result<Option<Record>, StoreError> {
        let found = transaction.record(store, self.prefix, stored)?;
        Ok(found.map(|found| found.record))
    }

    /// Merges one record into its row, whatever the vector says; the caller moves the vector.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn apply(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        fingerprint: &Fingerprint,
        stored: &[u8],
        record: Record,
    ) -> Result<Applied, StoreError> {
        let old = transaction.record(store, self.prefix, stored)?;
        let (applied, _) = self.merge(transaction, fingerprint, stored, old, record);
        self.settle(transaction, fingerprint);
        Ok(applied)
    }

    /// Merges a record into what its key says, which is staged, and [settled](Self::settle) later. Where
    /// what was there stays, it comes back.
    fn merge(
        &mut self,
        transaction: &mut Transaction,
        fingerprint: &Fingerprint,
        stored: &[u8],
        old: Option<Found>,
        record: Record,
    ) -> (Applied, Option<Record>) {
        let mut outcome = Applied::Won;
        let winner = match old {
            None => record,
            Some(Found { record: mut winner, staged }) => {
                let (counted, dot) = (Counts::of(stored, winner.payload()), winner.dot());
                let element = if staged { 0 } else { fingerprint.element(stored, &winner) };
                match winner.merge(record) {
                    Merge::Kept => return (Applied::Lost, Some(winner)),
                    Merge::Conflict(false) => return (Applied::Conflict(false), Some(winner)),
                    Merge::Conflict(true) => outcome = Applied::Conflict(true),
                    Merge::Taken => {}
                }
                if winner.is_live() || !planted(Planted::DigestKeepsDeleted) {
                    self.shift_digest(stored, element.wrapping_neg());
                }
                self.uncount(counted);
                if dot != winner.dot() && !staged && !planted(Planted::LogRowKept) {
                    transaction.remove_once(Space::Log, rows::log_key(self.prefix, dot));
                }
                winner
            }
        };
        if planted(Planted::NoTombstone) && !winner.is_live() {
            transaction.unset(self.prefix, stored);
            transaction.remove(Space::Data, rows::data_key(self.prefix, stored));
            return (outcome, Some(winner));
        }
        self.state.counts.add(Counts::of(stored, winner.payload()));
        transaction.set(self.prefix, stored, winner);
        (outcome, None)
    }

    /// Makes rows of the records that are staged, with their log rows, and takes them into the digest.
    fn settle(&mut self, transaction: &mut Transaction, fingerprint: &Fingerprint) {
        for (stored, record) in transaction.take(self.prefix) {
            self.shift_digest(&stored, fingerprint.element(&stored, &record));
            let row = rows::data_key(self.prefix, &stored);
            let room = RECORD_BYTES + record.payload().len();
            transaction.put(Space::Data, row, wire::encode_with_capacity(room, &record));
            if !planted(Planted::LogRowNotWritten) || !record.sequence.is_multiple_of(4) {
                let log = rows::log_key(self.prefix, record.dot());
                transaction.put(Space::Log, log, stored);
            }
        }
    }

    /// Adds to the digest, and to the sum of the key's bucket.
    fn shift_digest(&mut self, stored: &[u8], element: u128) {
        self.state.digest = self.state.digest.wrapping_add(element);
        if let Some(buckets) = &mut self.buckets {
            let sum = &mut buckets[usize::from(bucket_of(stored))];
            *sum = sum.wrapping_add(element);
        }
    }

    /// Takes a row out of the counts.
    fn uncount(&mut self, row: Counts) {
        let counts = &mut self.state.counts;
        let bytes = counts.bytes;
        counts.remove(row);
        if planted(Planted::SizeOnlyGrows) {
            counts.bytes = bytes;
        }
    }

    /// Applies the records of an interval that the vector does not cover (I5), and reports what
    /// each of those did. Only then may the caller [`Progress::reflect`] the interval.
    ///
    /// A value that is stamped no later than a tombstone that was collected here, which may have been its
    /// key's, is late. It is applied under its own stamp: where that tombstone still is, it wins, and is
    /// told again.
    ///
    /// # Errors
    /// When the store cannot read or a row is damaged.
    pub fn apply_sent(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        fingerprint: &Fingerprint,
        epoch: Epoch,
        records: Vec<Sent>,
        mut told: impl FnMut(&[u8], &Record, Applied),
    ) -> Result<Late, StoreError> {
        let mut late = Late::default();
        for sent in records {
            let (stored, record) = sent.into_record(epoch);
            if self.covers(record.dot()) {
                continue;
            }
            self.state.progress.applied(record.dot());
            let old = transaction.record(store, self.prefix, &stored)?;
            let old_news = record.stamp().time <= self.state.newest_collected;
            if old_news && old.is_none() && planted(Planted::LateWriteDropped) {
                continue;
            }
            let (live, time) = (record.is_live(), record.stamp().time);
            let loser = planted(Planted::WatchTellsLosers).then(|| record.clone());
            let (applied, stays) = self.merge(transaction, fingerprint, &stored, old, record);
            let says = stays.as_ref().or_else(|| transaction.staged(self.prefix, &stored));
            let Some(says) = says else { continue };
            if applied == Applied::Lost && live && !says.is_live() {
                late.deleted.push((stored.clone(), says.stamp().time));
            }
            if applied != Applied::Lost && !live {
                late.oldest_delete = late.oldest_delete.into_iter().chain([time]).min();
            }
            // Who watches may have been told of a delete that is forgotten by now.
            if old_news {
                late.values += u64::from(applied != Applied::Lost && live);
            } else {
                told(&stored, loser.as_ref().unwrap_or(says), applied);
            }
        }
        self.settle(transaction, fingerprint);
        Ok(late)
    }

    /// Takes a row out of the copy, if it still says what this record does: a tombstone that is
    /// collected, or a row whose delete was collected elsewhere. False: it says something else.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn discard(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        fingerprint: &Fingerprint,
        stored: &[u8],
        dot: Dot,
    ) -> Result<Option<Record>, StoreError> {
        self.settle(transaction, fingerprint);
        let old = self.record(transaction, store, stored)?;
        let Some(record) = old.filter(|old| old.dot() == dot) else { return Ok(None) };
        self.shift_digest(stored, fingerprint.element(stored, &record).wrapping_neg());
        self.uncount(Counts::of(stored, record.payload()));
        transaction.remove(Space::Data, rows::data_key(self.prefix, stored));
        transaction.remove(Space::Log, rows::log_key(self.prefix, dot));
        Ok(Some(record))
    }

    /// Collects a tombstone, if the row still says that: whoever does not reflect it is compared with
    /// key by key from now on.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn collect(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        fingerprint: &Fingerprint,
        stored: &[u8],
        dot: Dot,
    ) -> Result<bool, StoreError> {
        let Some(record) = self.discard(transaction, store, fingerprint, stored, dot)? else {
            return Ok(false);
        };
        let state = &mut self.state;
        if !planted(Planted::FloorStays) {
            state.floor.raise(dot.epoch, dot.sequence);
        }
        state.newest_collected = state.newest_collected.max(record.stamp().time);
        Ok(true)
    }

    /// Whether somebody with this vector, who lacks `found` of what is reflected here under it, may
    /// lack a tombstone that was collected here: what they have may have been deleted.
    pub fn is_below_floor(&self, vector: &Vector, found: &[Interval]) -> bool {
        is_below(&self.state.floor, vector, found) && !planted(Planted::AnsweredBelowFloor)
    }

    /// Writes a payload under a new stamp of this peer, above whatever the row says now. `None`:
    /// the row's stamp leaves no room under the ceiling, and nothing was staged.
    ///
    /// The caller has checked the size, and reflects the interval of what it wrote.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn write(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        author: &mut Author<'_>,
        stored: &[u8],
        payload: Payload,
    ) -> Result<Option<Record>, StoreError> {
        let old = transaction.record(store, self.prefix, stored)?;
        // A key without a row may have had one, whose tombstone is collected: above that, too.
        let collected = self.state.newest_collected;
        let over = match &old {
            None => collected,
            // And above every increment that it has seen: those belong to the past from now on.
            Some(Found { record, .. }) if matches!(record.payload(), Payload::Counter { .. }) => {
                let staged = (&*transaction, store);
                resolve_staged(staged, self.prefix, stored, record.clone())?.stamp().time
            }
            Some(Found { record, .. }) => record.stamp().time,
        };
        let over = Some(over).filter(|_| !planted(Planted::StampBelowOverwritten));
        let Some(time) = author.clock.next(author.wall, over) else { return Ok(None) };
        let own = (author.fingerprint, author.epoch);
        Ok(Some(self.issue(transaction, own, stored, old, (time, payload))))
    }

    /// Merges a write under the next sequence of a live epoch of this peer.
    fn issue(
        &mut self,
        transaction: &mut Transaction,
        (fingerprint, epoch): (&Fingerprint, Epoch),
        stored: &[u8],
        old: Option<Found>,
        (time, payload): (Time, Payload),
    ) -> Record {
        let sequence = self.state.progress.vector.get(epoch) + 1;
        let record = Record::new(time, Dot { epoch, sequence }, payload);
        let written = record.clone();
        self.merge(transaction, fingerprint, stored, old, record);
        self.state.progress.vector.raise(epoch, sequence);
        written
    }

    /// Puts a tombstone just above a stamp, if the row still has that stamp: whatever else was written
    /// meanwhile wins. Of a tombstone, it tells the delete again under a new name, since another copy may
    /// have collected it, and then got a value that it deletes; of what has expired, or of a sum that
    /// belongs to the past, it is the end. None: the row says something else by now.
    ///
    /// # Errors
    /// When the store cannot read or the row is damaged.
    pub fn bury(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        own: (&Fingerprint, Epoch),
        stored: &[u8],
        time: Time,
    ) -> Result<Option<Record>, StoreError> {
        let old = transaction.record(store, self.prefix, stored)?;
        let Some(payload) = old.as_ref().and_then(|old| buried(&old.record, time)) else {
            return Ok(None);
        };
        let above = if planted(Planted::SweptAboveAll) {
            Time::from_millis(time.millis() + 3_600_000)
        } else {
            time.next()
        };
        Ok(Some(self.issue(transaction, own, stored, old, (above, payload))))
    }

    /// Stages what is stored of the state, and rows of what was written.
    pub fn stage(&mut self, transaction: &mut Transaction, fingerprint: &Fingerprint) {
        self.settle(transaction, fingerprint);
        self.summary = None;
        self.state.stage(transaction, self.prefix, &mut self.base);
    }

    /// Goes back to a state as it is stored, forgetting what was staged since.
    pub fn restore(&mut self, stored: Stored) {
        (self.state, self.base) = (stored.state, stored.base);
        self.summary = None;
        self.forget_buckets();
    }

    /// The bucket sums; `None` while they are not known.
    pub fn buckets(&self) -> Option<&Buckets> {
        self.buckets.as_deref().filter(|_| self.counted)
    }

    /// Begins to count the bucket sums. The caller reads the rows as they are now, and brings what
    /// it found to [`Replica::buckets_counted`].
    pub fn count_buckets(&mut self) {
        (self.buckets, self.counted) = (Some(Box::new([0; 256])), false);
    }

    /// Ends a count: what was found, and what has changed since.
    pub fn buckets_counted(&mut self, found: &Buckets) {
        if let Some(buckets) = self.buckets.as_deref_mut().filter(|_| !self.counted) {
            for (sum, found) in buckets.iter_mut().zip(found) {
                *sum = sum.wrapping_add(*found);
            }
            self.counted = true;
        }
    }

    /// Frees the 4 KiB of the bucket sums.
    pub fn forget_buckets(&mut self) {
        (self.buckets, self.counted) = (None, false);
    }

    /// Fingerprint of generation, vector and digest: equal on two holders that agree.
    pub fn summary(&mut self, fingerprint: &Fingerprint) -> u64 {
        *self.summary.get_or_insert_with(|| {
            let state = &self.state;
            let Progress { vector, .. } = &state.progress;
            let lost = state.progress.lost();
            let agreed = (state.generation, vector, lost, state.digest);
            if planted(Planted::SummaryWithoutVector) {
                return fingerprint.short(&wire::encode(&(agreed.0, agreed.3)));
            }
            if planted(Planted::SummaryWithoutDigest) {
                return fingerprint.short(&wire::encode(&(agreed.0, agreed.1)));
            }
            fingerprint.short(&wire::encode(&agreed))
        })
    }

    /// Puts the state right by the difference between what was stored and what was found in the rows
    /// at one moment: sums carry over to what came later.
    pub fn correct(&mut self, stored: &Derived, found: &Derived) {
        let state = &mut self.state;
        let shift = |now: u64, was: u64, is: u64| now.wrapping_add(is.wrapping_sub(was));
        state.digest = state.digest.wrapping_add(found.digest.wrapping_sub(stored.digest));
        let (now, was, is) = (&mut state.counts, &stored.counts, &found.counts);
        now.entries = shift(now.entries, was.entries, is.entries);
        now.bytes = shift(now.bytes, was.bytes, is.bytes);
        now.tombstones = shift(now.tombstones, was.tombstones, is.tombstones);
        now.expiring = shift(now.expiring, was.expiring, is.expiring);
    }
}

/// Who writes, and when.
#[derive(Debug)]
pub struct Author<'a> {
    /// The live epoch of this peer.
    pub epoch: Epoch,
    /// Its clock.
    pub clock: &'a mut HybridClock,
    /// The wall clock now.
    pub wall: Millis,
    /// The cluster's fingerprint.
    pub fingerprint: &'a Fingerprint,
}

/// What buries a record, if it has this stamp time.
fn buried(old: &Record, time: Time) -> Option<Payload> {
    (old.stamp().time == time).then(|| match old.payload() {
        payload @ (Payload::Counter { .. } | Payload::Expired(_)) => {
            Payload::Expired(crate::counter::ended(time, payload))
        }
        Payload::Value(..) | Payload::Sum(_) | Payload::Tombstone => Payload::Tombstone,
    })
}

/// Most bytes of an encoded record beside its value.
const RECORD_BYTES: usize = 64;
