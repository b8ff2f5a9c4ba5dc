//! Counters, and what expires: how users change them, and what must be true of them.

use std::collections::BTreeMap;

use tidings_core::ident::DatabaseId;
use tidings_core::message::{Change, Write, Written};
use tidings_core::name::Path;
use tidings_core::node::{Node, Outcome, Submission};
use tidings_core::read::{read_record, read_stored};
use tidings_core::record::{Payload, Record};
use tidings_core::rows::{SUMS_PREFIX, split_key, split_sum, stored_key, sums_prefix};
use tidings_core::stamp::{Stamp, Version};
use tidings_core::status::HolderState;

use crate::checker::{Attempt, Checker, Fate};
use crate::complete::present;
use crate::disk::FaultyStore;
use crate::process::{Process, WALL_START, Waiting};
use crate::scenario::{MILLISECOND, SECOND};
use crate::timeline::{COUNTERS, LEASES, TALLIES};
use crate::world::World;

/// How far a clock may be off that says what has expired, in milliseconds: twice what is allowed.
const CLOCKS: u64 = 2 * tidings_core::node::MAX_CLOCK_SKEW;
/// How long a peer must know that its clock is off, in microseconds: longer than between two looks.
const KNOWN_FOR: u64 = 5 * SECOND;
/// Ticks that a tombstone may be above what it was put in the place of: it may be told again.
const ABOVE: u64 = 1_000;

/// Whether a stored key is that of a counter.
pub(crate) fn is_counter(stored: &[u8]) -> bool {
    has_prefix(stored, COUNTERS) || has_prefix(stored, TALLIES)
}

/// Whether a stored key is that of something that may expire.
pub(crate) fn is_lease(stored: &[u8]) -> bool {
    has_prefix(stored, LEASES)
}

fn has_prefix(stored: &[u8], prefix: &str) -> bool {
    split_key(stored).is_some_and(|(_, key)| key.starts_with(prefix.as_bytes()))
}

/// What a counter may say: the sum of the increments that must count, and of those that may as well.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    must: u64,
    may: u64,
}

impl World {
    /// Finds where the sums lie of increments that were acknowledged: from now on each is a write of its
    /// epoch's sum like any other.
    pub(crate) fn find_sums(&mut self, numbers: &[usize], written: &[Written]) {
        let attempts = self.checker.attempts();
        let counts = |number: &usize| attempts.get(*number).is_some_and(|a| a.adds.is_some());
        if !numbers.iter().any(counts) {
            return;
        }
        self.refresh_looks();
        for (&number, written) in numbers.iter().zip(written) {
            let Some(attempt) = self.checker.attempts().get(number) else { continue };
            if attempt.adds.is_none() {
                continue;
            }
            let (epoch, sums) = (written.version.dot.epoch, sums_prefix(&attempt.key));
            let of_epoch =
                |key: &&[u8]| split_sum(key).is_some_and(|(_, first)| first.epoch == epoch);
            let found = self.looks.disks().filter_map(|copies| {
                copies.get(attempt.database)?.under(&sums).filter(of_epoch).last()
            });
            let found = found.max().map(<[u8]>::to_vec);
            self.checker.found_sum(number, found);
        }
    }

    /// Adds to a counter that is also deleted; `anew`: it is deleted in the same batch before that.
    pub(crate) fn tally(&mut self, index: usize, path: &str, key: &str, by: u64, anew: bool) {
        let Ok(path) = Path::new(path) else { return };
        let key = stored_key(key.as_bytes());
        // Of increments whose counter it does not know, a peer has counted nothing.
        let checked = anew && {
            let node = self.processes[index].node.as_ref();
            node.is_some_and(|node| is_counted_by(node, &path, &key))
        };
        let delete = Write { key: key.clone(), change: Change::Set(Payload::Tombstone) };
        let add = Write { key, change: Change::Add(by.cast_signed()) };
        let writes = if anew { vec![delete, add] } else { vec![add] };
        let submission =
            Submission { path, writes, durability: None, acks: 1, timeout: 2_000, condition: None };
        let outcomes = self.call_then(
            index,
            |node, now| node.write(vec![submission], now),
            |process, outcomes| {
                if let Some(Outcome::Later(token)) = outcomes.first() {
                    let waiting = if checked { Waiting::Tally(by) } else { Waiting::Other };
                    process.calls.insert(*token, waiting);
                }
            },
        );
        if let Some(Outcome::Done(Ok(written))) = outcomes.unwrap_or_default().first()
            && checked
        {
            self.tallied(by, written);
        }
    }

