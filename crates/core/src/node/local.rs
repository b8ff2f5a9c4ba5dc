//! What the local user does: open, write, read.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::admit::{check_writes, shown, unmet};
use super::push::ReplyTo;
use super::shares::Refused;
use super::work::Work;
use super::{Held, Node, Output, OwnRow};
use crate::clock::Now;
use crate::definition::{Definition, Durability};
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::interval::Interval;
use crate::limits::BATCH_BYTES_MAX;
use crate::message::{Change, Condition, Operation, Reply, Write, Written};
use crate::name::Path;
use crate::planted::{Planted, planted};
use crate::record::{Record, Sent};
use crate::replica::{Added, Applied, Author};
use crate::rows::{self, Prefix};
use crate::stamp::{Millis, TIME_CEILING, Time};
use crate::status::HolderState;
use crate::store::{Space, Store, StoreError};
use crate::wire;

/// What a call came to.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It is done.
    Done(Result<T, Error>),
    /// [`Output::Done`] with this token will say.
    Later(u64),
}

/// Where a database is, seen from this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here, complete: reads go to the store, under this prefix.
    Here(Prefix),
    /// At other holders: reads are requests.
    Elsewhere,
    /// Nowhere: nobody has written to it.
    Nowhere,
    /// Unknown until the directory is in step with the peers that are connected.
    Unknown,
}

/// Several writes to one database, all or nothing.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The database.
    pub path: Path,
    /// The writes; stored keys.
    pub writes: Vec<Write>,
    /// Overrides the definition's durability.
    pub durability: Option<Durability>,
    /// How many holders must have it, this one included; 0 and 1 mean this one.
    pub acks: u32,
    /// How long to wait for them, in milliseconds.
    pub timeout: Millis,
    /// What must be true of every key before any of them is written.
    pub condition: Option<Condition>,
}

/// Bytes of one outgoing interval beyond which a commit of many writes begins another one.
const INTERVAL_BYTES: usize = 2 * BATCH_BYTES_MAX;

/// One interval of writes that were staged together.
#[derive(Debug)]
pub(super) struct Staged {
    interval: Interval,
    /// What leaves; `None` where nobody is there to send it to.
    records: Option<BTreeMap<Vec<u8>, Sent>>,
    bytes: usize,
    pub(super) durability: Durability,
}

/// A submission with its place among those it came with, and the copy that it is for.
pub(super) type Ready = (usize, DatabaseId, Submission, ReplyTo);

/// Staged intervals by database, and a result for every submission.
pub(super) type StagedWrites = BTreeMap<DatabaseId, Vec<Staged>>;

impl<S: Store> Node<S> {
    /// Resolves the definition of a path, as opening it does. Writes nothing.
    ///
    /// # Errors
    /// [`Error::NoMatch`] when no definition accepts the path.
    pub fn open(&self, path: &Path) -> Result<Arc<Definition>, Error> {
        self.alive()?;
        self.registry.resolve(path).cloned().ok_or_else(|| Error::NoMatch {
            path: path.to_string(),
            nearest: self.registry.nearest(path, 3),
        })
    }

    /// Where a database is now.
    pub fn place(&self, path: &Path, now: Now) -> Place {
        self.place_of(self.database_id(path.as_str()), now)
    }

    /// Where a database is that a user of this peer is about to read: a copy that is used here is not
    /// handed over to another peer.
    pub fn place_for_use(&mut self, path: &Path, now: Now) -> Place {
        let id = self.database_id(path.as_str());
        self.note_use(id, now);
        self.place_of(id, now)
    }

    fn note_use(&mut self, id: DatabaseId, now: Now) {
        if let Some(held) = self.held.get_mut(&id) {
            held.used = now.monotonic;
        }
    }

    pub(super) fn place_of(&self, id: DatabaseId, now: Now) -> Place {
        if let Some(held) = self.held.get(&id)
            && (held.role == HolderState::Active || planted(Planted::ReadsWhileJoining))
        {
            return Place::Here(held.replica.prefix);
        }
        if self.directory.is_known(id) {
            Place::Elsewhere
        } else if self.is_in_step(now) {
            Place::Nowhere
        } else {
            Place::Unknown
        }
    }

