//! What comes when tombstones that it may have belonged to are collected already.

use alloc::vec::Vec;

use crate::interval::Interval;
use crate::stamp::Time;
use crate::vector::Vector;

/// Whether a vector without some intervals under it does not reflect everything of a floor.
pub fn is_below(floor: &Vector, vector: &Vector, without: &[Interval]) -> bool {
    !vector.dominates(floor) || without.iter().any(|lost| lost.from < floor.get(lost.epoch))
}

/// Values that came when what may have deleted them was old.
#[derive(Debug, Default)]
pub struct Late {
    /// How many won that are no newer than a tombstone which was collected, and may have been theirs.
    pub values: u64,
    /// Stored keys whose tombstones deleted a value that came after them, and the stamps of those.
    pub deleted: Vec<(Vec<u8>, Time)>,
    /// The stamp of the oldest delete that came.
    pub oldest_delete: Option<Time>,
}

impl Late {
    /// Whether nothing was late.
    pub fn is_empty(&self) -> bool {
        self.values == 0 && self.deleted.is_empty() && self.oldest_delete.is_none()
    }

    /// Takes in what else came.
    pub fn extend(&mut self, other: Self) {
        self.values += other.values;
        self.deleted.extend(other.deleted);
        let oldest = self.oldest_delete.into_iter().chain(other.oldest_delete);
        self.oldest_delete = oldest.min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Epoch;
    use crate::stamp::Dot;

    #[test]
    fn a_floor_is_missed_by_a_vector_below_it_or_with_a_hole_in_it() {
        let (mut floor, mut vector) = (Vector::default(), Vector::default());
        floor.raise(Epoch(1), 5);
        vector.raise(Epoch(1), 4);
        assert!(is_below(&floor, &vector, &[]));
        vector.raise(Epoch(1), 9);
        assert!(!is_below(&floor, &vector, &[]));
        assert!(is_below(&floor, &vector, &[Interval::of(Dot { epoch: Epoch(1), sequence: 5 })]));
        assert!(!is_below(&floor, &vector, &[Interval::of(Dot { epoch: Epoch(1), sequence: 6 })]));
    }
}
