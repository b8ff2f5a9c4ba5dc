//! The checker: what was asked and answered, and what must be true of it at every moment.
//!
//! It sees every disk and every answer. Each value carries the number of its write, so that whatever
//! is read names who wrote it. Where a fault destroyed the last copy of a write that its durability
//! does not cover, the write is excused; every other acknowledged write must survive.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::error::Error;
use tidings_core::ident::{DatabaseId, Epoch};
use tidings_core::record::{Payload, Record};
use tidings_core::stamp::{Dot, Stamp, Time, Version};

use crate::counting::is_lease;
use crate::deletes::Deletes;
use crate::history::written_by;
pub use crate::history::{Attempt, Fate, Loss};
use crate::look::{Copies, Copy, hash_row};
use crate::sometimes::Sometimes;

/// An invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which: its number and name.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Copies on disks that hold a copied directory, of databases that their peers do not hold: nobody asks
/// for what is in them.
pub type Strays = BTreeSet<(usize, DatabaseId)>;

/// What is known of one process.
#[derive(Debug, Default)]
struct Witness {
    /// The greatest stamp seen by a local read or write of a key.
    seen: BTreeMap<(DatabaseId, Vec<u8>), Stamp>,
    /// The last value that a local read of a counter showed.
    counted: BTreeMap<(DatabaseId, Vec<u8>), i64>,
    last_time: Time,
    /// How often its disk lost data by other means than power.
    losses: u64,
}

/// The history and what follows from it.
#[derive(Debug, Default)]
pub struct Checker {
    pub(crate) attempts: Vec<Attempt>,
    epochs: BTreeMap<Epoch, usize>,
    witnesses: Vec<Witness>,
    dots: BTreeMap<(DatabaseId, Dot), u64>,
    /// Tombstones that nobody asked for, as they were seen: their stamps, by key.
    pub(crate) sweeps: BTreeMap<(DatabaseId, Vec<u8>), BTreeSet<Stamp>>,
    /// Who wrote the row that makes a database known.
    creators: BTreeMap<Vec<u8>, Epoch>,
    pub(crate) deletes: Deletes,
    /// How many writes had been asked for when a process last gave its copy of a database back.
    left: BTreeMap<(usize, DatabaseId), usize>,
    /// How often databases were dropped.
    pub(crate) generations: BTreeMap<DatabaseId, u64>,
    /// Whether users drop databases.
    pub(crate) drops: bool,
    /// Databases that somebody wanted to drop.
    pub(crate) drops_asked: BTreeSet<DatabaseId>,
    /// The first thing that broke.
    pub violation: Option<Violation>,
}

impl Checker {
    /// A checker of this many processes.
    pub fn new(processes: usize) -> Self {
        let witnesses = (0..processes).map(|_| Witness::default()).collect();
        Self { witnesses, ..Self::default() }
    }

    /// One more process.
    pub fn add_process(&mut self) {
        self.witnesses.push(Witness::default());
    }

