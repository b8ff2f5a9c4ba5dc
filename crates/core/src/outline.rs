//! A long vector on its way. Most of its epochs are of starts long ago, and both sides say the same of
//! them: they travel as one sum.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ident::Epoch;
use crate::planted::{Planted, planted};
use crate::record::Fingerprint;
use crate::vector::Vector;

/// Fewest epochs that a sum stands for: for fewer, it would not be shorter.
const OTHERS_MIN: u64 = 4;

/// A vector as it is sent to somebody who has one of the same database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outline {
    /// All of it.
    All(Vector),
    /// A part of it, and a sum of what is left.
    Part {
        /// What it says of some epochs.
        named: Vector,
        /// How many others it has.
        others: u64,
        /// The sum of [`Fingerprint::pair`] over those.
        sum: u128,
    },
}

impl Outline {
    /// The outline of a vector with what it says of some epochs; `None` where few are left out.
    pub fn part(vector: &Vector, named: Vector, fingerprint: &Fingerprint) -> Option<Self> {
        let others = unnamed(vector, &named).count() as u64;
        let sum = || sum_of(vector, &named, fingerprint);
        let sum = (others >= OTHERS_MIN).then(sum)?;
        Some(Self::Part { named, others, sum })
    }

    /// The epochs that it names.
    pub fn named(&self) -> &Vector {
        let (Self::All(named) | Self::Part { named, .. }) = self;
        named
    }

    /// Which vector this is the outline of, as somebody can tell who has this one: where that differs
    /// only in what is named, and in one epoch more at most. `None`: it cannot be told.
    pub fn resolve(self, own: &Vector, fingerprint: &Fingerprint) -> Option<Vector> {
        let (named, others, sum) = match self {
            Self::All(vector) => return Some(vector),
            Self::Part { named, others, sum } => (named, others, sum),
        };
        let count = unnamed(own, &named).count() as u64;
        let began = count.checked_sub(others).filter(|began| *began <= 1)?;
        let more = sum_of(own, &named, fingerprint).wrapping_sub(sum);
        let unknown = if began == 1 {
            // An epoch that began since.
            let mut rest = unnamed(own, &named);
            Some(rest.find(|pair| fingerprint.pair(*pair) == more)?.0)
        } else if more == 0 || planted(Planted::OutlineUnchecked) {
            None
        } else {
            return None;
        };
        let pairs = unnamed(own, &named).filter(|(epoch, _)| Some(*epoch) != unknown);
        Some(pairs.chain(named.iter()).collect::<BTreeMap<_, _>>().into())
    }
}

/// What a vector says of epochs that are not named.
fn unnamed(vector: &Vector, named: &Vector) -> impl Iterator<Item = (Epoch, u64)> {
    vector.iter().filter(|(epoch, _)| named.get(*epoch) == 0)
}

/// The sum over the epochs of a vector that are not named.
fn sum_of(vector: &Vector, named: &Vector, fingerprint: &Fingerprint) -> u128 {
    let elements = unnamed(vector, named).map(|pair| fingerprint.pair(pair));
    elements.fold(0, u128::wrapping_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(pairs: &[(u8, u64)]) -> Vector {
        let pairs = pairs.iter().filter(|(_, sequence)| *sequence > 0);
        pairs
            .map(|(epoch, sequence)| (Epoch(u128::from(*epoch)), *sequence))
            .collect::<BTreeMap<_, _>>()
            .into()
    }

    fn named(vector: &Vector, from: u8) -> Vector {
        let named = vector.iter().filter(|(epoch, _)| epoch.0 >= u128::from(from));
        named.collect::<BTreeMap<_, _>>().into()
    }

    proptest! {
        /// Whoever can tell a vector from its outline tells the right one.
        #[test]
        fn what_is_told_is_right(
            sent in prop::collection::vec((0..40_u8, 0..3_u64), 0..40),
            own in prop::collection::vec((0..40_u8, 0..3_u64), 0..40),
            from in 0..40_u8,
        ) {
            let key = Fingerprint::new(&[7; 32]);
            let (sent, own) = (vector(&sent), vector(&own));
            let outline = Outline::part(&sent, named(&sent, from), &key);
            let told = outline.and_then(|outline| outline.resolve(&own, &key));
            prop_assert!(told.is_none_or(|told| told == sent));
        }

        /// A vector that was taken apart beside another one is put together again.
        #[test]
        fn what_is_beside_another_is_put_over_it(
            one in prop::collection::vec((0..40_u8, 0..3_u64), 0..40),
            other in prop::collection::vec((0..40_u8, 0..3_u64), 0..40),
        ) {
            let (one, other) = (vector(&one), vector(&other));
            let (beside, lacks) = one.beside(&other);
            prop_assert_eq!(beside.over(&other, &lacks), one);
        }

        /// Epochs that are named may differ, one that is new to the sender may be there, and no more.
        #[test]
        fn what_moved_lately_may_differ(moved in 1..9_u64, new in 0..3_u8) {
            let key = Fingerprint::new(&[7; 32]);
            let pairs: [_; 30] = core::array::from_fn(|n| (n as u8, 1 + n as u64));
            let sent = vector(&pairs);
            let mut own = sent.clone();
            own.raise(Epoch(29), 30 + moved);
            own.remove(Epoch(28));
            for n in 0..new {
                own.raise(Epoch(100 + u128::from(n)), moved);
            }
            let outline = Outline::part(&sent, named(&sent, 28), &key);
            prop_assert_eq!(outline.unwrap().resolve(&own, &key), (new < 2).then_some(sent));
        }
    }
}