    /// 8: a delete leaves nothing of what its peer had counted.
    pub(crate) fn tallied(&mut self, by: u64, written: &[Written]) {
        self.sometimes.saw("counted anew");
        let value = written.last().and_then(|written| written.value);
        if value != Some(by.cast_signed()) {
            let what = format!("a deleted counter says {value:?} after {by}");
            self.checker.broke("8 counters", what);
        }
    }

    /// Reads a counter at the copy of a peer.
    pub(crate) fn read_counter(&mut self, index: usize, id: DatabaseId, key: &[u8], value: i64) {
        self.sometimes.saw("counter read");
        self.checker.counter_read(index, id, key, value);
    }

    /// 8: every counter says the sum of what was acknowledged, and of some of what may have happened.
    pub(crate) fn check_counters(&mut self) {
        let mut bounds = self.checker.bounds();
        if self.has_vanished() {
            // With the row of a counter, all of it is gone.
            for bounds in bounds.values_mut() {
                *bounds = Bounds { must: 0, may: bounds.must + bounds.may };
            }
        }
        let mut broke = None;
        for (index, process) in self.processes.iter().enumerate().filter(|(_, p)| !p.dead) {
            let Some(node) = &process.node else { continue };
            for (id, role) in node.copies() {
                let (Some(replica), there) = (node.replica(id), present(node, id)) else {
                    continue;
                };
                let of = bounds.iter().filter(|((id, _), _)| *id == there);
                let loses = !replica.state.progress.lost().is_empty();
                for ((_, key), bounds) in of.filter(|_| role == HolderState::Active) {
                    // The record of a counter may be lost, and a sum that was added to since not.
                    let least = if loses { 0 } else { bounds.must };
                    let found = read_record(node.store(), replica.prefix, key);
                    let Ok(found) = found else { continue };
                    let value = found.as_ref().map_or(Some(0), counted);
                    let fits = |value: i64| {
                        u64::try_from(value)
                            .is_ok_and(|value| (least..=bounds.must + bounds.may).contains(&value))
                    };
                    if !value.is_some_and(fits) {
                        broke = Some(format!(
                            "peer {index} counts {value:?} under {:?} of {:?}: {bounds:?}",
                            String::from_utf8_lossy(key),
                            replica.path
                        ));
                    }
                    self.sometimes.saw("counter checked");
                }
            }
        }
        if let Some(what) = broke {
            self.checker.broke("8 counters", what);
        }
    }

    /// 3, 8: a copy that reflects what was added to a counter knows the counter, so that whoever
    /// acknowledged an increment can count it. Not where what is lost may be the counter.
    pub(crate) fn check_sums(&mut self) {
        if self.has_vanished() {
            return;
        }
        let mut broke = None;
        for (index, copies) in self.looks.disks().enumerate() {
            if self.processes[index].tainted {
                continue;
            }
            for (_, copy) in copies.iter().filter(|(_, copy)| !copy.checked) {
                let progress = &copy.state.progress;
                if !progress.lost().is_empty() {
                    continue;
                }
                let rows = copy.under(&SUMS_PREFIX);
                let sums = rows.filter_map(|key| Some((copy.record(key)?, split_sum(key)?.0)));
                let reflected = sums.filter(|(sum, _)| {
                    matches!(sum.payload(), Payload::Sum(_)) && progress.covers(sum.dot())
                });
                for (sum, counter) in reflected {
                    self.sometimes.saw("sum checked");
                    if copy.record(counter).is_none() {
                        let counter = String::from_utf8_lossy(counter);
                        broke = Some(format!(
                            "peer {index} has {sum:?} of {counter:?} of {:?}, and no counter",
                            copy.path
                        ));
                    }
                }
            }
        }
        if let Some(what) = broke {
            self.checker.broke("8 counters", what);
        }
    }

