//! What a state reflects: a vector of epochs, with the intervals that still float above it.
//!
//! I1: where `vector[e] >= s`, the state already reflects the record (e, s): it is present, or
//! superseded by one that is present or reflected, or deleted.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};

use crate::ident::Epoch;
use crate::interval::{Interval, Intervals};
use crate::planted::{Planted, planted};
use crate::stamp::Dot;

/// Most intervals kept pending in one database; past it a push with a gap is left to the pull.
pub const PENDING_MAX: usize = 64;

/// Most intervals that are called lost in one database; past it neighbours are called one.
pub const LOST_MAX: usize = 256;

/// Most epochs in a vector that a peer sends: eight writers that start anew each night have so many after
/// twenty years. At 19 bytes each, with as many in the floor, they fit a message.
pub const EPOCHS_MAX: usize = 65_536;

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

    /// What it says otherwise than one that it dominates; `None`: it does not.
    pub fn unlike(&self, below: &Self) -> Option<Self> {
        let mut rest = below.0.iter().peekable();
        let mut unlike = Vec::new();
        for own in &self.0 {
            match rest.next_if(|other| other.0 <= own.0) {
                Some(other) if other.0 < own.0 || other.1 > own.1 => return None,
                Some(other) if other == own => {}
                Some(_) | None => unlike.push(*own),
            }
        }
        rest.next().is_none().then_some(Self(unlike))
    }

    /// What it says otherwise than another one, and the epochs of that which it does not name.
    pub fn beside(&self, other: &Self) -> (Self, Vec<Epoch>) {
        let differs = |(epoch, sequence): &(Epoch, u64)| other.get(*epoch) != *sequence;
        let lacks = other.iter().map(|(epoch, _)| epoch).filter(|epoch| self.get(*epoch) == 0);
        (Self(self.0.iter().copied().filter(differs).collect()), lacks.collect())
    }

    /// What this one says where another one says otherwise, on top of that but for some epochs: what
    /// [`beside`](Self::beside) took apart.
    #[must_use]
    pub fn over(&self, other: &Self, without: &[Epoch]) -> Self {
        let mut map: BTreeMap<Epoch, u64> = other.iter().chain(self.iter()).collect();
        for epoch in without {
            map.remove(epoch);
        }
        map.into()
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
        let ahead = self.iter().map(|(epoch, sequence)| sequence.saturating_sub(other.get(epoch)));
        ahead.fold(0, u64::saturating_add)
    }
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
    /// Intervals above the vector that are reflected too.
    pending: Intervals,
    /// Highest applied sequence of the epochs in which rows lie above the vector: an unfinished
    /// cut or a pending interval. Empty when the rows are exactly what the vector says.
    loose: Vector,
    /// Intervals under the vector that are not reflected: nobody had them, and their writer will
    /// never send them. Where one is found late, it is taken in as any record is.
    lost: Intervals,
}

impl Progress {
    /// Whether the rows are exactly what the vector says: only then do equal vectors mean equal
    /// digests.
    pub fn is_whole(&self) -> bool {
        self.loose.is_empty()
    }

    /// Whether the state reflects this dot.
    pub fn covers(&self, dot: Dot) -> bool {
        self.vector.covers(dot) && !self.lost.contains(dot)
    }

