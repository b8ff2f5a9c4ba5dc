//! Intervals of the writes of epochs, and sets of them.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ident::Epoch;
use crate::stamp::Dot;

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

impl Interval {
    /// The one write of a dot.
    pub fn of(dot: Dot) -> Self {
        let Dot { epoch, sequence } = dot;
        Self { epoch, from: sequence.saturating_sub(1), upto: sequence }
    }

    /// Whether it names nothing.
    pub fn is_empty(self) -> bool {
        self.upto <= self.from
    }
}

/// A set of dots as disjoint intervals that do not touch: (epoch, from) → upto.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<(Epoch, u64), u64>")]
pub struct Intervals(BTreeMap<(Epoch, u64), u64>);

/// What was stored may be damaged: it is a set all the same.
impl From<BTreeMap<(Epoch, u64), u64>> for Intervals {
    fn from(map: BTreeMap<(Epoch, u64), u64>) -> Self {
        map.into_iter().map(|((epoch, from), upto)| Interval { epoch, from, upto }).collect()
    }
}

impl Intervals {
    /// The intervals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Interval> {
        self.0.iter().map(|(&(epoch, from), &upto)| Interval { epoch, from, upto })
    }

    /// The intervals of one epoch, ascending.
    pub fn of(&self, epoch: Epoch) -> impl Iterator<Item = Interval> {
        self.0.range((epoch, 0)..=(epoch, u64::MAX)).map(|(&(epoch, from), &upto)| Interval {
            epoch,
            from,
            upto,
        })
    }

    /// How many dots of an epoch it names.
    pub fn count(&self, epoch: Epoch) -> u64 {
        self.of(epoch).map(|interval| interval.upto - interval.from).sum()
    }

    /// How many intervals there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it names this dot.
    pub fn contains(&self, dot: Dot) -> bool {
        self.overlaps(Interval::of(dot))
    }

    /// Whether it names any dot of an interval.
    pub fn overlaps(&self, interval: Interval) -> bool {
        let Interval { epoch, from, upto } = interval;
        let before = self.0.range((epoch, 0)..(epoch, upto)).next_back();
        !interval.is_empty() && before.is_some_and(|(_, &reaches)| reaches > from)
    }

    /// What it has in common with an interval.
    pub fn common(&self, with: Interval) -> impl Iterator<Item = Interval> {
        let cut = move |interval: Interval| Interval {
            from: interval.from.max(with.from),
            upto: interval.upto.min(with.upto),
            ..interval
        };
        self.of(with.epoch).map(cut).filter(|interval| !interval.is_empty())
    }

    /// Adds every dot of an interval.
    pub fn insert(&mut self, interval: Interval) {
        let Interval { epoch, mut from, mut upto } = interval;
        if interval.is_empty() {
            return;
        }
        while let Some((&key, &reaches)) = self.0.range((epoch, 0)..=(epoch, upto)).next_back() {
            if reaches < from {
                break;
            }
            self.0.remove(&key);
            (from, upto) = (from.min(key.1), upto.max(reaches));
        }
        self.0.insert((epoch, from), upto);
    }

    /// Takes every dot of an interval away.
    pub fn remove(&mut self, interval: Interval) {
        let Interval { epoch, from, upto } = interval;
        if interval.is_empty() {
            return;
        }
        while let Some((&key, &reaches)) = self.0.range((epoch, 0)..(epoch, upto)).next_back() {
            if reaches <= from {
                break;
            }
            self.0.remove(&key);
            if reaches > upto {
                self.0.insert((epoch, upto), reaches);
            }
            if key.1 < from {
                self.0.insert(key, from);
                break;
            }
        }
    }

    /// Makes the set smaller by naming more: closes the hole between the first two intervals of one
    /// epoch. False: no epoch has two.
    pub fn coalesce(&mut self) -> bool {
        let found = {
            let mut neighbours = self.iter().zip(self.iter().skip(1));
            neighbours.find(|(one, next)| one.epoch == next.epoch)
        };
        found.is_some_and(|(one, next)| {
            self.insert(Interval { upto: next.upto, ..one });
            true
        })
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut set = Self::default();
        for interval in intervals {
            set.insert(interval);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn dots(set: &BTreeSet<(u8, u64)>) -> Vec<(u8, u64)> {
        set.iter().copied().collect()
    }

    proptest! {
        /// Sets of intervals say what plain sets of dots say, in the fewest intervals.
        #[test]
        fn intervals_are_sets_of_dots(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..2, 0_u64..12, 0_u64..6), 0..40),
        ) {
            let (mut intervals, mut model) = (Intervals::default(), BTreeSet::new());
            for (adds, epoch, from, length) in steps {
                let interval = Interval { epoch: Epoch(epoch.into()), from, upto: from + length };
                let named = (from + 1..=from + length).map(|sequence| (epoch, sequence));
                let overlap = named.clone().any(|dot| model.contains(&dot));
                prop_assert_eq!(intervals.overlaps(interval), overlap);
                if adds {
                    intervals.insert(interval);
                    model.extend(named);
                } else {
                    intervals.remove(interval);
                    for dot in named {
                        model.remove(&dot);
                    }
                }
                let mut said = BTreeSet::new();
                for interval in intervals.iter() {
                    prop_assert!(!interval.is_empty());
                    let epoch = interval.epoch.0 as u8;
                    said.extend((interval.from + 1..=interval.upto).map(|s| (epoch, s)));
                    prop_assert!(!model.contains(&(epoch, interval.from)), "they do not touch");
                    prop_assert!(!model.contains(&(epoch, interval.upto + 1)), "they do not touch");
                }
                prop_assert_eq!(dots(&said), dots(&model));
            }
            for (epoch, from, upto) in [(0, 2, 9), (1, 0, 4)] {
                let with = Interval { epoch: Epoch(epoch.into()), from, upto };
                let common = intervals.common(with);
                let said: Vec<_> = common.flat_map(|i| i.from + 1..=i.upto).collect();
                let known = (from + 1..=upto).filter(|dot| model.contains(&(epoch, *dot)));
                prop_assert_eq!(said, known.collect::<Vec<_>>());
            }
            for (epoch, sequence) in [(0, 3), (1, 1)] {
                let dot = Dot { epoch: Epoch(epoch.into()), sequence };
                prop_assert_eq!(intervals.contains(dot), model.contains(&(epoch, sequence)));
            }
        }
    }
}