    /// Notes what broke, unless something did already.
    pub fn broke(&mut self, invariant: &'static str, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, what });
        }
    }

    /// A process writes under an epoch.
    pub fn started(&mut self, process: usize, epoch: Epoch) {
        if let Some(other) = self.epochs.insert(epoch, process)
            && other != process
        {
            self.broke("2 dots", format!("peers {other} and {process} share epoch {epoch:?}"));
        }
    }

    /// The value of the next write, of at least eight bytes.
    pub fn value(&self, offset: usize, length: usize) -> Vec<u8> {
        let number = (self.attempts.len() + offset) as u64;
        let mut value = number.to_le_bytes().to_vec();
        value.resize(length.max(8), (number % 251) as u8);
        value
    }

    /// Notes a write that is about to be submitted; returns its number.
    pub fn submitted(&mut self, attempt: Attempt) -> usize {
        let number = self.attempts.len();
        if attempt.expires.is_some() {
            // What it leaves behind in the end is a tombstone that nobody asked for.
            for home in self.homes(&attempt) {
                self.deletes.submitted(home, &attempt.key, number);
            }
        }
        if attempt.value.is_none() {
            for home in self.homes(&attempt) {
                self.deletes.submitted(home, &attempt.key, number);
            }
        }
        self.attempts.push(attempt);
        number
    }

    /// The history.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Notes the answer to writes that were submitted together; `at_once`: within the call.
    pub fn answered(
        &mut self,
        numbers: &[usize],
        result: &Result<Vec<Version>, Error>,
        at_once: bool,
        sometimes: &mut Sometimes,
    ) {
        match result {
            Ok(versions) if versions.len() == numbers.len() => {
                sometimes.saw("acknowledged");
                for (&number, &version) in numbers.iter().zip(versions) {
                    // Between another answer and its write, the peer may have read something newer.
                    if at_once {
                        self.above_seen(number, version);
                    }
                    self.acknowledged(number, version);
                }
                // Other answers come in the order in which their waits end.
                if at_once {
                    self.stamps_grow(numbers, versions);
                }
            }
            Ok(versions) => {
                let (asked, got) = (numbers.len(), versions.len());
                self.broke("5 answers", format!("{asked} writes were answered by {got} versions"));
            }
            Err(error) => {
                let unknown = matches!(
                    error,
                    Error::OutcomeUnknown { .. }
                        | Error::UnderReplicated { .. }
                        | Error::TimedOut(_)
                        | Error::Storage(_)
                        | Error::Internal(_)
                );
                sometimes.saw(if unknown { "outcome unknown" } else { "refused" });
                if let Error::Internal(why) = error {
                    self.broke("14 no defects", why.clone());
                }
                for &number in numbers {
                    let homes = self.homes(&self.attempts[number]);
                    let attempt = &mut self.attempts[number];
                    attempt.fate = if unknown { Fate::Unknown } else { Fate::Refused };
                    if !unknown {
                        for home in homes {
                            self.deletes.refused(home, &attempt.key, number);
                        }
                    }
                    if !unknown && attempt.dot.is_some() {
                        let what = format!("write {number} was refused ({error}) and is stored");
                        self.broke("5 answers", what);
                    }
                }
            }
        }
    }

    fn acknowledged(&mut self, number: usize, version: Version) {
        let attempt = &mut self.attempts[number];
        attempt.fate = Fate::Acknowledged(version);
        let owner = self.epochs.get(&version.dot.epoch).copied();
        attempt.accepted = owner.and_then(|owner| {
            // The answer may come after the copy has gone: others have the write then.
            let left = self.left.get(&(owner, attempt.database)).is_some_and(|&left| left > number);
            let losses = self.witnesses.get(owner)?.losses;
            (!left).then_some((owner, losses))
        });
        if let Some(dot) = attempt.dot
            && dot != version.dot
        {
            let what = format!("write {number} was answered {version} and is stored as {dot:?}");
            self.broke("2 dots", what);
            return;
        }
        attempt.dot = Some(version.dot);
        if attempt.is_dropped(&self.generations) || attempt.sum_is_gone {
            attempt.fate = Fate::Excused(version);
        }
        if attempt.is_home() && attempt.value.is_none() {
            self.deletes.acknowledged(attempt.database, &attempt.key, number, version);
        }
        let (database, key, process) = (attempt.database, attempt.key.clone(), attempt.process);
        if owner.is_none() {
            self.broke("2 dots", format!("write {number} has the epoch of nobody: {version}"));
        }
        // Whoever wrote at its own copy reads its write from now on.
        if owner == Some(process) {
            let stamp = version.stamp();
            let seen = &mut self.witnesses[process].seen;
            let known = seen.entry((database, key)).or_insert(stamp);
            *known = stamp.max(*known);
        }
    }

    /// Writes came late to a copy of a database, for keys that may have been deleted: what was collected
    /// there may rise again, and readers may see it after the delete.
    pub(crate) fn came_late(&mut self, database: DatabaseId) {
        self.deletes.came_late(database);
        for witness in &mut self.witnesses {
            witness.seen.retain(|(seen, _), _| *seen != database);
        }
    }

    /// The last value that a process showed of a counter.
    pub(crate) fn counted(&mut self, process: usize, id: DatabaseId, key: &[u8]) -> &mut i64 {
        self.witnesses[process].counted.entry((id, key.to_vec())).or_default()
    }

    /// 4: a copy that reflects a delete has no older value of that key.
    pub(crate) fn check_risen(
        &mut self,
        process: usize,
        database: DatabaseId,
        key: &[u8],
        copy: &Copy,
    ) {
        let Some(record) = copy.record(key).filter(|record| record.is_live()) else { return };
        if let Some(delete) = self.deletes.ignored_by(database, key, copy, record) {
            let (stamp, key) = (record.stamp(), String::from_utf8_lossy(key));
            let what = format!(
                "peer {process} has {stamp:?} under {key:?} of {:?}, and reflects its delete {delete}",
                copy.path
            );
            self.broke("4 nothing rises", what);
        }
    }

    /// Whoever has seen a value can overwrite it, whatever the clocks say.
    fn above_seen(&mut self, number: usize, version: Version) {
        let Attempt { database, key, process, .. } = &self.attempts[number];
        let seen = self.witnesses[*process].seen.get(&(*database, key.clone())).copied();
        if seen.is_some_and(|seen| version.stamp() <= seen) {
            let what = format!("write {number} is {version}, and its peer had seen {seen:?}");
            self.broke("7 stamps", what);
        }
    }

    fn stamps_grow(&mut self, numbers: &[usize], versions: &[Version]) {
        let Some(first) = numbers.first().map(|number| &self.attempts[*number]) else { return };
        let Some((owner, _)) = first.accepted else { return };
        if owner != first.process {
            return;
        }
        for version in versions {
            let last = &mut self.witnesses[owner].last_time;
            if version.time <= *last {
                let what = format!("peer {owner} issued {:?} after {last:?}", version.time);
                self.broke("7 stamps", what);
                return;
            }
            *last = version.time;
        }
    }

    /// Notes a record that a process read at its own copy, from which tombstones up to `collected` were
    /// collected.
    pub fn read_here(
        &mut self,
        process: usize,
        database: DatabaseId,
        key: &[u8],
        record: Option<&Record>,
        collected: Time,
    ) {
        let stamp = record.map(Record::stamp);
        let place = (database, key.to_vec());
        let seen = self.witnesses[process].seen.get(&place).copied();
        let forgotten = || {
            let deleted = |seen| self.deletes.explain(database, key, seen, collected);
            // An older delete may have come since: that changes nothing.
            !record.is_some_and(Record::is_live) && seen.is_some_and(deleted)
        };
        if stamp < seen && !forgotten() {
            let what = format!(
                "peer {process} read {stamp:?} of {:?} in {database:?} after {seen:?}",
                String::from_utf8_lossy(key)
            );
            self.broke("6 monotonic reads", what);
        }
        if let Some(stamp) = stamp {
            self.witnesses[process].seen.insert(place, stamp);
        }
        if let Some(record) = record {
            let hash = hash_row(key, &tidings_core::wire::encode(record));
            self.saw_record(database, key, record, hash);
        }
    }

    /// Notes a record of a user's database, wherever it was seen, and the hash of its row.
    pub(crate) fn saw_record(
        &mut self,
        database: DatabaseId,
        key: &[u8],
        record: &Record,
        hash: u64,
    ) {
        self.saw_dot(database, key, record, hash);
        let Payload::Value(value, _) = record.payload() else { return };
        let attempt = written_by(record).and_then(|number| self.attempts.get_mut(number));
        let Some(attempt) = attempt else {
            self.broke("5 nothing from nowhere", format!("a value that nobody wrote: {record:?}"));
            return;
        };
        // Where it went is only guessed before it is seen.
        if !attempt.is_home() && attempt.is_of(database, &self.generations) {
            attempt.database = database;
            attempt.homeless = false;
        }
        if attempt.database != database
            || attempt.key != key
            || attempt.value.as_deref() != Some(value)
        {
            let what = format!(
                "another write than {attempt:?} is {record:?} of {:?}",
                String::from_utf8_lossy(key)
            );
            self.broke("5 nothing from nowhere", what);
        } else if attempt.fate == Fate::Refused {
            let what = format!("a refused write is stored: {attempt:?} as {record:?}");
            self.broke("5 answers", what);
        } else if is_lease(key) {
            // Each change of its expiry is a write of its value.
        } else if attempt.dot.is_some_and(|dot| dot != record.dot()) {
            let what = format!("one write is stored twice: {attempt:?} as {record:?}");
            self.broke("2 dots", what);
        } else {
            attempt.dot = Some(record.dot());
        }
    }

    /// Notes a record of any database, and the hash of its row: one dot names one write.
    pub(crate) fn saw_dot(&mut self, database: DatabaseId, key: &[u8], record: &Record, hash: u64) {
        let place = (database, record.dot());
        if *self.dots.entry(place).or_insert(hash) != hash {
            let key = String::from_utf8_lossy(key);
            self.broke("2 dots", format!("two writes carry one dot, one is {record:?} of {key:?}"));
        }
    }

    /// Whether a row of a system database makes a database known that somebody else made known
    /// already: two peers created it.
    pub fn created_twice(&mut self, key: &[u8], record: &Record) -> bool {
        // A length of 0, the 16 bytes of the id, a letter, and a generation.
        if key.len() != 26 || key[17] != b'd' {
            return false;
        }
        let epoch = record.dot().epoch;
        self.creators.insert(key.to_vec(), epoch).is_some_and(|other| other != epoch)
    }

    /// Notes what a fault did to the disk of a process, with every disk as it is now.
    pub fn lost(
        &mut self,
        process: usize,
        loss: Loss,
        disks: &[&Copies],
        strays: &Strays,
        sometimes: &mut Sometimes,
    ) {
        if loss != Loss::Nothing {
            // Elsewhere, too: what they saw may have been on this disk only.
            for witness in &mut self.witnesses {
                witness.counted.clear();
            }
            self.witnesses[process].seen.clear();
        }
        if loss == Loss::Anything {
            self.witnesses[process].losses += 1;
            self.witnesses[process].last_time = Time::default();
        }
        self.excuse(Some((process, loss)), disks, strays, sometimes);
    }

    /// A process gave its copy of a database back: from now on others have what it accepted.
    pub fn left(&mut self, process: usize, database: DatabaseId) {
        self.left.insert((process, database), self.attempts.len());
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.database == database) {
            attempt.accepted.take_if(|(accepted, _)| *accepted == process);
        }
    }

    /// Excuses acknowledged writes of which no disk has a trace; where their durability covers what
    /// happened, that is a violation.
    pub fn excuse(
        &mut self,
        what: Option<(usize, Loss)>,
        disks: &[&Copies],
        strays: &Strays,
        sometimes: &mut Sometimes,
    ) {
        let mut broke = None;
        let deletes = &self.deletes;
        let keeps = |disk: usize, database: DatabaseId, key: &[u8], stamp: Stamp| {
            disks.get(disk).is_some_and(|copies| deletes.reflects(copies, database, key, stamp))
                && !strays.contains(&(disk, database))
        };
        for (number, attempt) in self.attempts.iter_mut().enumerate() {
            let Fate::Acknowledged(version) = attempt.fate else { continue };
            let stamp = version.stamp();
            let reflects =
                |copies: &Copies| deletes.reflects(copies, attempt.database, &attempt.key, stamp);
            if let Some((process, loss)) = what
                && attempt.accepted == Some((process, self.witnesses[process].losses))
                && (loss == Loss::Nothing || (loss == Loss::Unsynced && attempt.synced))
                && let Some(disk) = disks.get(process)
                && !reflects(disk)
                // Its copy may have been dropped, by a process that ended before it said so.
                && !(self.drops_asked.contains(&attempt.of) && disk.get(attempt.database).is_none())
            {
                broke = Some(format!(
                    "write {number} was acknowledged and did not survive at peer {process}: \
                     {attempt:?}"
                ));
                break;
            }
            if let Some((process, Loss::Unsynced)) = what
                && attempt.accepted.is_some_and(|(accepted, _)| accepted == process)
                && !disks.get(process).is_some_and(|copies| reflects(copies))
            {
                // The power took it here, as it may; others may still have it.
                attempt.accepted = None;
            }
            // Mostly the disk that had it the last time still has it.
            let keeps = |disk: usize| keeps(disk, attempt.database, &attempt.key, stamp);
            let known = Some(attempt.at_disk).filter(|disk| keeps(*disk));
            let found = known.or_else(|| (0..disks.len()).find(|disk| keeps(*disk)));
            if let Some(found) = found {
                attempt.at_disk = found;
            } else {
                attempt.fate = Fate::Excused(version);
                sometimes.saw("loss excused");
            }
        }
        // What was read and is nowhere any more cannot be read again.
        for witness in &mut self.witnesses {
            witness.seen.retain(|(database, key), stamp| {
                (0..disks.len()).any(|disk| keeps(disk, *database, key, *stamp))
            });
        }
        if let Some(broke) = broke {
            self.broke("3 durability", broke);
        }
    }

    /// An acknowledged write: its database, its key and its stamp.
    pub fn stamp_of(&self, number: usize) -> Option<(DatabaseId, &[u8], Stamp)> {
        let attempt = &self.attempts[number];
        let Fate::Acknowledged(version) = attempt.fate else { return None };
        Some((attempt.database, &attempt.key, version.stamp()))
    }

    /// How many disks reflect an acknowledged write.
    pub fn copies_of(&self, number: usize, disks: &[&Copies]) -> usize {
        let attempt = &self.attempts[number];
        let Fate::Acknowledged(version) = attempt.fate else { return usize::MAX };
        let stamp = version.stamp();
        let Attempt { database, key, .. } = attempt;
        disks.iter().filter(|disk| self.deletes.reflects(disk, *database, key, stamp)).count()
    }
}
