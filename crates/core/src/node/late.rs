//! What came late: a value whose delete may be forgotten here, a delete that others may have collected.

use alloc::vec::Vec;

use super::work::Work;
use super::{Event, Node};
use crate::clock::Now;
use crate::definition::Durability;
use crate::ident::DatabaseId;
use crate::interval::Interval;
use crate::record::Sent;
use crate::replica::{Applied, Late};
use crate::stamp::{TIME_CEILING, Time};
use crate::status::HolderState;
use crate::store::{Store, StoreError};

impl<S: Store> Node<S> {
    /// What came late. Whether a value was deleted whose tombstone may be collected nobody here can say
    /// any more: what is not certain is kept, and said. Who watches may have been told of the delete, and
    /// reads anew. And a delete that is old enough to be collected elsewhere is told again, if a value
    /// comes that it deletes.
    pub(super) fn tell_late(
        &mut self,
        id: DatabaseId,
        late: Late,
        now: Now,
    ) -> Result<(), StoreError> {
        if late.values > 0 {
            self.count("late_writes", late.values);
            let path = self.path_of(id);
            self.event(Event::Late(path, late.values));
            self.end_watches(id);
        }
        let clocks = 2 * self.config.max_clock_skew;
        let ripe = now.wall.saturating_add(clocks).saturating_sub(self.config.tombstone_grace);
        if late.values > 0 || late.oldest_delete.is_some_and(|time| time.millis() <= ripe) {
            // More may come, until everybody has heard of it.
            let at = self.grace_from(now);
            self.collects.postpone(id, at);
        }
        let active = self.held.get(&id).is_some_and(|held| held.role == HolderState::Active);
        let mut deleted = late.deleted;
        deleted.retain(|(_, time)| time.millis() <= ripe && *time < TIME_CEILING);
        if deleted.is_empty() || !active || self.directory.is_system(id) {
            return Ok(());
        }
        let told = self.bury(id, &deleted, now)?;
        self.count("deletes_told_again", told);
        Ok(())
    }

    /// Puts tombstones just above what stored keys say, where they still have these stamps, and pushes
    /// them. Gives how many.
    pub(super) fn bury(
        &mut self,
        id: DatabaseId,
        rows: &[(Vec<u8>, Time)],
        now: Now,
    ) -> Result<u64, StoreError> {
        self.check_issued(id)?;
        let mut work = Work::default();
        let tell = self.wants_changes(id);
        let Some(held) = self.held.get_mut(&id) else { return Ok(0) };
        let (replica, author) = (&mut held.replica, (&self.fingerprint, self.epoch));
        let from = replica.state.progress.vector.get(self.epoch);
        let mut sent = Vec::new();
        for (stored, time) in rows {
            let buried = replica.bury(&mut work.transaction, &self.store, author, stored, *time)?;
            let Some(record) = buried else { continue };
            work.tell(id, tell, stored, &record, Applied::Won);
            sent.push(Sent::new(stored, &record));
        }
        let interval = Interval {
            epoch: self.epoch,
            from,
            upto: replica.state.progress.vector.get(self.epoch),
        };
        let count = sent.len() as u64;
        if let Some(target) = self.target(id)
            && !sent.is_empty()
        {
            work.touched.insert(id);
            self.commit_work(work, now)?;
            self.push(target, interval, sent, Durability::Buffered, now);
        }
        Ok(count)
    }
}
