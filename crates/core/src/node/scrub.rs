//! The scrub: recomputing what is derived from the rows, a little at a time.
//!
//! It runs over every copy after an unclean stop. It reads a snapshot; what differs from the state
//! at that snapshot is put right by its difference, since digests and sizes are sums.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::work::Work;
use super::{Event, MILLISECOND, NEVER, Node};
use crate::clock::Now;
use crate::ident::DatabaseId;
use crate::replica::{Derived, State, decode_record};
use crate::store::{Rows, Space, Store, StoreError, prefix_rows};

/// Rows recomputed in one step: well under a millisecond or two, so that writers do not notice.
const STEP_ROWS: usize = 512;
/// Pause between two steps: the scrub takes a few percent of one core at most.
const STEP_EVERY: u64 = 20 * MILLISECOND;

/// A copy being recomputed.
struct Current {
    id: DatabaseId,
    stored: Derived,
    found: Derived,
    rows: Rows,
}

/// Copies to recompute.
#[derive(Default)]
pub(super) struct Scrubs {
    queue: VecDeque<DatabaseId>,
    current: Option<Box<Current>>,
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

    pub(super) fn scrub_step(&mut self, now: Now) -> Result<(), StoreError> {
        let mut budget = STEP_ROWS;
        while budget > 0 {
            let Some(mut current) = self.scrub.current.take() else {
                let Some(id) = self.scrub.queue.pop_front() else {
                    self.timers.scrub = NEVER;
                    return Ok(());
                };
                if let Some(held) = self.held.get(&id) {
                    budget = budget.saturating_sub(32);
                    let prefix = held.replica.prefix.to_be_bytes();
                    self.scrub.current = Some(Box::new(Current {
                        id,
                        stored: held.replica.derived(&self.store)?,
                        found: Derived::default(),
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
            current.found.add(&self.fingerprint, &key[4..], &decode_record(&bytes)?);
            self.scrub.current = Some(current);
        }
        self.timers.scrub = now.monotonic + STEP_EVERY;
        Ok(())
    }

    fn scrubbed(&mut self, current: &Current, now: Now) -> Result<(), StoreError> {
        self.count("copies_scrubbed", 1);
        if current.stored == current.found {
            return Ok(());
        }
        let Some(held) = self.held.get_mut(&current.id) else { return Ok(()) };
        held.replica.correct(&self.store, &current.stored, &current.found)?;
        let mut work = Work::default();
        work.touched.insert(current.id);
        self.commit_work(work, now)?;
        self.count("copies_damaged", 1);
        let path = self.path_of(current.id);
        self.event(Event::Damaged(path));
        Ok(())
    }
}