    /// How many milliseconds this peer's clock is ahead of the median of its peers', where that is more
    /// than is allowed: it writes nothing then, and deletes nothing that has expired.
    pub fn clock_off(&self) -> Option<i64> {
        self.guard.own_offset().filter(|offset| offset.unsigned_abs() > self.config.max_clock_skew)
    }

    pub(super) fn alive(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// A token for a call that the driver waits for.
    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Applies submissions of local users, as many as there are in one commit. The results are in
    /// the order of the submissions.
    pub fn write(&mut self, submissions: Vec<Submission>, now: Now) -> Vec<Outcome<Vec<Written>>> {
        let mut outcomes = Vec::with_capacity(submissions.len());
        let mut calls = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let token = self.token();
            calls.push((submission, ReplyTo::Token(token)));
        }
        let tokens: Vec<ReplyTo> = calls.iter().map(|(_, reply)| *reply).collect();
        let results = self.write_for(calls, false, now);
        for (result, reply) in results.into_iter().zip(tokens) {
            outcomes.push(match (result, reply) {
                (Some(result), _) => Outcome::Done(result),
                (None, ReplyTo::Token(token)) => Outcome::Later(token),
                (None, ReplyTo::Peer(..)) => Outcome::Done(Err(Error::Internal(
                    "a local write was taken for a peer's".into(),
                ))),
            });
        }
        outcomes
    }

    /// Applies submissions; `None` where the answer goes to its [`ReplyTo`] later. `forwarded`: they
    /// come from a peer, and are not passed on again.
    pub(super) fn write_for(
        &mut self,
        calls: Vec<(Submission, ReplyTo)>,
        forwarded: bool,
        now: Now,
    ) -> Vec<Option<Result<Vec<Written>, Error>>> {
        let mut results: Vec<Option<Result<Vec<Written>, Error>>> = Vec::new();
        let mut ready = Vec::new();
        // Mostly all are for one database, and an id is a hash.
        let mut named: Option<(Path, DatabaseId)> = None;
        for (index, (submission, reply)) in calls.into_iter().enumerate() {
            results.push(None);
            let id = match &named {
                Some((path, id)) if *path == submission.path => *id,
                _ => self.database_id(submission.path.as_str()),
            };
            named = Some((submission.path.clone(), id));
            match self.prepare(id, &submission, forwarded, now) {
                Ok(true) => ready.push((index, id, submission, reply)),
                Ok(false) => self.forward_write(submission, reply, now),
                Err(error) => results[index] = Some(Err(error)),
            }
        }
        let outcome = self.write_ready(ready, forwarded, &mut results, now);
        if let Err(error) = &outcome {
            let failure = Error::from(error.clone());
            for result in results.iter_mut().filter(|result| result.is_none()) {
                *result = Some(Err(failure.clone()));
            }
        }
        self.finish(outcome, now);
        results
    }

    /// Checks a submission and finds its copy here; false: it belongs to another holder.
    fn prepare(
        &mut self,
        id: DatabaseId,
        submission: &Submission,
        forwarded: bool,
        now: Now,
    ) -> Result<bool, Error> {
        self.alive()?;
        check_writes(&submission.writes)?;
        // Not passed on either: answers find a peer by its identity, so they may reach the other one.
        self.not_cloned()?;
        self.check_acks(submission)?;
        if !forwarded {
            self.note_use(id, now);
        }
        match self.place_of(id, now) {
            Place::Here(_) => {}
            Place::Elsewhere if forwarded => return Err(Self::not_here(&submission.path)),
            Place::Elsewhere => return Ok(false),
            Place::Nowhere => {
                self.definition_for(&submission.path)?;
                if let Some(condition @ (Condition::Present | Condition::Version(_))) =
                    submission.condition
                {
                    return Err(unmet(&submission.writes[0].key, condition, None));
                }
                let expires = |write: &&Write| matches!(write.change, Change::Expire(_));
                if let Some(Write { key, .. }) = submission.writes.iter().find(expires) {
                    return Err(unmet(key, Condition::Present, None));
                }
                if !forwarded && self.creator(id, &submission.path) != self.config.peer {
                    return Ok(false);
                }
                let created = self.create(id, &submission.path, now);
                self.fatal(created)?;
            }
            Place::Unknown => return Err(Error::not_in_step(submission.path.as_str())),
        }
        if let Some(offset_ms) = self.clock_off() {
            return Err(Error::ClockSkew { offset_ms, bound_ms: self.config.max_clock_skew });
        }
        Ok(true)
    }

