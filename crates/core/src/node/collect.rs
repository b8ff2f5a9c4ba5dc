//! Collecting tombstones: a delete is forgotten once nobody can bring back what it deleted.
//!
//! A holder collects a tombstone when it is older than the grace, and every active holder, alive or
//! not, has told that it durably reflects it. A report counts once this copy reflects everything that
//! it names: what that holder wrote before is here then, and what it writes later is stamped above.
//! Collecting raises the floor. That is an optimisation: what keeps the dead from rising is that
//! whoever does not reflect the floor is compared with key by key, see `compare`.
//!
//! The tombstone of a counter waits for the counter's sums: should the key be counted again after it is
//! forgotten, they would count. Sums that belong to the past for everybody, by what the key says and all
//! active holders durably reflect, are deleted by the steward like anything else.
//!
//! A holder that never comes back must not stop this for ever: after a while its steward writes it
//! `gone`, which only ends counting. Should it come back, it joins again with its rows.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::rounds::turn;
use super::work::Work;
use super::{MILLISECOND, NEVER, Node, SECOND};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::interval::{Interval, Intervals};
use crate::message::{Message, Target};
use crate::planted::{Planted, planted};
use crate::record::{Payload, Record};
use crate::replica::{Replica, decode_record};
use crate::rows;
use crate::stamp::{Millis, Time};
use crate::status::HolderState;
use crate::store::{Rows, Space, Store, StoreError, prefix_rows};
use crate::vector::{Vector, is_within_bounds, reflects_all};

/// Most copies whose tombstones are collected at a time.
const COLLECTIONS_MAX: usize = 16;
/// Most copies looked at in one second.
const LOOKS_MAX: usize = 4_096;
/// Rows read in one step, and the pause between two steps.
const STEP_ROWS: usize = 512;
const STEP_EVERY: u64 = 20 * MILLISECOND;
/// How long the other holders' reports are waited for.
const REPORT_PATIENCE: u64 = 20 * SECOND;
/// Longest pause after a look that found something in the way.
const RETRY_MAX: u64 = 60 * SECOND;

/// A copy whose tombstones are being collected.
struct Collection {
    asked: u64,
    deadline: u64,
    /// The other active holders.
    others: BTreeSet<PeerId>,
    /// What they durably reflect.
    reports: BTreeMap<PeerId, (Vector, Intervals)>,
    /// What is still to be read, once all have reported.
    rows: Option<Rows>,
    /// The oldest tombstone that stays, by its stamp.
    oldest: Option<Millis>,
    /// Whether the copy has sums of counters.
    counts: bool,
}

/// Copies with tombstones.
#[derive(Default)]
pub(super) struct Collects {
    /// When each of them is looked at next, in monotonic microseconds.
    due: BTreeMap<DatabaseId, u64>,
    looked_at: Option<DatabaseId>,
    under_way: BTreeMap<DatabaseId, Box<Collection>>,
    questions: u64,
}

impl Collects {
    /// Notes whether a copy has tombstones, after each change; `at`: when the first of them may be
    /// collected.
    pub(super) fn note(&mut self, replica: &Replica, at: u64) {
        if replica.state.counts.tombstones > 0 {
            self.due.entry(replica.id).or_insert(at);
        } else if !self.due.is_empty() {
            self.due.remove(&replica.id);
        }
    }

    /// Begins anew at a later time.
    pub(super) fn postpone(&mut self, id: DatabaseId, at: u64) {
        self.under_way.remove(&id);
        if let Some(due) = self.due.get_mut(&id) {
            *due = at.max(*due);
        }
    }

    /// A copy is gone.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.due.remove(&id);
        self.under_way.remove(&id);
    }
}

/// What is in the way of collecting tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// This copy is not complete and active, or has a gap.
    Here,
    /// An active holder is not alive or not connected.
    Away(PeerId),
    /// A live peer is filling its copy.
    Joining(PeerId),
    /// A holder is giving its copy back.
    Leaving(PeerId),
}

