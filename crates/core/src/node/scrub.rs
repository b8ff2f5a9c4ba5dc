//! The scrub: recomputing what is derived from the rows, a little at a time.
//!
//! It runs over every copy after an unclean stop, and over a copy whose bucket sums a compare needs.
//! It reads a snapshot; what differs from the state at that snapshot is put right by its difference,
//! since digests and sizes are sums.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

use super::join::PullEnd;
use super::work::Work;
use super::{Event, MILLISECOND, NEVER, Node, SECOND};
use crate::clock::Now;
use crate::directory::Holder;
use crate::ident::{DatabaseId, PeerId};
use crate::record::{Record, bucket_of};
use crate::replica::{Buckets, Derived, State, decode_record};
use crate::rows;
use crate::status::HolderState;
use crate::store::{Rows, Space, Store, StoreError, prefix_rows};
use crate::vector::Vector;

/// Rows recomputed in one step: well under a millisecond or two, so that writers do not notice.
const STEP_ROWS: usize = 512;
/// Pause between two steps: the scrub takes a few percent of one core at most.
const STEP_EVERY: u64 = 20 * MILLISECOND;

/// Bucket sums are kept this long after they were counted: several rounds of compares.
const FORGET_AFTER: u64 = 60 * SECOND;

/// A copy being recomputed.
struct Current {
    id: DatabaseId,
    stored: Derived,
    found: Derived,
    buckets: Buckets,
    rows: Rows,
}

/// Copies to recompute.
#[derive(Default)]
pub(super) struct Scrubs {
    queue: VecDeque<DatabaseId>,
    current: Option<Box<Current>>,
    /// Who is told the bucket sums of a copy once they are known.
    compares: BTreeMap<DatabaseId, PeerId>,
    /// Copies with known bucket sums, and when those are forgotten.
    counted: BTreeMap<DatabaseId, u64>,
}

impl Scrubs {
    /// A copy is gone.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.current.take_if(|current| current.id == id);
        self.compares.remove(&id);
        self.counted.remove(&id);
    }
}

impl<S: Store> Node<S> {
    /// Recomputes every copy, in the background.
    pub fn scrub_everything(&mut self, now: Now) {
        self.scrub.queue = self
            .held
            .iter()
            .filter(|(_, held)| held.replica.state != State::default())
            .map(|(id, _)| *id)
            .collect();
        if !self.scrub.queue.is_empty() {
            self.timers.scrub = now.monotonic + STEP_EVERY;
        }
    }

    /// Whether copies are being recomputed, or wait for it.
    pub fn is_scrubbing(&self) -> bool {
        self.timers.scrub != NEVER
    }

    /// Recomputes one copy before the others, then tells a peer its bucket sums.
    pub(super) fn scrub_for(&mut self, id: DatabaseId, peer: PeerId, now: Now) {
        let current = self.scrub.current.as_ref().is_some_and(|current| current.id == id);
        if self.scrub.compares.insert(id, peer).is_none() && !current {
            self.scrub.queue.push_front(id);
            self.timers.scrub = self.timers.scrub.min(now.monotonic + STEP_EVERY);
        }
    }

    pub(super) fn scrub_step(&mut self, now: Now) -> Result<(), StoreError> {
        let mut budget = STEP_ROWS;
        while budget > 0 {
            let Some(mut current) = self.scrub.current.take() else {
                let Some(id) = self.scrub.queue.pop_front() else {
                    self.timers.scrub = NEVER;
                    return Ok(());
                };
                if let Some(held) = self.held.get_mut(&id) {
                    held.replica.count_buckets();
                    budget = budget.saturating_sub(32);
                    let prefix = held.replica.prefix.to_be_bytes();
                    self.scrub.current = Some(Box::new(Current {
                        id,
                        stored: held.replica.state.derived(),
                        found: Derived::default(),
                        buckets: [0; 256],
                        rows: prefix_rows(&self.store, Space::Data, &prefix),
                    }));
                }
                continue;
            };
            let Some(row) = current.rows.next() else {
                self.scrubbed(&current, now)?;
                continue;
            };
            budget -= 1;
            let (key, bytes) = row?;
            let (stored, record) = (&key[4..], decode_record(&bytes)?);
            self.mend_log(current.id, stored, &record, now)?;
            let element = current.found.add(&self.fingerprint, stored, &record);
            let sum = &mut current.buckets[usize::from(bucket_of(stored))];
            *sum = sum.wrapping_add(element);
            self.scrub.current = Some(current);
        }
        self.timers.scrub = now.monotonic + STEP_EVERY;
        Ok(())
    }