    pub(super) fn not_here(path: &Path) -> Error {
        Error::Unavailable {
            path: path.to_string(),
            why: "the asked peer holds no complete copy".into(),
        }
    }

    fn definition_for(&self, path: &Path) -> Result<(), Error> {
        self.open(path).map(|_| ())
    }

    pub(super) fn push_staged(&mut self, staged: StagedWrites, now: Now) {
        for (id, intervals) in staged {
            let Some(target) = self.target(id) else { continue };
            for Staged { interval, records, durability, .. } in intervals {
                let Some(records) = records else { continue };
                self.push(target, interval, records.into_values().collect(), durability, now);
            }
        }
    }

    pub(super) fn durability_of(&self, id: DatabaseId, asked: Option<Durability>) -> Durability {
        let defined = || self.held.get(&id).and_then(|held| held.definition.as_ref());
        asked.unwrap_or_else(|| defined().map_or(Durability::Buffered, |d| d.durability))
    }

    /// Stages the row of the peer itself.
    pub(super) fn stage_own(&mut self, work: &mut Work, reserved: Option<Time>) {
        let incarnation = self.membership.identity().incarnation;
        let reserved = reserved.unwrap_or(self.clock.reservation());
        let cluster = self.fingerprint.short(b"cluster");
        let own = OwnRow { cluster, incarnation, epoch: self.epoch, reserved };
        work.transaction.put(Space::Meta, rows::peer_key("own"), wire::encode(&own));
    }

    pub(super) fn stage_writes(
        &mut self,
        work: &mut Work,
        staged: &mut StagedWrites,
        id: DatabaseId,
        submission: &Submission,
        now: Now,
    ) -> Result<Result<Vec<Written>, Refused>, StoreError> {
        let refused = |error| Ok(Err(Refused::Error(error)));
        let durability = self.durability_of(id, submission.durability);
        let wanted = self.wants_changes(id);
        let intervals = staged.entry(id).or_default();
        // Who is there to send to does not change before the commit.
        let sent = match intervals.last() {
            Some(last) => last.records.is_some(),
            None => !self.receivers(id).0.is_empty(),
        };
        let Some(held) = self.held.get_mut(&id) else {
            return refused(Error::Internal("a copy vanished under a write".into()));
        };
        let Held { replica, definition, .. } = &mut **held;
        work.touched.insert(id);
        let before = replica.state.counts.bytes;
        let first = replica.state.progress.vector.get(self.epoch);
        let weight: usize =
            submission.writes.iter().map(|w| w.key.len() + w.change.len() + 24).sum();
        if intervals.last().is_none_or(|last| last.bytes + weight > INTERVAL_BYTES) {
            let interval = Interval { epoch: self.epoch, from: first, upto: first };
            let records = sent.then(BTreeMap::new);
            intervals.push(Staged { interval, records, bytes: 0, durability });
        }
        let Some(into) = intervals.last_mut() else {
            return refused(Error::Internal("an interval vanished under a write".into()));
        };
        into.bytes += weight;
        into.durability = into.durability.max(durability);
        let mut written = Vec::with_capacity(submission.writes.len());
        // What is taken away makes no room for what is added: another holder may take away the same.
        let mut grown = 0;
        for write in &submission.writes {
            let was = replica.state.counts.bytes;
            let mut author = Author {
                epoch: self.epoch,
                clock: &mut self.clock,
                wall: now.wall,
                fingerprint: &self.fingerprint,
            };
            let (transaction, store) = (&mut work.transaction, &self.store);
            let one = |record: Option<Record>| record.map(|record| (write.key.clone(), record));
            let (records, value) = match &write.change {
                Change::Set(payload) => {
                    let payload = payload.clone();
                    let key = &write.key;
                    let record = replica.write(transaction, store, &mut author, key, payload)?;
                    (Vec::from_iter(one(record)), None)
                }
                Change::Expire(expires) => {
                    let key = &write.key;
                    let record = replica.expire(transaction, store, &mut author, key, *expires)?;
                    if record.is_none() {
                        return refused(unmet(key, Condition::Present, None));
                    }
                    (Vec::from_iter(one(record)), None)
                }
                Change::Add(by) => {
                    let ttl = definition.as_ref().and_then(|definition| definition.ttl);
                    let by = (*by, ttl.map(|ttl| now.wall.saturating_add(ttl)));
                    match replica.add(transaction, store, &mut author, &write.key, by)? {
                        Ok(Added { records, value }) => (records, Some(value)),
                        Err(Some(why)) => {
                            return refused(Error::NotACounter { key: shown(&write.key), why });
                        }
                        Err(None) => (Vec::new(), None),
                    }
                }
            };
            let Some((_, last)) = records.last() else {
                return refused(Error::BadArgument(alloc::format!(
                    "the key is stamped at the end of time ({} ms), which only a faulty peer does; nothing can overwrite it",
                    TIME_CEILING.millis()
                )));
            };
            grown += replica.state.counts.bytes.saturating_sub(was);
            into.interval.upto = last.sequence;
            written.push(Written { version: last.version(), value });
            for (key, record) in records {
                if let Some(sent) = &mut into.records {
                    sent.insert(key.clone(), Sent::new(&key, &record));
                }
                work.tell(id, wanted, &key, &record, Applied::Won);
            }
        }
        let used = replica.state.counts.bytes;
        if let Some(limit) = definition.as_ref().and_then(|definition| definition.size)
            && grown > 0
        {
            if used > limit && used > before {
                return refused(Error::NoSpace { used: before, limit, need: used - before });
            }
            let with_it = work.grown.get(&id).copied().unwrap_or(0) + grown;
            if !self.has_share(id, with_it) {
                return Ok(Err(Refused::Share(grown)));
            }
            work.grown.insert(id, with_it);
        }
        Ok(Ok(written))
    }

