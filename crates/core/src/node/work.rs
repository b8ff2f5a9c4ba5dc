//! What one input or call stages, and the one place where it is committed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Node;
use crate::clock::Now;
use crate::ident::DatabaseId;
use crate::planted::{Planted, planted};
use crate::record::Record;
use crate::replica::Applied;
use crate::replica::Stored;
use crate::rows::Transaction;
use crate::store::{Space, Store, StoreError};

/// A commit under construction.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) transaction: Transaction,
    /// Databases whose state is staged with it.
    pub(super) touched: BTreeSet<DatabaseId>,
    /// What won, where somebody wants to know.
    changes: BTreeMap<DatabaseId, Vec<(Vec<u8>, Record)>>,
    /// Bytes that writes of users add to databases with a size limit.
    pub(super) grown: BTreeMap<DatabaseId, u64>,
    /// Databases in which two values carry one stamp.
    conflicts: BTreeSet<DatabaseId>,
}

impl Work {
    /// Notes what a merge did; `wanted`: somebody wants to know of changes.
    pub(super) fn tell(
        &mut self,
        id: DatabaseId,
        wanted: bool,
        stored: &[u8],
        record: &Record,
        applied: Applied,
    ) {
        if matches!(applied, Applied::Conflict(_)) {
            self.conflicts.insert(id);
        }
        let told = matches!(applied, Applied::Won | Applied::Conflict(true));
        if wanted && (told || planted(Planted::WatchTellsLosers)) {
            self.changes.entry(id).or_default().push((stored.to_vec(), record.clone()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.transaction.is_empty()
    }
}

impl<S: Store> Node<S> {
    /// Whether changes of a database are wanted: it is watched, or tells the node itself something.
    pub(super) fn wants_changes(&self, id: DatabaseId) -> bool {
        self.directory.is_system(id) || self.watch.is_watched(id)
    }

    /// Commits everything staged with the states that describe it, then tells who wants to know.
    pub(super) fn commit_work(&mut self, work: Work, now: Now) -> Result<(), StoreError> {
        if work.is_empty() {
            return Ok(());
        }
        let Work { mut transaction, touched, changes, conflicts, grown } = work;
        let (ripe, sweep) = (self.grace_from(now), self.sweep_from(now));
        for id in &touched {
            if let Some(held) = self.held.get_mut(id) {
                held.replica.stage(&mut transaction, &self.fingerprint);
                self.losses.note(&held.replica);
                self.collects.note(&held.replica, ripe);
                self.sweeps.note(&held.replica, sweep);
                held.touched = now.monotonic;
            }
        }
        self.commit(transaction)?;
        for (id, bytes) in grown {
            self.spend_share(id, bytes);
        }
        for id in touched {
            self.sums.changed(id);
            self.compare_holders_soon(id);
        }
        for id in conflicts {
            self.count("conflicting_stamps", 1);
            let path = self.path_of(id);
            self.event(super::Event::Conflict(path));
        }
        for (id, changes) in changes {
            if self.directory.is_system(id) {
                for (stored, record) in &changes {
                    self.learn_system(id, stored, record, now);
                }
            }
            let changes = self.seen_by_users(id, changes)?;
            self.tell_watches(id, changes);
        }
        Ok(())
    }

    /// Forgets what was staged: reads the states of the touched copies back.
    pub(super) fn roll_back(&mut self, work: Work) -> Result<(), StoreError> {
        for id in work.touched {
            if let Some(held) = self.held.get_mut(&id) {
                let get = |key: &[u8]| self.store.get(Space::Meta, key);
                held.replica.restore(Stored::read(held.replica.prefix, get)?);
                self.sums.changed(id);
            }
        }
        Ok(())
    }

    pub(super) fn path_of(&self, id: DatabaseId) -> alloc::string::String {
        self.held
            .get(&id)
            .map_or_else(|| alloc::format!("{id}"), |held| (*held.replica.path).into())
    }
}