    /// Puts back the log row of a record, without which no pull would find it.
    fn mend_log(
        &mut self,
        id: DatabaseId,
        stored: &[u8],
        record: &Record,
        now: Now,
    ) -> Result<(), StoreError> {
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let log = rows::log_key(held.replica.prefix, record.dot());
        if self.store.get(Space::Log, &log)?.is_some() {
            return Ok(());
        }
        let mut work = Work::default();
        // The record is of a snapshot, and may have been superseded since.
        let latest = held.replica.record(&work.transaction, &self.store, stored)?;
        if latest.is_some_and(|latest| latest.dot() == record.dot()) {
            work.transaction.put(Space::Log, log, stored.to_vec());
            self.commit_work(work, now)?;
            self.count("log_rows_mended", 1);
        }
        Ok(())
    }

    fn scrubbed(&mut self, current: &Current, now: Now) -> Result<(), StoreError> {
        self.count("copies_scrubbed", 1);
        let Some(held) = self.held.get_mut(&current.id) else {
            self.scrub.compares.remove(&current.id);
            return Ok(());
        };
        held.replica.buckets_counted(&current.buckets);
        if current.stored != current.found {
            held.replica.correct(&current.stored, &current.found);
            let mut work = Work::default();
            work.touched.insert(current.id);
            self.commit_work(work, now)?;
            self.count("copies_damaged", 1);
            let path = self.path_of(current.id);
            self.event(Event::Damaged(path));
            self.doubt(current.id, now)?;
        }
        if let Some(peer) = self.scrub.compares.remove(&current.id) {
            self.scrub.counted.insert(current.id, now.monotonic + FORGET_AFTER);
            self.timers.relax = self.timers.relax.min(now.monotonic + FORGET_AFTER);
            self.send_buckets(peer, current.id, now);
        } else if let Some(held) = self.held.get_mut(&current.id) {
            held.replica.forget_buckets();
        }
        Ok(())
    }

    /// Rows of a copy are gone, and with them perhaps tombstones, which no digest covers: it no longer
    /// says that it reflects them, but joins again, with the rows that it has. Else whoever pulls from it
    /// would take a deleted value of their own for one that nobody deleted, and give it back to all.
    /// Where there is no other complete copy, nobody has more.
    fn doubt(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        let own = self.config.peer;
        let complete =
            |(peer, holder): (PeerId, Holder)| peer != own && holder.state == HolderState::Active;
        if self.directory.is_system(id) || !self.directory.holders(id).any(complete) {
            return Ok(());
        }
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let state = &mut held.replica.state;
        let issued = state.progress.vector.get(self.epoch) > 0;
        state.progress.doubt();
        // A cut that says less than its floor would be none.
        state.floor = Vector::default();
        let mut work = Work::default();
        work.touched.insert(id);
        self.commit_work(work, now)?;
        if issued {
            // I3: what was written under it is not known any more.
            self.take_new_epoch()?;
        }
        if self.held.get(&id).is_some_and(|held| held.role == HolderState::Gone) {
            return Ok(());
        }
        self.take_role(id, HolderState::Joining, now)?;
        self.end_watches(id);
        // What came, or is on its way, is what this copy lacked before.
        self.joins.forget(id);
        self.abort_pull(id, PullEnd::Lost, now)?;
        self.start_join(id, now)
    }

    /// Frees the bucket sums that were counted a while ago.
    pub(super) fn relax(&mut self, now: Now) {
        let due = |at: &u64| *at <= now.monotonic;
        while let Some((&id, _)) = self.scrub.counted.iter().find(|(_, at)| due(at)) {
            self.scrub.counted.remove(&id);
            if let Some(held) = self.held.get_mut(&id) {
                held.replica.forget_buckets();
            }
        }
        self.timers.relax = self.scrub.counted.values().copied().min().unwrap_or(NEVER);
    }
}
