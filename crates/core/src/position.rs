//! Positions: what a watch has been told of a database, so that it can go on at any holder.
//!
//! A position is what the copy reflected from which the watch was told, after the last commit. Whoever
//! reflects all of it finds in its log what came since: of each key the change that counts now.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ident::DatabaseId;
use crate::interval::{Interval, Intervals};
use crate::replica::Replica;
use crate::vector::{
    EPOCHS_MAX, Fit, PENDING_MAX, Progress, Vector, is_within_bounds, reflects_all,
};
use crate::wire;

/// What a watch has been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Of which database.
    pub database: DatabaseId,
    /// How often it had been dropped.
    pub generation: u64,
    /// What its copy reflected.
    pub vector: Vector,
    /// And above that.
    pub pending: Intervals,
    /// And not under it.
    pub lost: Intervals,
    /// The last rows that it had above all that, by epoch: a copy was catching up. They are told again.
    pub ahead: Vector,
}

impl Position {
    /// What somebody has been told who was told everything that a copy reflects.
    pub(crate) fn of(replica: &Replica) -> Self {
        let state = &replica.state;
        let last = |interval: Interval| (interval.epoch, interval.upto);
        let loose = state.progress.loose();
        let ahead =
            loose.filter(|row| !state.progress.pending().map(last).any(|last| last == *row));
        Self {
            ahead: ahead.collect::<BTreeMap<_, _>>().into(),
            database: replica.id,
            generation: state.generation,
            vector: state.progress.vector.clone(),
            pending: state.progress.pending().collect(),
            lost: state.progress.lost().clone(),
        }
    }

    /// What somebody has been told of a database of which nothing is here.
    pub fn unheld(database: DatabaseId, generation: u64) -> Self {
        let (vector, pending, lost, ahead) = Default::default();
        Self { database, generation, vector, pending, lost, ahead }
    }

    /// Whether a copy reflects all of it.
    pub(crate) fn is_within(&self, progress: &Progress) -> bool {
        let pending = |interval: Interval| {
            let held = || progress.pending().any(|held| contains(held, interval));
            progress.fit(interval) == Fit::Known || held()
        };
        reflects_all((&progress.vector, progress.lost()), (&self.vector, &self.lost))
            && progress.vector.dominates(&self.ahead)
            && self.pending.iter().all(pending)
    }

    /// What may be news of these intervals, which are all that a copy has above its vector.
    pub(crate) fn news_of(&self, above: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
        let mut news: Intervals = above.into_iter().chain(self.lost.iter()).collect();
        for interval in self.pending.iter() {
            news.remove(interval);
        }
        news.iter().collect()
    }

    /// Whether it is one that a copy can have.
    pub(crate) fn is_sane(&self) -> bool {
        is_within_bounds(&self.vector, self.lost.len())
            && self.ahead.len() <= EPOCHS_MAX
            && self.pending.len() <= PENDING_MAX
    }

    /// Its bytes, for a token.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// What these bytes say; `None`: they are not those of a position.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        wire::decode::<Self>(bytes).ok().filter(Self::is_sane)
    }
}

fn contains(outer: Interval, inner: Interval) -> bool {
    outer.epoch == inner.epoch && outer.from <= inner.from && inner.upto <= outer.upto
}