    /// Writes of the node itself to system databases: directory and definitions.
    pub(super) fn write_system(
        &mut self,
        writes: Vec<(DatabaseId, Write)>,
        now: Now,
    ) -> Result<(), StoreError> {
        let result = self.stage_system(writes, now);
        self.fatal(result)
    }

    fn stage_system(
        &mut self,
        writes: Vec<(DatabaseId, Write)>,
        now: Now,
    ) -> Result<(), StoreError> {
        let mut by_database = BTreeMap::<DatabaseId, Vec<Write>>::new();
        for (id, write) in writes {
            by_database.entry(id).or_default().push(write);
        }
        let mut work = Work::default();
        let mut staged = StagedWrites::new();
        for (id, writes) in by_database {
            let Some(held) = self.held.get(&id) else { continue };
            let Ok(path) = Path::any(&held.replica.path) else { continue };
            let submission =
                Submission { path, writes, durability: None, acks: 1, timeout: 0, condition: None };
            if self.stage_writes(&mut work, &mut staged, id, &submission, now)?.is_err() {
                // A forged row at the end of time cannot be overwritten: what the peer wanted to say
                // of it stays unsaid, and nothing else suffers.
                self.count("system_writes_refused", 1);
                return self.roll_back(work);
            }
        }
        self.commit_own(work, now)?;
        self.push_staged(staged, now);
        Ok(())
    }

    /// Asks a holder of a database that is not here for something. Answers by [`Output::Done`].
    pub fn request(&mut self, path: &Path, operation: Operation, timeout: Millis, now: Now) -> u64 {
        let token = self.token();
        self.forward(ReplyTo::Token(token), path.clone(), operation, timeout, now);
        self.finish(Ok(()), now);
        token
    }

    pub(super) fn reply(&mut self, to: ReplyTo, result: Result<Reply, Error>) {
        match to {
            ReplyTo::Token(token) => self.outputs.push_back(Output::Done(token, result)),
            ReplyTo::Peer(peer, request) => {
                self.answered.answer(peer, request, &result);
                self.send(peer, &crate::message::Message::Response { request, result });
            }
        }
    }

    /// Live holders that are connected, the steward first.
    pub(super) fn connected_holders(&self, id: DatabaseId) -> Vec<PeerId> {
        let mut holders: Vec<PeerId> = self
            .directory
            .holders(id)
            .filter(|(peer, holder)| {
                holder.state == HolderState::Active && self.links.contains_key(peer)
            })
            .map(|(peer, _)| peer)
            .collect();
        holders.sort_by_key(|peer| self.rank_key(id, *peer));
        holders
    }
}
