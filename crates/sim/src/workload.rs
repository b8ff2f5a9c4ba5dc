//! What users do: writes, batches, deletes, reads, opens and waits.

use tidings_core::definition::Durability;
use tidings_core::error::Error;
use tidings_core::ident::DatabaseId;
use tidings_core::message::{self, Change, Reply, Write, Written};
use tidings_core::name::Path;
use tidings_core::node::{Outcome, Place, Submission};
use tidings_core::read::read_record;
use tidings_core::record::Payload;
use tidings_core::replica::decode_record;
use tidings_core::rows::{self, stored_key};
use tidings_core::stamp::Version;
use tidings_core::store::Space;

use crate::checker::Attempt;
use crate::complete::present;
use crate::counting::{counted, is_counter};
use crate::look::{Copies, hash_row};
use crate::process::{Process, Waiting};
use crate::timeline::{Call, KeyWrite, Operation};
use crate::world::World;

/// How a write shall be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Overrides the durability of the definition.
    pub durability: Option<Durability>,
    /// How many holders must have it; 0 is 1.
    pub acks: u32,
}

/// What is done to a key.
enum Edit {
    /// A value of this length that stays, or is there for this many milliseconds.
    Put(usize, Option<u64>),
    /// A delete.
    Delete,
    /// So much more.
    Add(u64),
    /// The same, for this many milliseconds or for good.
    Expire(Option<u64>),
}

impl Edit {
    fn ttl(&self) -> Option<u64> {
        match self {
            Self::Put(_, ttl) | Self::Expire(ttl) => *ttl,
            Self::Delete | Self::Add(_) => None,
        }
    }
}

impl World {
    /// Does what a user does: at the peer it is asked of, or the next one that runs.
    pub fn perform(&mut self, operation: &Operation) {
        let count = self.processes.len();
        let mut peers = (0..count).map(|step| (operation.peer + step) % count);
        let Some(index) = peers.find(|peer| self.processes[*peer].is_awake(self.now)) else {
            self.sometimes.saw("nobody to ask");
            return;
        };
        let path = &operation.database;
        match &operation.call {
            Call::Write { batches, durability, acks } => {
                if batches.iter().any(|batch| batch.len() > 1) {
                    self.sometimes.saw("batch");
                }
                let stored = |(key, length): &KeyWrite| {
                    (stored_key(key.as_bytes()), length.map(|length| length as usize))
                };
                let batches = batches.iter().map(|batch| batch.iter().map(stored).collect());
                let terms = Terms { durability: *durability, acks: *acks };
                self.write(index, path, batches.collect(), terms);
            }
            Call::Count { key, by, durability, acks } => {
                let terms = Terms { durability: *durability, acks: *acks };
                let edit = (stored_key(key.as_bytes()), Edit::Add(*by));
                self.edit(index, path, vec![vec![edit]], terms);
            }
            Call::Tally { key, by, anew } => self.tally(index, path, key, *by, *anew),
            Call::Lease(key, length, ttl) => {
                let edit = Edit::Put(*length as usize, Some(*ttl));
                let edits = vec![vec![(stored_key(key.as_bytes()), edit)]];
                self.edit(index, path, edits, Terms::default());
            }
            Call::Expire(key, ttl) => {
                let edits = vec![vec![(stored_key(key.as_bytes()), Edit::Expire(*ttl))]];
                self.edit(index, path, edits, Terms::default());
            }
            Call::Read(key) => self.read(index, path, &stored_key(key.as_bytes())),
            Call::Sync => {
                if let Ok(path) = Path::new(path) {
                    self.call(index, |node, now| node.sync(&path, 3_000, now));
                }
            }
            Call::Drop => {
                if let Ok(path) = Path::new(path) {
                    let asked = self.call(index, |node, now| {
                        let _ = node.drop_database(&path, now);
                        node.database_id(path.as_str())
                    });
                    self.checker.drops_asked.extend(asked);
                }
            }
            Call::Status => {
                if let Ok(path) = Path::new(path) {
                    self.call(index, |node, now| {
                        node.request(&path, message::Operation::Status, 2_000, now)
                    });
                }
            }
        }
    }

    /// Writes batches at a peer, in one call: stored keys, and the length of each value or nothing
    /// for a delete. Returns the numbers of the writes.
    pub fn write(
        &mut self,
        index: usize,
        path: &str,
        batches: Vec<Vec<(Vec<u8>, Option<usize>)>>,
        terms: Terms,
    ) -> Vec<usize> {
        let edit = |length: Option<usize>| match length {
            Some(length) => Edit::Put(length, None),
            None => Edit::Delete,
        };
        let edits = batches
            .into_iter()
            .map(|batch| batch.into_iter().map(|(key, length)| (key, edit(length))).collect());
        self.edit(index, path, edits.collect(), terms)
    }

