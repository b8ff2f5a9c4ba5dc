//! Cursors of `SCAN`: numbers for clients, places in a database here.
//!
//! A listing goes on behind a key, and a Redis cursor is a number. So the door keeps a bounded table
//! from one to the other, for all connections, because clients with a pool send each step over another
//! one. A scan has two entries at most: the place where it goes on, and the one before, so that a step
//! may be repeated. Above the bound the oldest entries are forgotten; a cursor that is forgotten is an
//! error, never a listing with a gap.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most places kept, of at most a path, the name of a keyspace and a key each: 16 MiB and less.
const CURSORS_MAX: usize = 10_000;

/// Where a scan goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path of the database.
    pub(crate) path: String,
    /// The keyspace of it.
    pub(crate) keyspace: String,
    /// The key that it goes on behind.
    pub(crate) after: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    place: Place,
    /// The cursor that led here.
    previous: u64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Cursors {
    kept: BTreeMap<u64, Kept>,
    next: u64,
}

impl Cursors {
    /// An empty table. Its numbers begin at the time in microseconds, so that a cursor of an earlier
    /// start of the process means nothing here, and every client can hold them without rounding.
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { kept: BTreeMap::new(), next: (since.as_micros() as u64).max(1) }
    }

    /// Where a cursor leads.
    pub(crate) fn place(&self, cursor: u64) -> Option<Place> {
        self.kept.get(&cursor).map(|kept| kept.place.clone())
    }

    /// A cursor for the place where a scan goes on; `from` is the cursor that led here, 0 at the
    /// beginning of a scan.
    pub(crate) fn go_on(&mut self, from: u64, place: Place) -> u64 {
        if let Some(previous) = self.kept.get(&from).map(|kept| kept.previous) {
            self.kept.remove(&previous);
        }
        let cursor = self.next;
        self.next += 1;
        self.kept.insert(cursor, Kept { place, previous: from });
        if self.kept.len() > CURSORS_MAX {
            self.kept.pop_first();
        }
        cursor
    }

    /// Forgets a scan that came to its end.
    pub(crate) fn end(&mut self, from: u64) {
        if let Some(kept) = self.kept.remove(&from) {
            self.kept.remove(&kept.previous);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: u32) -> Place {
        Place { path: "p".into(), keyspace: String::new(), after: key.to_be_bytes().to_vec() }
    }

    #[test]
    fn a_scan_of_many_steps_keeps_two_places() {
        let mut cursors = Cursors::new();
        let mut from = 0;
        for step in 0..1000 {
            let next = cursors.go_on(from, place(step));
            assert_eq!(cursors.place(next), Some(place(step)));
            assert_eq!(cursors.place(from).is_some(), from != 0, "a step may be repeated");
            from = next;
        }
        assert_eq!(cursors.kept.len(), 2);
        cursors.end(from);
        assert!(cursors.kept.is_empty());
    }

    #[test]
    fn the_oldest_scans_are_forgotten_first() {
        let mut cursors = Cursors::new();
        let all: Vec<u64> = (0..20_000).map(|key| cursors.go_on(0, place(key))).collect();
        assert_eq!(cursors.kept.len(), CURSORS_MAX);
        assert_eq!(cursors.place(all[9_999]), None);
        assert_eq!(cursors.place(all[10_000]), Some(place(10_000)));
    }
}
