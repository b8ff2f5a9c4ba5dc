//! Laws of the CRDT: records merge in any order and grouping, and a vector with its pending
//! intervals says what a plain set of dots says.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

use std::collections::BTreeSet;

use proptest::array::uniform3;
use proptest::prelude::*;
use tidings_core::ident::Epoch;
use tidings_core::interval::Interval;
use tidings_core::record::{Payload, Record};
use tidings_core::stamp::{Dot, Time};
use tidings_core::vector::{Fit, Progress, Vector};

/// What may be under a user's key.
fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        2 => (proptest::collection::vec(any::<u8>(), 0..3), proptest::option::of(0..3_u64))
            .prop_map(|(value, expires)| Payload::Value(value, expires)),
        1 => Just(Payload::Tombstone),
    ]
}

/// What may be under the key of a sum.
fn sum() -> impl Strategy<Value = Payload> {
    prop_oneof![2 => (0..3_i128).prop_map(Payload::Sum), 1 => Just(Payload::Tombstone)]
}

/// Records of one key, from so few stamps that conflicts are common. As for any peer, one dot has
/// one time; only forged and cloned ones share both and differ in the payload.
fn record(payload: impl Strategy<Value = Payload>) -> impl Strategy<Value = Record> {
    (0..4_u64, 0..3_u128, payload).prop_map(|(time, epoch, payload)| {
        Record::new(Time(time), Dot { epoch: Epoch(epoch), sequence: time + 1 }, payload)
    })
}