    fn edit(
        &mut self,
        index: usize,
        path: &str,
        batches: Vec<Vec<(Vec<u8>, Edit)>>,
        terms: Terms,
    ) -> Vec<usize> {
        let Ok(parsed) = Path::new(path) else { return Vec::new() };
        let process = &self.processes[index];
        let Some(node) = &process.node else { return Vec::new() };
        let of = node.database_id(path);
        let database = present(node, of);
        let acceptor = node.open(&parsed);
        let defined = acceptor.map_or(Durability::Buffered, |definition| definition.durability);
        let synced = terms.durability.unwrap_or(defined) == Durability::Synced;
        let mut submissions = Vec::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for batch in batches {
            let mut writes = Vec::new();
            let mut numbers = Vec::new();
            for (key, edit) in batch {
                let wall = self.processes[index].clocks(self.now).wall;
                let expires = edit.ttl().map(|ttl| wall + ttl);
                let value = match edit {
                    Edit::Put(length, _) => Some(self.checker.value(0, length)),
                    Edit::Delete => None,
                    Edit::Add(_) | Edit::Expire(_) => Some(Vec::new()),
                };
                let change = match (&edit, &value) {
                    (Edit::Add(by), _) => Change::Add(by.cast_signed()),
                    (Edit::Expire(_), _) => Change::Expire(expires),
                    (_, Some(value)) => Change::Set(Payload::Value(value.clone(), expires)),
                    (_, None) => Change::Set(Payload::Tombstone),
                };
                let adds = if let Edit::Add(by) = edit { Some((key.clone(), by)) } else { None };
                numbers.push(self.checker.submitted(Attempt {
                    // The acceptor decides where the call does not say; only what is sure counts.
                    synced: synced && terms.durability.is_some(),
                    acks: terms.acks,
                    of,
                    adds,
                    expires,
                    touches: matches!(edit, Edit::Expire(_)),
                    ..Attempt::new(index, self.now, database, key.clone(), value)
                }));
                writes.push(Write { key, change });
            }
            groups.push(numbers);
            submissions.push(Submission {
                path: parsed.clone(),
                writes,
                durability: terms.durability,
                acks: terms.acks,
                timeout: 2_000,
                condition: None,
            });
        }
        let losses = self.losses;
        let outcomes = self.call_then(
            index,
            |node, now| node.write(submissions, now),
            |process, outcomes| {
                for (outcome, numbers) in outcomes.iter().zip(&groups) {
                    if let Outcome::Later(token) = outcome {
                        process.calls.insert(*token, Waiting::Write(numbers.clone(), losses));
                    }
                }
            },
        );
        for (outcome, numbers) in outcomes.unwrap_or_default().into_iter().zip(&groups) {
            if let Outcome::Done(result) = outcome {
                self.write_answered(numbers, &result, losses, true);
            }
        }
        groups.into_iter().flatten().collect()
    }

    /// Puts one value of some length; returns the number of the write.
    pub fn put(&mut self, index: usize, path: &str, key: &str, terms: Terms) -> usize {
        let key = stored_key(key.as_bytes());
        let numbers = self.write(index, path, vec![vec![(key, Some(20))]], terms);
        numbers.first().copied().unwrap_or(usize::MAX)
    }

    /// Deletes a key; returns the number of the write.
    pub fn delete(&mut self, index: usize, path: &str, key: &str) -> usize {
        let key = stored_key(key.as_bytes());
        let numbers = self.write(index, path, vec![vec![(key, None)]], Terms::default());
        numbers.first().copied().unwrap_or(usize::MAX)
    }

    pub(crate) fn write_answered(
        &mut self,
        numbers: &[usize],
        result: &Result<Vec<Written>, Error>,
        losses: u64,
        at_once: bool,
    ) {
        let code = result.as_ref().map_or_else(Error::code, |_| "written");
        self.trace.note(code, &[numbers.first().copied().unwrap_or(0) as u64]);
        self.sometimes.saw(&format!("write {code}"));
        let written = result;
        let result = written
            .as_ref()
            .map_err(Clone::clone)
            .map(|written| written.iter().map(|written| written.version).collect::<Vec<_>>());
        if let Ok(versions) = &result
            && self.checker.drops
        {
            self.find_home(numbers, versions);
        }
        if let Ok(written) = written {
            self.find_sums(numbers, written);
        }
        self.checker.answered(numbers, &result, at_once, &mut self.sometimes);
        let Some(&number) = numbers.first().filter(|_| result.is_ok()) else { return };
        let attempt = &self.checker.attempts()[number];
        if attempt.synced {
            self.sometimes.saw("acknowledged synced");
        }
        let (acks, synced) = (attempt.acks as usize, attempt.synced);
        // A copy that counted may be gone before the answer is here, where its peer drains.
        let left = self.left.get(&attempt.database).is_some_and(|at| *at >= attempt.at);
        if left {
            return;
        }
        if synced && losses == self.losses {
            self.check_synced(number, acks.max(1));
        }
        if acks > 1 {
            self.sometimes.saw("acknowledged by several");
            if losses == self.losses {
                self.refresh_looks();
                let disks: Vec<&Copies> = self.looks.disks().collect();
                let have = self.checker.copies_of(number, &disks);
                if have < acks {
                    let what = format!("write {number} was acknowledged by {acks}, {have} have it");
                    self.checker.broke("3 acknowledgements", what);
                }
            }
        }
    }

