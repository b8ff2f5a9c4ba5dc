//! What the history says that must be there in the end.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::ident::DatabaseId;
use tidings_core::record::{Payload, Record};
use tidings_core::rows::split_sum;
use tidings_core::stamp::{Time, Version};

use crate::checker::{Attempt, Checker, Fate};

impl Checker {
    /// What the keys of the databases must say at the end: per key, the greatest acknowledged write.
    pub fn expected(&self) -> BTreeMap<(DatabaseId, Vec<u8>), (usize, Version)> {
        let mut expected: BTreeMap<_, (usize, Version)> = BTreeMap::new();
        for (number, attempt) in self.attempts().iter().enumerate() {
            let Fate::Acknowledged(version) = attempt.fate else { continue };
            let place = (attempt.database, attempt.key.clone());
            let best = expected.entry(place).or_insert((number, version));
            if version.stamp() > best.1.stamp() {
                *best = (number, version);
            }
        }
        expected
    }

    /// Checks one key of a converged copy against the history.
    pub fn check_final(
        &mut self,
        process: usize,
        place: &(DatabaseId, Vec<u8>),
        expected: (usize, Version),
        found: Option<&Record>,
        collected: Time,
    ) {
        let (number, version) = expected;
        let key = String::from_utf8_lossy(&place.1).into_owned();
        let wanted = version.stamp();
        match found {
            None if self.deletes.explain(place.0, &place.1, wanted, collected) => {}
            None => {
                let what = format!(
                    "peer {process} has nothing under {key:?} of {:?}: {:?}",
                    place.0,
                    self.attempts()[number]
                );
                self.broke("3 final values", what);
            }
            Some(record) if self.deletes.may_be_late(place.0, record) => {}
            Some(record)
                if !record.is_live()
                    && self.deletes.explain(place.0, &place.1, wanted, collected) => {}
            Some(record) if record.stamp() < wanted => {
                let what = format!(
                    "peer {process} has {record:?} under {key:?}, older than {:?}",
                    self.attempts()[number]
                );
                self.broke("3 final values", what);
            }
            Some(record) if record.stamp() == wanted => {
                let attempt = &self.attempts()[number];
                let same = match (record.payload(), &attempt.value) {
                    (Payload::Value(_, expires), _) if attempt.touches => {
                        *expires == attempt.expires
                    }
                    (Payload::Value(value, expires), Some(written)) => {
                        value == written && *expires == attempt.expires
                    }
                    (Payload::Sum(_), Some(_)) => attempt.adds.is_some(),
                    (Payload::Tombstone, None) => true,
                    _ => false,
                };
                if !same {
                    let what = format!("{record:?} is not {:?}", self.attempts()[number]);
                    self.broke("3 final values", what);
                }
            }
            Some(record) => self.check_winner(place, record),
        }
    }

    /// A record beats every acknowledged write of its key: it must be one whose fate is not known.
    fn check_winner(&mut self, place: &(DatabaseId, Vec<u8>), record: &Record) {
        let dot = record.dot();
        let matches = |attempt: &Attempt| {
            let here = attempt.database == place.0
                || !attempt.is_home() && attempt.is_of(place.0, &self.generations);
            here && (attempt.key == place.1 || may_add_to(attempt, &place.1))
                && matches!(attempt.fate, Fate::Open | Fate::Unknown | Fate::Excused(_))
                && attempt.value.is_some() == record.is_live()
                && attempt.dot.is_none_or(|known| known == dot)
        };
        let again = self.deletes.may_be_told_again(place.0, &place.1, record);
        if !again && !self.attempts().iter().any(matches) {
            let what = format!("{record:?} beats what was acknowledged, and nobody wrote it");
            self.broke("5 nothing from nowhere", what);
        }
    }

    /// Databases in which something acknowledged must still be.
    pub fn databases(&self) -> BTreeSet<DatabaseId> {
        let kept = |attempt: &&Attempt| matches!(attempt.fate, Fate::Acknowledged(_));
        self.attempts().iter().filter(kept).map(|attempt| attempt.database).collect()
    }
}

/// Whether an increment may have been added to a sum.
fn may_add_to(attempt: &Attempt, sum: &[u8]) -> bool {
    let counter = split_sum(sum).map(|(counter, _)| counter);
    attempt.adds.as_ref().is_some_and(|(key, _)| Some(key.as_slice()) == counter)
}