/// Three of one key.
fn records() -> impl Strategy<Value = [Record; 3]> {
    prop_oneof![uniform3(record(payload())), uniform3(record(sum()))]
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
    fn merge_is_commutative([a, b, _] in records()) {
        prop_assert_eq!(merged(&[a.clone(), b.clone()]), merged(&[b, a]));
    }

    /// Three records merge to the same one however they are grouped, forged ones included.
    #[test]
    fn merge_is_associative([a, b, c] in records()) {
        let left = merged(&[merged(&[a.clone(), b.clone()]), c.clone()]);
        let right = merged(&[a, merged(&[b, c])]);
        prop_assert_eq!(left, right);
    }

    /// A record merged again, now or after others, changes nothing.
    #[test]
    fn merge_is_idempotent([a, b, _] in records()) {
        prop_assert_eq!(merged(&[a.clone(), a.clone()]), a.clone());
        let both = merged(&[a.clone(), b.clone()]);
        prop_assert_eq!(merged(&[both.clone(), a]), both.clone());
        prop_assert_eq!(merged(&[both.clone(), b]), both);
    }

    /// Many records merge to the greatest stamp, whatever the order of their arrival.
    #[test]
    fn the_greatest_stamp_wins_in_any_order(
        mut records in proptest::collection::vec(record(payload()), 1..8),
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
    /// The whole state of another copy, with what is lost to it, and what it found of ours.
    Merge(Vec<(u128, u64)>, Vec<Interval>, Vec<Interval>),
    Lose(u128),
}

fn interval() -> impl Strategy<Value = Interval> {
    (0..3_u128, 0..20_u64, 0..6_u64).prop_map(|(epoch, from, length)| Interval {
        epoch: Epoch(epoch),
        from,
        upto: from + length,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => interval().prop_map(Step::Reflect),
        2 => (0..3_u128, 1..20_u64).prop_map(|(epoch, sequence)| {
            Step::Apply(Dot { epoch: Epoch(epoch), sequence })
        }),
        1 => (
            proptest::collection::vec((0..3_u128, 1..15_u64), 0..3),
            proptest::collection::vec(interval(), 0..3),
            proptest::collection::vec(interval(), 0..3),
        )
            .prop_map(|(vector, lost, found)| Step::Merge(vector, lost, found)),
        1 => (0..3_u128).prop_map(Step::Lose),
    ]
}

/// The slow, obvious model: every dot that is reflected, every one that is lost, and every row that
/// was applied.
#[derive(Default)]
struct Model {
    reflected: BTreeSet<(u128, u64)>,
    rows: BTreeSet<(u128, u64)>,
    lost: BTreeSet<(u128, u64)>,
}

impl Model {
    fn have(&self, epoch: u128) -> u64 {
        let passed = |sequence: &u64| {
            let dot = (epoch, *sequence);
            self.reflected.contains(&dot) || self.lost.contains(&dot)
        };
        (1..=u64::from(u8::MAX)).take_while(passed).count() as u64
    }

    fn reflect(&mut self, interval: Interval) {
        for sequence in interval.from + 1..=interval.upto {
            self.reflected.insert((interval.epoch.0, sequence));
            self.lost.remove(&(interval.epoch.0, sequence));
        }
    }

    fn lose(&mut self, epoch: u128) -> u64 {
        let have = self.have(epoch);
        let of = |dot: &&(u128, u64)| dot.0 == epoch;
        let upto = self.reflected.iter().chain(&self.rows).filter(of).map(|dot| dot.1).max();
        let missing = (have + 1..=upto.unwrap_or(0)).map(|sequence| (epoch, sequence));
        let missing: Vec<_> = missing.filter(|dot| !self.reflected.contains(dot)).collect();
        self.lost.extend(&missing);
        missing.len() as u64
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
                    let dots = (interval.from + 1..=interval.upto).map(|s| (interval.epoch.0, s));
                    let known = interval.upto <= have && !dots.clone().any(|d| model.lost.contains(&d));
                    prop_assert_eq!(fit == Fit::Known, known);
                    prop_assert_eq!(fit == Fit::Gap, interval.upto > have && interval.from > have);
                    progress.reflect(interval);
                    model.reflect(interval);
                }
                Step::Lose(epoch) => {
                    prop_assert_eq!(progress.declare_lost(Epoch(epoch)), model.lose(epoch));
                }
                Step::Apply(dot) => {
                    progress.applied(dot);
                    let dot = (dot.epoch.0, dot.sequence);
                    model.rows.insert(dot);
                    if model.lost.remove(&dot) {
                        model.reflected.insert(dot);
                    }
                }
                Step::Merge(entries, mut theirs, found) => {
                    let mut vector = Vector::default();
                    for (epoch, upto) in entries {
                        vector.raise(Epoch(epoch), upto);
                    }
                    theirs.retain(|lost| lost.upto <= vector.get(lost.epoch));
                    progress.merge(&vector, theirs.clone(), found.clone());
                    let theirs: BTreeSet<(u128, u64)> = theirs
                        .iter()
                        .flat_map(|i| (i.from + 1..=i.upto).map(|s| (i.epoch.0, s)))
                        .collect();
                    for interval in found {
                        let upto = interval.upto.min(model.have(interval.epoch.0));
                        model.reflect(Interval { upto, ..interval });
                    }
                    let have: Vec<u64> = (0..3).map(|epoch| model.have(epoch)).collect();
                    for (epoch, upto) in vector.iter() {
                        for sequence in have[epoch.0 as usize] + 1..=upto {
                            let dot = (epoch.0, sequence);
                            if theirs.contains(&dot) && !model.reflected.contains(&dot) {
                                model.lost.insert(dot);
                            } else {
                                model.reflected.insert(dot);
                            }
                        }
                    }
                }
            }
            for epoch in 0..3 {
                prop_assert_eq!(progress.vector.get(Epoch(epoch)), model.have(epoch));
            }
            prop_assert_eq!(progress.is_whole(), model.is_whole());
            for (epoch, sequence) in (0..3).flat_map(|e| (1..26).map(move |s| (e, s))) {
                let dot = Dot { epoch: Epoch(epoch), sequence };
                let under = sequence <= model.have(epoch);
                let lost = model.lost.contains(&(epoch, sequence));
                prop_assert_eq!(progress.covers(dot), under && !lost);
                prop_assert_eq!(progress.lost().contains(dot), lost);
            }
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