impl core::fmt::Display for Hindrance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Here => f.write_str("this copy is not complete"),
            Self::Away(peer) => write!(f, "{peer} holds a copy and is away"),
            Self::Joining(peer) => write!(f, "{peer} is joining"),
            Self::Leaving(peer) => write!(f, "{peer} is leaving"),
        }
    }
}

impl<S: Store> Node<S> {
    /// How long a tombstone is kept at least, in microseconds.
    fn grace(&self) -> u64 {
        self.config.tombstone_grace.saturating_mul(MILLISECOND)
    }

    /// In monotonic microseconds: when a tombstone that is new now may be collected.
    pub(super) fn grace_from(&self, now: Now) -> u64 {
        now.monotonic.saturating_add(self.grace())
    }

    /// The other active holders, all of which have to reflect a tombstone; or what is in the way.
    pub(super) fn collects_with(&self, id: DatabaseId) -> Result<BTreeSet<PeerId>, Hindrance> {
        let own = self.config.peer;
        let held = self.held.get(&id).filter(|held| held.role == HolderState::Active);
        if !held.is_some_and(|held| held.replica.state.progress.is_whole()) {
            return Err(Hindrance::Here);
        }
        let mut others = BTreeSet::new();
        for (peer, holder) in self.directory.holders(id).filter(|(peer, _)| *peer != own) {
            let connected = self.links.contains_key(&peer);
            match holder.state {
                HolderState::Active if self.is_live(peer) && connected => {
                    others.insert(peer);
                }
                HolderState::Active if planted(Planted::CollectedWithoutTheAway) => {}
                HolderState::Active => return Err(Hindrance::Away(peer)),
                // One that is away joins by a compare when it comes back.
                HolderState::Joining if self.is_live(peer) => {
                    return Err(Hindrance::Joining(peer));
                }
                HolderState::Leaving => return Err(Hindrance::Leaving(peer)),
                HolderState::Joining | HolderState::Gone => {}
            }
        }
        Ok(others)
    }

    /// Every second: begins collections that are due, gives up those that wait too long.
    pub(super) fn collect_tick(&mut self, now: Now) {
        let late = |collection: &Collection| {
            collection.rows.is_none() && collection.deadline <= now.monotonic
        };
        let late: Vec<DatabaseId> = {
            let under_way = self.collects.under_way.iter();
            under_way.filter(|(_, collection)| late(collection)).map(|(id, _)| *id).collect()
        };
        for id in late {
            self.put_off(id, now);
        }
        if !self.is_in_step(now) {
            return;
        }
        let Collects { due, looked_at, .. } = &mut self.collects;
        for id in turn(looked_at, LOOKS_MAX, |ring| due.range(ring).map(|(id, _)| *id)) {
            if self.collects.under_way.len() >= COLLECTIONS_MAX {
                break;
            }
            let is_due = self.collects.due.get(&id).is_some_and(|at| *at <= now.monotonic);
            if !is_due || self.collects.under_way.contains_key(&id) || self.directory.is_system(id)
            {
                continue;
            }
            let (Ok(others), Some(target)) = (self.collects_with(id), self.target(id)) else {
                self.put_off(id, now);
                continue;
            };
            let asked = self.next_question();
            let deadline = now.monotonic + REPORT_PATIENCE;
            for peer in &others {
                self.send(*peer, &Message::AskDurable { target, asked });
            }
            let (reports, rows, oldest, counts) = Default::default();
            let collection = Collection { asked, deadline, others, reports, rows, oldest, counts };
            self.collects.under_way.insert(id, Box::new(collection));
            self.count("collections_begun", 1);
        }
        if !self.collects.under_way.is_empty() {
            self.timers.collect = self.timers.collect.min(now.monotonic + STEP_EVERY);
        }
    }