    /// How an interval stands to this state.
    pub fn fit(&self, interval: Interval) -> Fit {
        let have = self.vector.get(interval.epoch);
        if interval.upto <= have && !self.lost.overlaps(interval) {
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
        self.pending.iter()
    }

    /// Epochs with rows above the vector, and the highest sequence of those rows.
    pub fn loose(&self) -> impl Iterator<Item = (Epoch, u64)> {
        self.loose.iter()
    }

    /// The intervals under the vector that were declared lost.
    pub fn lost(&self) -> &Intervals {
        &self.lost
    }

    /// Notes a row that was written whatever the vector says: its write is not lost.
    pub fn applied(&mut self, dot: Dot) {
        if !self.vector.covers(dot) {
            self.loose.raise(dot.epoch, dot.sequence);
        } else if self.lost.contains(dot) {
            self.lost.remove(Interval::of(dot));
            self.bound_lost();
        }
    }

    /// Notes that everything in an interval is reflected: moves the vector, or keeps the interval
    /// pending where something before it is missing.
    pub fn reflect(&mut self, interval: Interval) {
        if interval.is_empty() {
            return;
        }
        self.lost.remove(interval);
        if interval.from > self.vector.get(interval.epoch) && !planted(Planted::VectorOverGap) {
            self.pending.insert(interval);
            self.loose.raise(interval.epoch, interval.upto);
        } else {
            self.vector.raise(interval.epoch, interval.upto);
        }
        self.settle(interval.epoch);
    }

    /// Takes over the progress of another copy whose whole state above this one was merged in:
    /// its vector, what is lost to it too, and what it had of the intervals that were lost here.
    pub fn merge(
        &mut self,
        vector: &Vector,
        lost: impl IntoIterator<Item = Interval>,
        found: impl IntoIterator<Item = Interval>,
    ) {
        let above = |interval: Interval| {
            let from = interval.from.max(self.vector.get(interval.epoch));
            Interval { from, ..interval }
        };
        let lost: Vec<Interval> = lost.into_iter().map(above).collect();
        for interval in found {
            self.lost.remove(interval);
        }
        for &interval in &lost {
            self.lost.insert(interval);
        }
        if !lost.is_empty() {
            for interval in self.pending.iter() {
                self.lost.remove(interval);
            }
        }
        self.vector.merge(vector);
        for (epoch, _) in vector.iter() {
            self.settle(epoch);
        }
        self.bound_lost();
    }

    /// Declares lost what is missing of an epoch under rows that are here. Returns how many writes
    /// that may have been.
    pub fn declare_lost(&mut self, epoch: Epoch) -> u64 {
        let (have, upto) = (self.vector.get(epoch), self.loose.get(epoch));
        let before = self.lost.count(epoch);
        self.lost.insert(Interval { epoch, from: have, upto });
        for interval in self.pending.of(epoch) {
            self.lost.remove(interval);
        }
        let missing = self.lost.count(epoch).saturating_sub(before);
        self.vector.raise(epoch, upto);
        self.settle(epoch);
        self.bound_lost();
        missing
    }

    /// Rows are gone, nobody knows which: from here on nothing is known to be reflected, and all rows lie
    /// above the vector. Whoever has them whole says it again.
    pub fn doubt(&mut self) {
        for (epoch, upto) in core::mem::take(&mut self.vector).iter() {
            self.loose.raise(epoch, upto);
        }
        (self.pending, self.lost) = Default::default();
    }

    /// Calling more lost than is does no harm: it is asked for again.
    fn bound_lost(&mut self) {
        while self.lost.len() > LOST_MAX && self.lost.coalesce() {}
    }

    /// Takes in the pending intervals that the vector has reached.
    fn settle(&mut self, epoch: Epoch) {
        let near = u64::from(planted(Planted::SettleOffByOne));
        loop {
            let first = self.pending.of(epoch).next();
            let reached = self.vector.get(epoch) + near;
            let Some(interval) = first.filter(|interval| interval.from <= reached) else { break };
            self.pending.remove(interval);
            self.vector.raise(epoch, interval.upto);
        }
        if self.loose.get(epoch) <= self.vector.get(epoch) {
            self.loose.remove(epoch);
        }
    }
}

/// Whether a copy can have this vector and so many lost intervals.
pub(crate) fn is_within_bounds(vector: &Vector, lost: usize) -> bool {
    vector.len() <= EPOCHS_MAX && lost <= LOST_MAX + EPOCHS_MAX
}

/// Whether a copy with this vector and these losses reflects everything that another one does.
pub(crate) fn reflects_all(
    (vector, lost): (&Vector, &Intervals),
    (theirs, lost_there): (&Vector, &Intervals),
) -> bool {
    vector.dominates(theirs) && reflected(lost.iter(), theirs, lost_there).is_empty()
}

/// What a copy with this vector and these losses reflects of some intervals.
pub(crate) fn reflected(
    intervals: impl Iterator<Item = Interval>,
    vector: &Vector,
    lost: &Intervals,
) -> Vec<Interval> {
    let under = |interval: Interval| {
        let upto = interval.upto.min(vector.get(interval.epoch));
        Interval { upto, ..interval }
    };
    let mut found: Intervals = intervals.map(under).collect();
    for interval in lost.iter() {
        found.remove(interval);
    }
    found.iter().collect()
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

    /// What is lost is not covered, and is taken in when it is found: here, or by a peer.
    #[test]
    fn lost_intervals_are_skipped_and_found_again() {
        let dot = |sequence| Dot { epoch: E, sequence };
        let mut progress = Progress::default();
        progress.reflect(interval(0, 2));
        progress.reflect(interval(4, 6));
        progress.applied(dot(9));
        assert_eq!(progress.declare_lost(E), 5);
        assert!(progress.is_whole());
        assert_eq!(progress.vector.get(E), 9);
        assert!(progress.covers(dot(5)) && !progress.covers(dot(3)) && !progress.covers(dot(8)));
        assert_eq!(progress.fit(interval(2, 3)), Fit::Next);
        progress.reflect(interval(2, 3));
        assert_eq!(progress.lost().iter().collect::<Vec<_>>(), [interval(3, 4), interval(6, 9)]);

        let mut other = Progress::default();
        other.reflect(interval(0, 8));
        other.merge(&progress.vector, progress.lost().iter(), []);
        assert_eq!(other.lost().iter().collect::<Vec<_>>(), [interval(8, 9)]);
        progress.merge(&other.vector, other.lost().iter(), [interval(3, 4), interval(6, 8)]);
        assert_eq!(progress, other);
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
