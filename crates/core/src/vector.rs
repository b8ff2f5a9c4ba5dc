//! What a state reflects: a vector of epochs, with the intervals that still float above it.
//!
//! I1: where `vector[e] >= s`, the state already reflects the record (e, s): it is present, or
//! superseded by one that is present or reflected, or deleted.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};

use crate::ident::Epoch;
use crate::planted::{Planted, planted};
use crate::stamp::Dot;

/// Most intervals kept pending in one database; past it a push with a gap is left to the pull.
pub const PENDING_MAX: usize = 64;

/// Most epochs in a vector that a peer sends: beyond any number of holders and restarts that the
/// retirement of closed epochs leaves behind.
pub const EPOCHS_MAX: usize = 10_000;

/// Epoch → highest sequence reflected, without a hole below it: a version vector (Parker et al.,
/// 1983). Most have one or two entries and there are a few for every database, so they lie in an
/// array: a tree would take 280 bytes for the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<Epoch, u64>")]
pub struct Vector(Vec<(Epoch, u64)>);

impl From<BTreeMap<Epoch, u64>> for Vector {
    fn from(map: BTreeMap<Epoch, u64>) -> Self {
        Self(map.into_iter().collect())
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Vector {
    fn find(&self, epoch: Epoch) -> Result<usize, usize> {
        self.0.binary_search_by_key(&epoch, |(epoch, _)| *epoch)
    }

    /// The highest sequence reflected of an epoch; 0 when none.
    pub fn get(&self, epoch: Epoch) -> u64 {
        self.find(epoch).map_or(0, |at| self.0[at].1)
    }

    /// Whether the state reflects this dot.
    pub fn covers(&self, dot: Dot) -> bool {
        self.get(dot.epoch) >= dot.sequence
    }

    /// Whether the state reflects everything that the other one does.
    pub fn dominates(&self, other: &Self) -> bool {
        other.iter().all(|(epoch, sequence)| self.get(epoch) >= sequence)
    }

    /// Raises one epoch; lower sequences change nothing.
    pub fn raise(&mut self, epoch: Epoch, sequence: u64) {
        match self.find(epoch) {
            Ok(at) => self.0[at].1 = sequence.max(self.0[at].1),
            Err(at) if sequence > 0 => {
                self.0.reserve_exact(1);
                self.0.insert(at, (epoch, sequence));
            }
            Err(_) => {}
        }
    }

    /// Raises every epoch to the other's.
    pub fn merge(&mut self, other: &Self) {
        for (epoch, sequence) in other.iter() {
            self.raise(epoch, sequence);
        }
    }

    /// Forgets one epoch.
    pub fn remove(&mut self, epoch: Epoch) {
        if let Ok(at) = self.find(epoch) {
            self.0.remove(at);
        }
    }

    /// Epochs and sequences, ascending by epoch.
    pub fn iter(&self) -> impl Iterator<Item = (Epoch, u64)> {
        self.0.iter().copied()
    }

    /// How many epochs it names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it reflects nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many records this vector reflects that `other` does not.
    pub fn ahead_of(&self, other: &Self) -> u64 {
        self.iter().map(|(epoch, sequence)| sequence.saturating_sub(other.get(epoch))).sum()
    }
}

/// "All records of `epoch` in (`from`, `upto`]": the unit of gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Whose writes.
    pub epoch: Epoch,
    /// Exclusive.
    pub from: u64,
    /// Inclusive.
    pub upto: u64,
}

/// How an interval stands to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Nothing in it is new.
    Known,
    /// It continues the vector.
    Next,
    /// Something between the vector and it is missing.
    Gap,
}

/// The vector of a copy, and what it holds above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Reflected without a hole.
    pub vector: Vector,
    /// Disjoint intervals above the vector that are reflected too, by (epoch, from) → upto.
    pending: BTreeMap<(Epoch, u64), u64>,
    /// Highest applied sequence of the epochs in which rows lie above the vector: an unfinished
    /// cut or a pending interval. Empty when the rows are exactly what the vector says.
    loose: Vector,
}

