//! Databases that users drop: which generation of its database a write went to, and that what was dropped
//! is excused.

use tidings_core::ident::DatabaseId;
use tidings_core::record::Record;

use crate::checker::{Attempt, Checker, Fate};
use crate::history::written_by;
use crate::look::incarnation;

impl Checker {
    /// Whether a generation of a database was dropped.
    pub(crate) fn is_dropped(&self, id: DatabaseId, generation: u64) -> bool {
        self.generations.get(&id).is_some_and(|last| generation < *last)
    }

    /// A database was dropped: what was written to it before is excused.
    pub(crate) fn dropped(&mut self, id: DatabaseId, generation: u64) {
        let known = self.generations.entry(id).or_default();
        if generation <= *known {
            return;
        }
        *known = generation;
        // A delete that is on its way goes to whatever generation there is when it arrives.
        let next = incarnation(id, generation + 1);
        for (number, attempt) in self.attempts.iter().enumerate() {
            let deletes = attempt.value.is_none() || attempt.expires.is_some();
            if attempt.of == id && deletes && matches!(attempt.fate, Fate::Open | Fate::Unknown) {
                self.deletes.submitted(next, &attempt.key, number);
            }
        }
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.of == id) {
            if let Fate::Acknowledged(version) = attempt.fate
                && attempt.is_dropped(&self.generations)
            {
                attempt.fate = Fate::Excused(version);
            }
        }
    }

    /// An acknowledged write went to this incarnation of its database, or to one that was dropped.
    pub(crate) fn went_to(&mut self, number: usize, home: Option<DatabaseId>) {
        let homes = self.homes(&self.attempts[number]);
        let attempt = &mut self.attempts[number];
        if attempt.is_home() {
            return;
        }
        if let Some(home) = home {
            attempt.database = home;
            for other in homes.into_iter().filter(|other| *other != home) {
                self.deletes.refused(other, &attempt.key, number);
            }
        }
        attempt.homeless = home.is_none();
    }

    /// The incarnations of its database that a write may go to, before anybody saw where it went: it may
    /// be dropped on the way, and not everybody knows of the last drop.
    pub(crate) fn homes(&self, attempt: &Attempt) -> Vec<DatabaseId> {
        if !self.drops {
            return vec![attempt.database];
        }
        let last = self.generations.get(&attempt.of).copied().unwrap_or(0);
        (0..=last + 1).map(|generation| incarnation(attempt.of, generation)).collect()
    }

    /// Notes a record that was read at another peer, of which incarnation nobody says.
    pub(crate) fn read_elsewhere(
        &mut self,
        id: DatabaseId,
        key: &[u8],
        record: &Record,
        hash: u64,
    ) {
        let attempt = written_by(record).and_then(|number| self.attempts.get(number));
        // Where it went is only guessed before its dot was seen.
        let attempt = attempt.filter(|attempt| attempt.of == id && attempt.is_home());
        let database = attempt.map(|attempt| attempt.database);
        let dropped = self.generations.contains_key(&id) || self.drops_asked.contains(&id);
        if database.is_some() || !dropped {
            self.saw_record(database.unwrap_or(id), key, record, hash);
        }
    }
}