    /// Something is in the way of a collection: it begins anew later.
    fn put_off(&mut self, id: DatabaseId, now: Now) {
        self.collects.under_way.remove(&id);
        let pause = self.grace().clamp(SECOND, RETRY_MAX);
        if let Some(due) = self.collects.due.get_mut(&id) {
            *due = now.monotonic + pause;
        }
    }

    /// A number for a question what others durably reflect.
    pub(super) fn next_question(&mut self) -> u64 {
        self.collects.questions += 1;
        self.collects.questions
    }

    /// A holder asks what this copy durably reflects.
    pub(super) fn durable_asked(&mut self, peer: PeerId, target: Target, asked: u64) {
        if !self.is_ours(target) {
            return;
        }
        let Some(held) = self.held.get(&target.database) else { return };
        if held.role != HolderState::Active {
            return;
        }
        let progress = &held.replica.state.progress;
        let (vector, lost) = (progress.vector.clone(), progress.lost().iter().collect());
        self.send_synced(alloc::vec![(peer, Message::TellDurable { target, asked, vector, lost })]);
    }

    /// A holder tells what it durably reflects.
    pub(super) fn durable_told(
        &mut self,
        peer: PeerId,
        target: Target,
        asked: u64,
        (vector, lost): (Vector, &[Interval]),
    ) {
        if !is_within_bounds(&vector, lost.len()) {
            self.misbehaved(peer, "a report of more epochs or intervals than allowed");
            return;
        }
        let lost = lost.iter().copied().collect();
        self.keeper_told(peer, target, asked, (&vector, &lost));
        let ours = self.target(target.database) == Some(target);
        if let Some(collection) = self.collects.under_way.get_mut(&target.database)
            && ours
            && collection.asked == asked
            && collection.others.contains(&peer)
        {
            collection.reports.insert(peer, (vector, lost));
        }
    }

    /// Reads some rows of the copies whose holders have all reported.
    pub(super) fn collect_step(&mut self, now: Now) -> Result<(), StoreError> {
        for id in self.collects.under_way.keys().copied().collect::<Vec<_>>() {
            let Some(mut collection) = self.collects.under_way.remove(&id) else { continue };
            if self.collects_with(id).as_ref() != Ok(&collection.others) {
                self.put_off(id, now);
                continue;
            }
            if self.is_reported(id, &collection) && self.collect_some(id, &mut collection, now)? {
                self.collected(id, &collection, now);
            } else {
                self.collects.under_way.insert(id, collection);
            }
        }
        let idle = self.collects.under_way.is_empty();
        self.timers.collect = if idle { NEVER } else { now.monotonic + STEP_EVERY };
        Ok(())
    }

    /// Whether every other holder has reported, and what is named by the reports is here.
    fn is_reported(&self, id: DatabaseId, collection: &Collection) -> bool {
        let Some(held) = self.held.get(&id) else { return false };
        if collection.rows.is_some() || planted(Planted::CollectedUnasked) {
            return true;
        }
        let progress = &held.replica.state.progress;
        let is_here = |(vector, lost): &(Vector, Intervals)| {
            reflects_all((&progress.vector, progress.lost()), (vector, lost))
        };
        collection.reports.len() == collection.others.len()
            && collection.reports.values().all(is_here)
    }