    /// Notes how far clocks are ahead.
    pub(crate) fn note_clocks(&mut self) {
        let wall = self.true_wall();
        for process in &mut self.processes {
            let ahead = process.clocks(self.now).wall.saturating_sub(wall);
            process.ahead = process.ahead.max(ahead);
        }
    }

    /// Notes who knows that their clocks are far off. Where several clocks are, the median is now one of
    /// them and now another, and nobody knows for long.
    pub(crate) fn note_wrong_clocks(&mut self) {
        let far = |offset: i64| offset.unsigned_abs() > CLOCKS;
        let (now, wall) = (self.now, self.true_wall());
        let wrong = |process: &&Process| process.clocks(now).wall.abs_diff(wall) > CLOCKS / 4;
        let one = self.processes.iter().filter(wrong).count() <= 1;
        for process in &mut self.processes {
            let node = process.node.as_ref();
            let off = node.is_some_and(|node| node.clock_off().is_some_and(far));
            process.off_since = (off && one).then(|| process.off_since.unwrap_or(self.now));
        }
    }

    fn true_wall(&self) -> u64 {
        WALL_START + self.now / MILLISECOND
    }

    /// 9: a tombstone under a key of which nothing is deleted is that of something that has expired, by the
    /// clock of whoever put it there and by far, and just above it.
    pub(crate) fn check_swept(&mut self, id: DatabaseId, key: &[u8], record: &Record) {
        let seen = self.checker.sweeps.entry((id, key.to_vec())).or_default();
        // One just below it was told again.
        let stamp = record.stamp();
        let again = seen.range(..stamp).next_back().is_some_and(|last| is_just_above(stamp, *last));
        if !seen.insert(stamp) {
            return;
        }
        let wall = self.true_wall();
        let owner = self.processes.iter().find(|process| record.dot().epoch.is_of(process.peer));
        let first = !again && self.checker.is_first_above(id, key, record);
        if let Some(process) = owner
            && first
            && process.off_since.is_some_and(|since| since + KNOWN_FOR <= self.now)
        {
            let off = process.node.as_ref().and_then(Node::clock_off);
            let what = format!(
                "{record:?} of {:?} by {:?}, whose clock is {off:?} ms off, at {wall}",
                String::from_utf8_lossy(key),
                process.peer
            );
            self.checker.broke("9 expiry", what);
            return;
        }
        // Who tells one again says nothing about the time, and who has another identity now is not known.
        let author = owner.filter(|_| first).map(|owner| owner.peer);
        let clocks =
            self.processes.iter().filter(|process| author.is_none_or(|peer| peer == process.peer));
        let latest = wall + clocks.map(|process| process.ahead).max().unwrap_or(0);
        self.sometimes.saw("expired entry swept");
        self.checker.check_swept(id, key, record, latest);
    }
}

fn is_just_above(stamp: Stamp, known: Stamp) -> bool {
    stamp.time.0.checked_sub(known.time.0).is_some_and(|ticks| (1..=ABOVE).contains(&ticks))
}

