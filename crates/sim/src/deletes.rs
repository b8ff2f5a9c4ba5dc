//! The deletes of a history: what a copy may have forgotten, and what must not rise again.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::ident::DatabaseId;
use tidings_core::record::Record;
use tidings_core::stamp::{Stamp, Time, Version};

use crate::look::{Copies, Copy};

/// How often one delete is told again, at most.
const AGAIN: u64 = 1_000;

/// The deletes of each key that were asked for and not refused: by the number of the write, its
/// version once it was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Deletes {
    keys: BTreeMap<(DatabaseId, Vec<u8>), BTreeMap<usize, Option<Version>>>,
    /// The newest tombstone of a database that was collected anywhere.
    collected: BTreeMap<DatabaseId, Time>,
    /// Databases to which writes came after such a tombstone may have been collected.
    late: BTreeSet<DatabaseId>,
}

impl Deletes {
    pub(crate) fn submitted(&mut self, database: DatabaseId, key: &[u8], number: usize) {
        let deletes = self.keys.entry((database, key.to_vec())).or_default();
        deletes.insert(number, None);
    }

    pub(crate) fn refused(&mut self, database: DatabaseId, key: &[u8], number: usize) {
        if let Some(deletes) = self.keys.get_mut(&(database, key.to_vec())) {
            deletes.remove(&number);
        }
    }

    pub(crate) fn acknowledged(
        &mut self,
        database: DatabaseId,
        key: &[u8],
        number: usize,
        version: Version,
    ) {
        let deletes = self.keys.get_mut(&(database, key.to_vec()));
        if let Some(delete) = deletes.and_then(|deletes| deletes.get_mut(&number)) {
            *delete = Some(version);
        }
    }

    /// Notes the newest tombstone that was collected from a copy.
    pub(crate) fn saw_collected(&mut self, database: DatabaseId, time: Time) {
        let newest = self.collected.entry(database).or_default();
        *newest = time.max(*newest);
    }

    /// Notes that writes came late to a database.
    pub(crate) fn came_late(&mut self, database: DatabaseId) {
        self.late.insert(database);
    }

    /// Whether writes came late to a database.
    pub(crate) fn has_late(&self, database: DatabaseId) -> bool {
        self.late.contains(&database)
    }

    /// Whether a record may have come after a tombstone of its key was collected.
    pub(crate) fn may_be_late(&self, database: DatabaseId, record: &Record) -> bool {
        let newest = self.collected.get(&database);
        self.late.contains(&database) && newest.is_some_and(|newest| *newest >= record.stamp().time)
    }

    /// Whether what a copy does not have of a key may have been deleted, and the tombstone collected,
    /// where the newest one that was is this one.
    pub(crate) fn explain(
        &self,
        database: DatabaseId,
        key: &[u8],
        stamp: Stamp,
        newest_collected: Time,
    ) -> bool {
        let later = |delete: &Option<Version>| {
            delete.is_none_or(|version| version.time.0 + AGAIN >= stamp.time.0)
        };
        let deletes = self.keys.get(&(database, key.to_vec()));
        stamp.time <= newest_collected && deletes.is_some_and(|deletes| deletes.values().any(later))
    }

    /// Whether a disk reflects a write: by a record as new, or by a delete that was collected.
    pub(crate) fn reflects(
        &self,
        copies: &Copies,
        database: DatabaseId,
        key: &[u8],
        stamp: Stamp,
    ) -> bool {
        let Some(copy) = copies.get(database) else { return false };
        match copy.record(key) {
            Some(record) if record.stamp() >= stamp => true,
            // An older delete, or value, came after it was collected.
            Some(record) => {
                (!record.is_live() || self.may_be_late(database, record))
                    && self.explain(database, key, stamp, copy.state.newest_collected)
            }
            None => self.explain(database, key, stamp, copy.state.newest_collected),
        }
    }

    /// Whether a record is a delete that was told again: a little above its own stamp.
    pub(crate) fn may_be_told_again(
        &self,
        database: DatabaseId,
        key: &[u8],
        record: &Record,
    ) -> bool {
        let above = |version: Version| {
            record.stamp().time.0.checked_sub(version.time.0).is_some_and(|ticks| ticks <= AGAIN)
        };
        let deletes = self.keys.get(&(database, key.to_vec())).into_iter().flatten();
        !record.is_live()
            && deletes.map(|(_, delete)| delete).any(|delete| delete.is_none_or(above))
    }

    /// The acknowledged delete that a copy reflects although it has an older value of the key, which
    /// did not come late.
    pub(crate) fn ignored_by(
        &self,
        database: DatabaseId,
        key: &[u8],
        copy: &Copy,
        value: &Record,
    ) -> Option<Version> {
        let deletes = self.keys.get(&(database, key.to_vec()))?;
        if self.may_be_late(database, value) {
            return None;
        }
        let mut acknowledged = deletes.values().flatten();
        let ignored = |version: &&Version| {
            let stamp = version.stamp();
            stamp > value.stamp() && copy.state.progress.covers(version.dot)
        };
        acknowledged.find(ignored).copied()
    }
}