    /// Collects tombstones of the next rows. True: there are no more.
    fn collect_some(
        &mut self,
        id: DatabaseId,
        collection: &mut Collection,
        now: Now,
    ) -> Result<bool, StoreError> {
        let steward = self.is_steward(id);
        let Some(held) = self.held.get_mut(&id) else { return Ok(true) };
        let prefix = held.replica.prefix;
        let store = &self.store;
        if collection.rows.is_none() {
            let sums = rows::data_key(prefix, &rows::SUMS_PREFIX);
            collection.counts = prefix_rows(store, Space::Data, &sums).next().is_some();
        }
        let rows = collection
            .rows
            .get_or_insert_with(|| prefix_rows(store, Space::Data, &prefix.to_be_bytes()));
        let mut work = Work::default();
        let (mut collected, mut read, mut past) = (0, 0, Vec::new());
        let settled = |replica: &Replica, record: &Record| {
            let (dot, made) = (record.dot(), record.stamp().time.millis());
            let is_reflected =
                |(vector, lost): &(Vector, Intervals)| vector.covers(dot) && !lost.contains(dot);
            let old = made.saturating_add(self.config.tombstone_grace) <= now.wall;
            old && replica.covers(dot) && collection.reports.values().all(is_reflected)
        };
        for row in rows.take(STEP_ROWS) {
            let (key, bytes) = row?;
            read += 1;
            let record = decode_record(&bytes)?;
            let stored = &key[4..];
            let (made, dot) = (record.stamp().time.millis(), record.dot());
            if let (Payload::Sum(_), Some((counter, first))) =
                (record.payload(), rows::split_sum(stored))
            {
                let row = rows::data_key(prefix, counter);
                let counter =
                    store.look(Space::Data, &row, |row| row.map(decode_record).transpose())??;
                let ended = |counter: &Record| first.time <= past_of(counter);
                let counter = counter.filter(ended);
                if steward && counter.is_some_and(|counter| settled(&held.replica, &counter)) {
                    past.push((stored.to_vec(), record.stamp().time));
                }
                continue;
            }
            if record.is_live() {
                continue;
            }
            if settled(&held.replica, &record) {
                let sums = || rows::data_key(prefix, &rows::sums_prefix(stored));
                if collection.counts && prefix_rows(store, Space::Data, &sums()).next().is_some() {
                    continue;
                }
                let (transaction, fingerprint) = (&mut work.transaction, &self.fingerprint);
                let replica = &mut held.replica;
                // The row is of a snapshot, and may say something else by now.
                let done = replica.collect(transaction, store, fingerprint, stored, dot)?;
                collected += u64::from(done);
            } else if made.saturating_add(self.config.tombstone_grace) > now.wall {
                collection.oldest = collection.oldest.into_iter().chain([made]).min();
            }
        }
        if collected > 0 {
            work.touched.insert(id);
            self.commit_work(work, now)?;
            self.count("tombstones_collected", collected);
        }
        if !past.is_empty() {
            let buried = self.bury(id, &past, now)?;
            self.count("sums_ended", buried);
        }
        Ok(read < STEP_ROWS)
    }

    /// All rows were read: the next look is when the oldest tombstone that stays is old enough.
    fn collected(&mut self, id: DatabaseId, collection: &Collection, now: Now) {
        let grace = self.config.tombstone_grace;
        let Some(held) = self.held.get(&id) else { return };
        if held.replica.state.counts.tombstones == 0 {
            self.collects.due.remove(&id);
            return;
        }
        let ripe = collection.oldest.map(|made| made.saturating_add(grace));
        // A copy is not read again for every single one. Where those that stay are old enough, somebody
        // does not reflect them yet.
        let wait = ripe.map_or(RETRY_MAX, |ripe| {
            let wait = ripe.saturating_sub(now.wall).max(grace / 8).saturating_mul(MILLISECOND);
            // Not for ever where a clock is far behind: it may be set right.
            wait.clamp(SECOND, RETRY_MAX.max(self.grace()))
        });
        self.collects.due.insert(id, now.monotonic.saturating_add(wait));
    }

    /// Why the tombstones of a copy here are not collected, where something is in the way.
    pub fn why_not_collected(&self, id: DatabaseId) -> Option<String> {
        let tombstones = self.held.get(&id)?.replica.state.counts.tombstones;
        let hindrance = self.collects_with(id).err()?;
        (tombstones > 0 && !self.directory.is_system(id))
            .then(|| alloc::format!("{tombstones} tombstones are not collected yet: {hindrance}"))
    }
}

/// Up to when the sums under a key belong to the past, by what it says.
fn past_of(record: &Record) -> Time {
    match record.payload() {
        Payload::Counter { since, .. } => *since,
        payload => crate::counter::ended(record.stamp().time, payload),
    }
}