impl Progress {
    /// Whether the rows are exactly what the vector says: only then do equal vectors mean equal
    /// digests.
    pub fn is_whole(&self) -> bool {
        self.loose.is_empty()
    }

    /// How an interval stands to this state.
    pub fn fit(&self, interval: Interval) -> Fit {
        let have = self.vector.get(interval.epoch);
        if interval.upto <= have {
            Fit::Known
        } else if interval.from <= have {
            Fit::Next
        } else {
            Fit::Gap
        }
    }

    /// Whether one more pending interval finds room.
    pub fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX
    }

    /// The pending intervals.
    pub fn pending(&self) -> impl Iterator<Item = Interval> {
        self.pending.iter().map(|(&(epoch, from), &upto)| Interval { epoch, from, upto })
    }

    /// Epochs with rows above the vector, and the highest sequence of those rows.
    pub fn loose(&self) -> impl Iterator<Item = (Epoch, u64)> {
        self.loose.iter()
    }

    /// Notes a row that was written whatever the vector says.
    pub fn applied(&mut self, dot: Dot) {
        if !self.vector.covers(dot) {
            self.loose.raise(dot.epoch, dot.sequence);
        }
    }

    /// Notes that everything in an interval is reflected: moves the vector, or keeps the interval
    /// pending where something before it is missing.
    pub fn reflect(&mut self, interval: Interval) {
        if interval.upto <= interval.from {
            return;
        }
        if self.fit(interval) == Fit::Gap && !planted(Planted::VectorOverGap) {
            // One that continues a pending interval makes it longer.
            let before = (interval.epoch, 0)..=(interval.epoch, interval.from);
            match self.pending.range_mut(before).next_back() {
                Some((_, upto)) if *upto >= interval.from => *upto = interval.upto.max(*upto),
                _ => {
                    self.pending.insert((interval.epoch, interval.from), interval.upto);
                }
            }
            self.loose.raise(interval.epoch, interval.upto);
        } else {
            self.vector.raise(interval.epoch, interval.upto);
        }
        self.settle(interval.epoch);
    }

    /// Raises the vector to another one whose whole state was merged in.
    pub fn merge(&mut self, vector: &Vector) {
        self.vector.merge(vector);
        for (epoch, _) in vector.iter() {
            self.settle(epoch);
        }
    }

    /// Takes in the pending intervals that the vector has reached.
    fn settle(&mut self, epoch: Epoch) {
        let mut have = self.vector.get(epoch);
        let near = u64::from(planted(Planted::SettleOffByOne));
        while let Some((&key, &upto)) = self.pending.range((epoch, 0)..=(epoch, have + near)).next()
        {
            self.pending.remove(&key);
            if upto > have {
                have = upto;
                self.vector.raise(epoch, upto);
            }
        }
        if self.loose.get(epoch) <= have {
            self.loose.remove(epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: Epoch = Epoch(7);

    fn interval(from: u64, upto: u64) -> Interval {
        Interval { epoch: E, from, upto }
    }

    /// A gap is kept pending until what was missing arrives, in any order.
    #[test]
    fn pending_intervals_settle_when_the_gap_closes() {
        let mut progress = Progress::default();
        progress.reflect(interval(0, 2));
        progress.reflect(interval(5, 6));
        progress.reflect(interval(3, 4));
        assert_eq!(progress.vector.get(E), 2);
        assert!(!progress.is_whole());
        progress.reflect(interval(2, 3));
        assert_eq!(progress.vector.get(E), 4);
        progress.reflect(interval(4, 5));
        assert_eq!(progress.vector.get(E), 6);
        assert!(progress.is_whole());
        assert_eq!(progress.pending().count(), 0);
    }

    /// A row above the vector without an interval keeps the state loose until the vector covers it.
    #[test]
    fn a_loose_row_is_remembered() {
        let mut progress = Progress::default();
        progress.applied(Dot { epoch: E, sequence: 9 });
        assert!(!progress.is_whole());
        progress.reflect(interval(0, 8));
        assert!(!progress.is_whole());
        progress.reflect(interval(8, 9));
        assert!(progress.is_whole());
    }
}