    /// Notes which incarnation of its database acknowledged writes went to: that of their acceptor.
    fn find_home(&mut self, numbers: &[usize], versions: &[Version]) {
        for (&number, version) in numbers.iter().zip(versions) {
            let Some(attempt) = self.checker.attempts().get(number) else { continue };
            let (id, at) = (attempt.of, attempt.at);
            let epoch = version.dot.epoch;
            let owner = self.processes.iter().find(|process| epoch.is_of(process.peer));
            let Some(owner) = owner else { continue };
            // Where it was dropped meanwhile nobody can say any more.
            let dropped = owner.dropped.get(&id).is_some_and(|dropped| *dropped >= at);
            let home = owner.node.as_ref().map(|node| present(node, id));
            let home = home.filter(|home| !dropped && *home == attempt.database);
            self.checker.went_to(number, home);
        }
    }

    /// 3: a write that asked for it is on the disk of as many holders as acknowledged it.
    fn check_synced(&mut self, number: usize, acks: usize) {
        self.refresh_looks();
        let Some((id, key, stamp)) = self.checker.stamp_of(number) else { return };
        let reflects = |process: &Process, copies: &Copies| {
            let row = rows::data_key(copies.get(id)?.prefix, key);
            let Some(row) = process.disk.synced_row(Space::Data, &row) else {
                let newest = copies.get(id)?.state.newest_collected;
                return self.checker.deletes.explain(id, key, stamp, newest).then_some(());
            };
            (decode_record(&row).ok()?.stamp() >= stamp).then_some(())
        };
        let disks = self.processes.iter().zip(self.looks.disks());
        let have = disks.filter(|(process, copies)| reflects(process, copies).is_some()).count();
        if have < acks {
            let what =
                format!("write {number} was acknowledged by {acks}, synced, at {have} it is");
            self.checker.broke("3 acknowledgements", what);
        }
    }

    /// Reads a key at a peer: from its own copy, or through a holder.
    pub fn read(&mut self, index: usize, path: &str, key: &[u8]) {
        let Ok(parsed) = Path::new(path) else { return };
        let place = self
            .call(index, |node, now| (node.place_for_use(&parsed, now), node.database_id(path)));
        let Some((place, id)) = place else { return };
        match place {
            Place::Here(prefix) => {
                self.sometimes.saw("read here");
                self.check_active(index, id);
                self.follow(index, id);
                let store = self.processes[index].node.as_ref().map(|node| node.store().clone());
                if let Some(Ok(record)) = store.map(|store| read_record(&store, prefix, key)) {
                    let wall = self.processes[index].clocks(self.now).wall;
                    if record.as_ref().is_some_and(|record| {
                        record.is_visible(wall)
                            && record.payload().expires().is_some_and(|at| at <= wall)
                    }) {
                        let what = format!("peer {index} shows at {wall}: {record:?}");
                        self.checker.broke("9 expiry", what);
                    }
                    let node = self.processes[index].node.as_ref();
                    let collected = node
                        .and_then(|node| node.replica(id))
                        .map(|replica| replica.state.newest_collected);
                    let collected = collected.unwrap_or_default();
                    let id = node.map_or(id, |node| present(node, id));
                    if is_counter(key) {
                        let value = record.as_ref().map_or(Some(0), counted).unwrap_or(-1);
                        self.read_counter(index, id, key, value);
                        return;
                    }
                    self.checker.read_here(index, id, key, record.as_ref(), collected);
                }
            }
            Place::Elsewhere | Place::Nowhere => {
                let operation = message::Operation::Get { keys: vec![key.to_vec()], least: None };
                self.call_then(
                    index,
                    |node, now| node.request(&parsed, operation, 2_000, now),
                    |process, token| {
                        process.calls.insert(*token, Waiting::Read(id, key.to_vec()));
                    },
                );
            }
            Place::Unknown => self.sometimes.saw("place unknown"),
        }
    }

    pub(crate) fn read_answered(
        &mut self,
        id: DatabaseId,
        key: &[u8],
        result: &Result<Reply, Error>,
    ) {
        match result {
            Ok(Reply::Got(records)) => {
                self.sometimes.saw("read elsewhere");
                for record in records.iter().flatten().filter(|_| !is_counter(key)) {
                    let hash = hash_row(key, &tidings_core::wire::encode(record));
                    self.checker.read_elsewhere(id, key, record, hash);
                }
            }
            Ok(_) => {
                self.checker.broke("5 answers", "a read was answered as something else".into());
            }
            Err(error) => self.sometimes.saw(&format!("read {}", error.code())),
        }
    }

    /// Watches every database of the workload that a process holds or will hold.
    pub(crate) fn watch_all(&mut self, index: usize) {
        let paths = std::mem::take(&mut self.paths);
        self.call(index, |node, _| {
            for path in &paths {
                node.watch(node.database_id(path));
            }
        });
        self.paths = paths;
    }
}