/// The number that a counter's resolved record shows.
pub(crate) fn counted(record: &Record) -> Option<i64> {
    let Payload::Value(value, _) = record.payload() else { return None };
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether a peer has a copy in which a counter stands under a key.
fn is_counted_by(node: &Node<FaultyStore>, path: &Path, key: &[u8]) -> bool {
    let Some(replica) = node.replica(node.database_id(path.as_str())) else { return false };
    let stored = read_stored(node.store(), replica.prefix, key);
    stored.is_ok_and(|record| {
        record.is_some_and(|record| matches!(record.payload(), Payload::Counter { .. }))
    })
}

impl Checker {
    /// Where the sum of an acknowledged increment lies; `None`: it is gone already.
    fn found_sum(&mut self, number: usize, sum: Option<Vec<u8>>) {
        let Some(attempt) = self.attempts.get_mut(number) else { return };
        match sum {
            Some(sum) => attempt.key = sum,
            None => attempt.sum_is_gone = true,
        }
    }

    fn bounds(&self) -> BTreeMap<(DatabaseId, Vec<u8>), Bounds> {
        let mut bounds: BTreeMap<(DatabaseId, Vec<u8>), Bounds> = BTreeMap::new();
        for attempt in &self.attempts {
            let Some((counter, by)) = &attempt.adds else { continue };
            let place = (attempt.database, counter.clone());
            bounds.entry(place).or_default().must +=
                if matches!(attempt.fate, Fate::Acknowledged(_)) { *by } else { 0 };
        }
        for attempt in &self.attempts {
            let Some((counter, by)) = &attempt.adds else { continue };
            if matches!(attempt.fate, Fate::Acknowledged(_) | Fate::Refused) {
                continue;
            }
            for ((database, key), bounds) in &mut bounds {
                if key == counter && attempt.is_of(*database, &self.generations) {
                    bounds.may += *by;
                }
            }
        }
        bounds
    }

    /// 5, 6: a counter says no more than what was asked for, and at one peer never less than before.
    fn counter_read(&mut self, process: usize, id: DatabaseId, key: &[u8], value: i64) {
        let asked =
            |attempt: &&Attempt| attempt.is_of(id, &self.generations) || attempt.database == id;
        let adds = self.attempts.iter().filter(asked).filter_map(|attempt| attempt.adds.as_ref());
        let most: u64 = adds.filter(|(counter, _)| counter == key).map(|(_, by)| by).sum();
        let key_text = String::from_utf8_lossy(key);
        if !u64::try_from(value).is_ok_and(|value| value <= most) {
            let what = format!("peer {process} counts {value} under {key_text:?}, {most} at most");
            self.broke("8 counters", what);
            return;
        }
        let seen = self.counted(process, id, key);
        if value < *seen {
            let what = format!("peer {process} counts {value} under {key_text:?} after {seen}");
            self.broke("6 monotonic reads", what);
        } else {
            *seen = value;
        }
    }

    /// Whether a tombstone was put in the place of something that expires; any further above, it is one
    /// that was told again.
    fn is_first_above(&self, database: DatabaseId, key: &[u8], record: &Record) -> bool {
        self.attempts.iter().any(|attempt| {
            let (Fate::Acknowledged(version) | Fate::Excused(version)) = attempt.fate else {
                return false;
            };
            attempt.database == database
                && attempt.key == key
                && attempt.expires.is_some()
                && version.time.next() == record.stamp().time
        })
    }

    fn check_swept(&mut self, database: DatabaseId, key: &[u8], record: &Record, latest: u64) {
        let stamp = record.stamp();
        let here = |attempt: &&Attempt| {
            attempt.key == key
                && (attempt.database == database || attempt.is_of(database, &self.generations))
        };
        let just_above = |known: Stamp| is_just_above(stamp, known);
        // Where a clock is ahead, many stamps lie close together: any of them may be what has expired.
        let (mut known, mut early) = (false, None);
        for attempt in self.attempts.iter().filter(here) {
            let version = match attempt.fate {
                Fate::Acknowledged(version) | Fate::Excused(version) => Some(version),
                Fate::Open | Fate::Unknown => None,
                Fate::Refused => continue,
            };
            let Some(expires) = attempt.expires else { continue };
            match version.as_ref().map(Version::stamp) {
                Some(version) if just_above(version) && expires + CLOCKS > latest => {
                    early =
                        Some(format!("{record:?} took the place of {attempt:?} before {expires}"));
                }
                Some(version) => known |= just_above(version),
                // Nobody said when it was stamped.
                None => known = true,
            }
        }
        if let Some(what) = early.filter(|_| !known) {
            self.broke("9 expiry", what);
            return;
        }
        if !known {
            let key = String::from_utf8_lossy(key);
            self.broke("9 expiry", format!("{record:?} of {key:?} is above nothing that expires"));
        }
    }
}
