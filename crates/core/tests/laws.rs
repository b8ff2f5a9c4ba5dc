//! Laws of the CRDT: records merge in any order and grouping, and a vector with its pending
//! intervals says what a plain set of dots says.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidings_core::ident::Epoch;
use tidings_core::record::{Payload, Record};
use tidings_core::stamp::{Dot, Time};
use tidings_core::vector::{Fit, Interval, Progress, Vector};

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        2 => (proptest::collection::vec(any::<u8>(), 0..3), proptest::option::of(0..3_u64))
            .prop_map(|(value, expires)| Payload::Value(value, expires)),
        1 => Just(Payload::Tombstone),
    ]
}

/// Records of one key, from so few stamps that conflicts are common. As for any peer, one dot has
/// one time; only forged and cloned ones share both and differ in the payload.
fn record() -> impl Strategy<Value = Record> {
    (0..4_u64, 0..3_u128, payload()).prop_map(|(time, epoch, payload)| {
        Record::new(Time(time), Dot { epoch: Epoch(epoch), sequence: time + 1 }, payload)
    })
}

fn merged(records: &[Record]) -> Record {
    let mut all = records[0].clone();
    for record in &records[1..] {
        all.merge(record.clone());
    }
    all
}

proptest! {
    /// Two records merge to the same one either way round, forged ones included.
    #[test]
    fn merge_is_commutative(a in record(), b in record()) {
        prop_assert_eq!(merged(&[a.clone(), b.clone()]), merged(&[b, a]));
    }

    /// Three records merge to the same one however they are grouped, forged ones included.
    #[test]
    fn merge_is_associative(a in record(), b in record(), c in record()) {
        let left = merged(&[merged(&[a.clone(), b.clone()]), c.clone()]);
        let right = merged(&[a, merged(&[b, c])]);
        prop_assert_eq!(left, right);
    }

    /// A record merged again, now or after others, changes nothing.
    #[test]
    fn merge_is_idempotent(a in record(), b in record()) {
        prop_assert_eq!(merged(&[a.clone(), a.clone()]), a.clone());
        let both = merged(&[a.clone(), b.clone()]);
        prop_assert_eq!(merged(&[both.clone(), a]), both.clone());
        prop_assert_eq!(merged(&[both.clone(), b]), both);
    }

    /// Many records merge to the greatest stamp, whatever the order of their arrival.
    #[test]
    fn the_greatest_stamp_wins_in_any_order(
        mut records in proptest::collection::vec(record(), 1..8),
        seed in any::<u64>(),
    ) {
        let forwards = merged(&records);
        let greatest = records.iter().map(Record::stamp).max().unwrap();
        prop_assert_eq!(forwards.stamp(), greatest);
        let length = records.len();
        for index in 0..length {
            records.swap(index, (seed as usize).wrapping_mul(index + 7) % length);
        }
        prop_assert_eq!(merged(&records), forwards);
    }
}

/// What happens to a copy's progress.
#[derive(Clone, Debug)]
enum Step {
    Reflect(Interval),
    Apply(Dot),
    Merge(Vec<(u128, u64)>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u128, 0..20_u64, 0..6_u64).prop_map(|(epoch, from, length)| {
            Step::Reflect(Interval { epoch: Epoch(epoch), from, upto: from + length })
        }),
        2 => (0..3_u128, 1..20_u64).prop_map(|(epoch, sequence)| {
            Step::Apply(Dot { epoch: Epoch(epoch), sequence })
        }),
        1 => proptest::collection::vec((0..3_u128, 1..15_u64), 0..3).prop_map(Step::Merge),
    ]
}

/// The slow, obvious model: every dot that is reflected, and every row that was applied.
#[derive(Default)]
struct Model {
    reflected: BTreeSet<(u128, u64)>,
    rows: BTreeSet<(u128, u64)>,
}

impl Model {
    fn have(&self, epoch: u128) -> u64 {
        (1..).take_while(|sequence| self.reflected.contains(&(epoch, *sequence))).count() as u64
    }

    fn is_whole(&self) -> bool {
        let above = |(epoch, sequence): &(u128, u64)| *sequence > self.have(*epoch);
        !self.reflected.iter().chain(&self.rows).any(above)
    }
}

proptest! {
    /// The vector is the longest prefix without a hole of what was reflected, and a copy is whole
    /// exactly when nothing lies above it.
    #[test]
    fn progress_says_what_a_set_of_dots_says(steps in proptest::collection::vec(step(), 0..40)) {
        let (mut progress, mut model) = (Progress::default(), Model::default());
        for step in steps {
            match step {
                Step::Reflect(interval) => {
                    let fit = progress.fit(interval);
                    let have = model.have(interval.epoch.0);
                    prop_assert_eq!(fit == Fit::Known, interval.upto <= have);
                    prop_assert_eq!(fit == Fit::Gap, interval.upto > have && interval.from > have);
                    progress.reflect(interval);
                    for sequence in interval.from + 1..=interval.upto {
                        model.reflected.insert((interval.epoch.0, sequence));
                    }
                }
                Step::Apply(dot) => {
                    progress.applied(dot);
                    model.rows.insert((dot.epoch.0, dot.sequence));
                }
                Step::Merge(entries) => {
                    let mut vector = Vector::default();
                    for (epoch, upto) in entries {
                        vector.raise(Epoch(epoch), upto);
                        for sequence in 1..=upto {
                            model.reflected.insert((epoch, sequence));
                        }
                    }
                    progress.merge(&vector);
                }
            }
            for epoch in 0..3 {
                prop_assert_eq!(progress.vector.get(Epoch(epoch)), model.have(epoch));
            }
            prop_assert_eq!(progress.is_whole(), model.is_whole());
            for interval in progress.pending() {
                for sequence in interval.from + 1..=interval.upto {
                    prop_assert!(model.reflected.contains(&(interval.epoch.0, sequence)));
                }
            }
        }
    }

    /// Merging vectors is their least upper bound.
    #[test]
    fn vectors_merge_to_the_least_upper_bound(
        a in proptest::collection::vec((0..4_u128, 1..9_u64), 0..5),
        b in proptest::collection::vec((0..4_u128, 1..9_u64), 0..5),
    ) {
        let vector = |entries: &[(u128, u64)]| {
            let mut vector = Vector::default();
            for (epoch, sequence) in entries {
                vector.raise(Epoch(*epoch), *sequence);
            }
            vector
        };
        let (a, b) = (vector(&a), vector(&b));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        prop_assert_eq!(&ab, &ba);
        prop_assert!(ab.dominates(&a) && ab.dominates(&b));
        for (epoch, sequence) in ab.iter() {
            prop_assert_eq!(sequence, a.get(epoch).max(b.get(epoch)));
        }
        prop_assert_eq!(a.ahead_of(&b) == 0, b.dominates(&a));
    }
}
