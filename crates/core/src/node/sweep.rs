//! The sweep: what has expired makes room.
//!
//! An entry that has expired is hidden from reads by every peer's own clock, and lies there as before:
//! it is in the digest, and counts for the size. So the steward of each database with entries that expire
//! reads through it from time to time, and puts a tombstone in the place of each that nobody can see any
//! more, however far the clocks are apart. That tombstone is stamped just above the entry: whatever was
//! written over the entry meanwhile, elsewhere, wins, and be it a later expiry.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::rounds::turn;
use super::{MILLISECOND, NEVER, Node, SECOND};
use crate::clock::Now;
use crate::ident::DatabaseId;
use crate::planted::{Planted, planted};
use crate::replica::{Replica, decode_record};
use crate::stamp::{Millis, Time};
use crate::status::HolderState;
use crate::store::{Rows, Space, Store, StoreError, prefix_rows};

/// Most copies looked at in one second.
const LOOKS_MAX: usize = 4_096;
/// Rows read in one step, and the pause between two steps.
const STEP_ROWS: usize = 512;
const STEP_EVERY: u64 = 20 * MILLISECOND;
/// How long after its start a peer sweeps nothing: its clock is not compared with others yet.
const COMPARED_AFTER: u64 = 15 * SECOND;

/// A copy being swept.
struct Sweep {
    id: DatabaseId,
    began: u64,
    rows: Rows,
    /// The next expiry of what stays.
    next: Option<Millis>,
}

/// When a copy with entries that expire is swept.
struct Due {
    at: u64,
    /// When it was last begun, and the next expiry that was seen then.
    last: Option<(u64, Option<Millis>)>,
}

/// Copies with entries that expire.
#[derive(Default)]
pub(super) struct Sweeps {
    due: BTreeMap<DatabaseId, Due>,
    looked_at: Option<DatabaseId>,
    current: Option<Box<Sweep>>,
    /// Whether this peer's clock was off when enough clocks were known to tell.
    wrong_clock: bool,
}

impl Sweeps {
    /// Notes whether a copy has entries that expire, after each change; `at`: when it is looked at.
    pub(super) fn note(&mut self, replica: &Replica, at: u64) {
        if replica.state.counts.expiring > 0 {
            self.due.entry(replica.id).or_insert(Due { at, last: None });
        } else if !self.due.is_empty() {
            self.due.remove(&replica.id);
        }
    }

    /// Notes whether this peer's clock is off.
    pub(super) fn note_clock(&mut self, off: bool) {
        self.wrong_clock = off;
    }

    /// A copy is gone.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.due.remove(&id);
        self.current.take_if(|sweep| sweep.id == id);
    }
}

impl<S: Store> Node<S> {
    /// In monotonic microseconds: when a copy that has an entry that expires is looked at.
    pub(super) fn sweep_from(&self, now: Now) -> u64 {
        now.monotonic.saturating_add(self.config.sweep_interval.saturating_mul(MILLISECOND))
    }

    /// Whether this peer is the first among the complete holders that live.
    pub(super) fn is_steward(&self, id: DatabaseId) -> bool {
        let own = self.config.peer;
        let held = self.held.get(&id).is_some_and(|held| held.role == HolderState::Active);
        held && self.active_holders(id).min_by_key(|peer| self.rank_key(id, *peer)) == Some(own)
    }

    /// Every second: begins a sweep that is due.
    pub(super) fn sweep_tick(&mut self, now: Now) {
        if self.sweeps.current.is_some() || !self.is_in_step(now) || !self.sweeps_here(now) {
            return;
        }
        let Sweeps { due, looked_at, .. } = &mut self.sweeps;
        for id in turn(looked_at, LOOKS_MAX, |ring| due.range(ring).map(|(id, _)| *id)) {
            let Some(due) = self.sweeps.due.get(&id).filter(|due| due.at <= now.monotonic) else {
                continue;
            };
            let Some(held) = self.held.get(&id) else { continue };
            // Nothing was written since, and nothing of what was there has expired.
            let rests = due.last.is_some_and(|(began, next)| {
                held.touched < began && next.is_none_or(|next| !self.is_over(next, now))
            });
            if rests || !self.is_steward(id) {
                let at = self.sweep_from(now);
                self.sweeps.due.entry(id).and_modify(|due| due.at = at);
                continue;
            }
            let prefix = held.replica.prefix.to_be_bytes();
            let rows = prefix_rows(&self.store, Space::Data, &prefix);
            let began = now.monotonic;
            self.sweeps.current = Some(Box::new(Sweep { id, began, rows, next: None }));
            self.timers.sweep = now.monotonic;
            return;
        }
    }

    /// Whether nobody whose clock is within the bound sees any more what expires at this time.
    fn is_over(&self, expires: Millis, now: Now) -> bool {
        expires.saturating_add(2 * self.config.max_clock_skew) <= now.wall
    }

    /// Whether this peer's clock says anything about what has expired.
    fn sweeps_here(&self, now: Now) -> bool {
        let compared = now.monotonic >= self.started.monotonic + COMPARED_AFTER;
        compared && !self.sweeps.wrong_clock || planted(Planted::SweptByWrongClock)
    }

    /// Reads some rows of the copy that is being swept.
    pub(super) fn sweep_step(&mut self, now: Now) -> Result<(), StoreError> {
        self.timers.sweep = NEVER;
        let Some(mut sweep) = self.sweeps.current.take() else { return Ok(()) };
        let (mut over, mut read): (Vec<(Vec<u8>, Time)>, _) = (Vec::new(), 0);
        for row in sweep.rows.by_ref().take(STEP_ROWS) {
            let (key, bytes) = row?;
            read += 1;
            let record = decode_record(&bytes)?;
            let Some(expires) = record.payload().expires() else { continue };
            if self.is_over(expires, now) {
                over.push((key[4..].to_vec(), record.stamp().time));
            } else {
                sweep.next = sweep.next.into_iter().chain([expires]).min();
            }
        }
        if !self.is_steward(sweep.id) || !self.sweeps_here(now) {
            over.clear();
        }
        if !over.is_empty() {
            let swept = self.bury(sweep.id, &over, now)?;
            self.count("entries_expired", swept);
        }
        if read == STEP_ROWS {
            self.timers.sweep = now.monotonic + STEP_EVERY;
            self.sweeps.current = Some(sweep);
            return Ok(());
        }
        let at = self.sweep_from(now).max(now.monotonic + SECOND);
        if let Some(due) = self.sweeps.due.get_mut(&sweep.id) {
            *due = Due { at, last: Some((sweep.began, sweep.next)) };
        }
        Ok(())
    }
}
