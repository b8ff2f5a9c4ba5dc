//! Placement: who holds what, and how a copy comes into being and becomes complete.
//!
//! Preference is weighted rendezvous hashing over live members, spread over zones; the directory is
//! the truth. A database is created by a peer that uses it; the best-ranked live peers are invited
//! until there are `min` copies; a peer that uses a database it does not hold asks its steward for
//! an invitation while there are fewer than `max`.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::drain::DRAINING;
use super::push::ReplyTo;
use super::{Event, MILLISECOND, Node, SECOND};
use crate::clock::Now;
use crate::definition::Replication;
use crate::directory::{Holder, Lesson};
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::membership::Identity;
use crate::message::{Operation, Reply};
use crate::name::Path;
use crate::planted::{Planted, planted};
use crate::record::Record;
use crate::status::{Health, HolderState};
use crate::store::{Store, StoreError};

/// Pause between two looks for databases with too few copies, while anything changes.
const REVIEW_EVERY: u64 = 2 * SECOND;
/// A peer asks at most this often to be invited to one database.
const INVITATION_EVERY: u64 = 60 * SECOND;
/// Most databases whose last request for an invitation is remembered.
const INVITATIONS_MAX: usize = 10_000;

/// A joiner that takes longer than this no longer counts as a copy to be: milliseconds.
const JOIN_PATIENCE: u64 = 10 * 60 * 1_000;

/// Deferred work, done at the end of the input that caused it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The directory says something new of this peer's copy.
    Own(DatabaseId),
    /// There is room for this copy to be filled.
    Join(DatabaseId),
    /// Definitions changed.
    Redefine,
    /// A database that is watched here came into being, perhaps elsewhere.
    Watched(DatabaseId),
}

/// What is wrong with the copies of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ailment {
    /// None is alive and complete.
    Unavailable,
    /// There are fewer than `min`.
    TooFew,
    /// There are more than `max`.
    TooMany,
}

/// Placement under way.
#[derive(Debug, Default)]
pub(super) struct Placement {
    tasks: VecDeque<Task>,
    /// Since when a database has had fewer live holders than `min`, in monotonic microseconds.
    lacking: BTreeMap<DatabaseId, u64>,
    /// When this peer last asked to be invited.
    invitations: BTreeMap<DatabaseId, u64>,
    /// Databases whose holders changed since the last review.
    changed: BTreeSet<DatabaseId>,
    /// Whether something changed for all of them.
    all: bool,
    reviewed: u64,
    /// Databases that want attention, as of the last review.
    ailing: BTreeMap<DatabaseId, Ailment>,
    /// See [`Node::copies_moved`].
    moved: u64,
}

impl<S: Store> Node<S> {
    /// Takes in a row of a system database.
    pub(super) fn learn_system(
        &mut self,
        system: DatabaseId,
        stored: &[u8],
        record: &Record,
        now: Now,
    ) {
        match self.directory.learn(system, stored, record) {
            Lesson::Defined(Ok(definition)) => {
                if let Err(error) = self.registry.insert(definition) {
                    self.event(Event::BadDefinition(alloc::format!("{error}")));
                }
                self.defer(Task::Redefine);
            }
            Lesson::Defined(Err(why)) => self.event(Event::BadDefinition(why)),
            Lesson::Undefined(name) => {
                self.registry.remove(&name);
                self.defer(Task::Redefine);
            }
            Lesson::Held(id, peer) => {
                if self.is_outdated(id) {
                    self.defer(Task::Own(id));
                }
                self.sums.changed(id);
                if !self.loading && !self.is_live(peer) {
                    self.absences.went(peer, now);
                }
                self.placement.changed.insert(id);
                if peer == self.config.peer {
                    self.leaves.said(id, record.dot().epoch.is_of(peer));
                    self.defer(Task::Own(id));
                } else {
                    self.leaves.trash.doubt(id);
                }
                if !self.held.contains_key(&id) && self.watch.is_watched(id) {
                    self.defer(Task::Watched(id));
                }
                self.review_waiters();
            }
            // Without its path the copy could not be made when this peer was named its holder.
            Lesson::Known(id) => {
                if self.is_outdated(id) {
                    self.defer(Task::Own(id));
                }
                self.placement.changed.insert(id);
                if let (Some(held), Some(path)) = (self.held.get_mut(&id), self.directory.path(id))
                {
                    // One text for both.
                    held.replica.path = path.clone();
                } else if self.directory.holder(id, self.config.peer).is_some() {
                    self.defer(Task::Own(id));
                }
            }
            Lesson::Outdated => {}
            Lesson::Nonsense => self.count("system_rows_ignored", 1),
        }
    }

    pub(super) fn defer(&mut self, task: Task) {
        // Looking for it in a long queue would cost more than doing it twice.
        if self.placement.tasks.len() > 64 || !self.placement.tasks.contains(&task) {
            self.placement.tasks.push_back(task);
        }
    }

    /// Does one deferred piece of work. False: there is none.
    pub(super) fn placement_step(&mut self, now: Now) -> Result<bool, StoreError> {
        let Some(task) = self.placement.tasks.pop_front() else { return Ok(false) };
        match task {
            Task::Own(id) => self.review_own(id, now)?,
            Task::Join(id) if self.joins.waits(id) => self.start_join(id, now)?,
            Task::Join(_) => {}
            Task::Watched(id) => {
                if !self.held.contains_key(&id) {
                    self.outputs.push_back(super::Output::WatchLost(id));
                }
            }
            Task::Redefine => {
                self.review_all();
                let ids: Vec<DatabaseId> = self.held.keys().copied().collect();
                for id in ids {
                    self.redefine(id);
                }
            }
        }
        Ok(true)
    }

    /// Does what the directory says of this peer's own copy.
    fn review_own(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        if self.is_outdated(id) {
            self.remove_dropped(id, now)?;
        }
        let Some(holder) = self.directory.holder(id, self.config.peer) else { return Ok(()) };
        let held = self.held.get(&id).map(|held| held.role);
        match (holder.state, held) {
            (HolderState::Active, Some(HolderState::Active))
            | (HolderState::Gone, Some(HolderState::Gone) | None) => {}
            (HolderState::Active, Some(HolderState::Joining | HolderState::Gone))
                if !self.loading =>
            {
                // Said in an earlier life of this peer, whose rows power took: it is filled again.
                self.set_holder(id, self.config.peer, HolderState::Joining, now)?;
            }
            (HolderState::Active, Some(_)) => self.set_role(id, HolderState::Active, now),
            (HolderState::Active, None) if planted(Planted::WipedHolderStays) => {}
            (HolderState::Active, None) => {
                // The disk was lost: what is not here must not count as a copy.
                self.set_holder(id, self.config.peer, HolderState::Joining, now)?;
            }
            (HolderState::Joining, None) => {
                let Some(path) = self.directory.path(id).cloned() else { return Ok(()) };
                let replica = self.intern(id, &path)?;
                self.hold(replica, HolderState::Joining, now);
                self.redefine(id);
                if planted(Planted::JoinerNotFilled) {
                    return self.joined(id, now);
                }
                self.start_join(id, now)?;
            }
            (HolderState::Joining, Some(HolderState::Active))
                if !self.has_active_holder(id) || !self.leaves.is_own_word(id) && !self.loading =>
            {
                // Two peers created it at once, each invited the other, and both invitations won; or who
                // invited had not heard yet: a complete copy stays complete.
                self.set_holder(id, self.config.peer, HolderState::Active, now)?;
            }
            (HolderState::Joining, Some(_)) => {
                self.set_role(id, HolderState::Joining, now);
                self.start_join(id, now)?;
            }
            (HolderState::Leaving, Some(_)) => {
                self.set_role(id, HolderState::Leaving, now);
                self.leaves.interrupted(id);
            }
            // This disk says so, by this peer's own word: it has left.
            (HolderState::Gone, Some(_)) if self.loading && self.leaves.is_own_word(id) => {
                self.set_role(id, HolderState::Gone, now);
            }
            // Rows are discarded through a leave of one's own only. This is of an earlier life, or
            // somebody else's opinion, and there may be writes here that nobody else has.
            (HolderState::Gone, Some(_)) => {
                self.set_holder(id, self.config.peer, HolderState::Joining, now)?;
            }
            // The disk was lost on the way out: there is nothing to hand over.
            (HolderState::Leaving, None) => {
                self.set_holder(id, self.config.peer, HolderState::Gone, now)?;
            }
        }
        Ok(())
    }

    fn set_role(&mut self, id: DatabaseId, role: HolderState, now: Now) {
        if let Some(held) = self.held.get_mut(&id) {
            if held.role == HolderState::Active && role != HolderState::Active {
                self.placement.moved += 1;
            }
            held.role = role;
            let until = now.monotonic + self.config.trash * MILLISECOND;
            self.leaves.trash.note(id, role, until);
        }
    }

    /// The copy here is something else from now on: for this peer at once, and in the directory.
    pub(super) fn take_role(
        &mut self,
        id: DatabaseId,
        role: HolderState,
        now: Now,
    ) -> Result<(), StoreError> {
        self.set_role(id, role, now);
        self.set_holder(id, self.config.peer, role, now)
    }

    /// A copy that was complete here is not any more.
    pub(super) fn note_moved(&mut self) {
        self.placement.moved += 1;
    }

    /// Counts the copies here that stopped being complete: while it stands still, a reader that found
    /// a copy complete finds it so again.
    pub fn copies_moved(&self) -> u64 {
        self.placement.moved
    }

    /// Whether the directory names anyone with a complete copy, alive or not.
    pub(super) fn has_active_holder(&self, id: DatabaseId) -> bool {
        self.directory.holders(id).any(|(_, holder)| holder.state.is_complete())
    }

    pub(super) fn set_holder(
        &mut self,
        id: DatabaseId,
        peer: PeerId,
        state: HolderState,
        now: Now,
    ) -> Result<(), StoreError> {
        let write = self.directory.holder_write(id, peer, state, now.wall);
        self.write_system(write.into_iter().collect(), now)
    }

    /// Live peers that are not draining, this one included, best first for a database.
    pub(super) fn ranked(&self, id: DatabaseId) -> Vec<PeerId> {
        let own = self.membership.identity();
        let members = || self.members.values().chain([own]);
        let scored = |member: &'_ Identity| score(id, member.peer, member.weight);
        let mut live: Vec<(Reverse<u64>, PeerId, &str)> = members()
            .filter(|member| member.weight != DRAINING)
            .map(|member| (scored(member), member.peer, member.zone.as_str()))
            .collect();
        live.sort_unstable();
        live.dedup_by_key(|(_, peer, _)| *peer);
        spread(&live)
    }

    /// Sorts holders of a database: the least is its steward.
    pub(super) fn rank_key(&self, id: DatabaseId, peer: PeerId) -> (Reverse<u64>, PeerId) {
        let own = self.membership.identity();
        let member = if peer == own.peer { Some(own) } else { self.members.get(&peer) };
        (score(id, peer, member.map_or(100, |member| member.weight)), peer)
    }

    fn replication_of(&self, path: &str) -> Replication {
        self.definition_of(path)
            .map_or(Replication { min: 1, max: 1 }, |definition| definition.replication)
    }

    /// Who creates a database that nobody has yet when this peer writes to it.
    pub(super) fn creator(&self, id: DatabaseId, path: &Path) -> PeerId {
        let Replication { min, max } = self.replication_of(path.as_str());
        let ranked = self.ranked(id);
        let preferred = ranked.iter().take(min as usize).any(|peer| *peer == self.config.peer);
        if preferred || (min < max && !self.drain.on) {
            return self.config.peer;
        }
        let connected = |peer: &&PeerId| self.links.contains_key(*peer);
        ranked.iter().find(connected).copied().unwrap_or(self.config.peer)
    }

    /// Creates a database: an empty copy here, and invitations up to `min`.
    pub(super) fn create(
        &mut self,
        id: DatabaseId,
        path: &Path,
        now: Now,
    ) -> Result<(), StoreError> {
        if !self.held.contains_key(&id) {
            let replica = self.intern(id, path.as_str())?;
            self.hold(replica, HolderState::Active, now);
            self.redefine(id);
            self.check_issued(id)?;
        }
        let min = self.replication_of(path.as_str()).min as usize;
        let own = self.config.peer;
        let mut writes = Vec::new();
        writes.extend(self.directory.database_write(id, path.as_str()));
        for peer in self.ranked(id).into_iter().filter(|peer| *peer != own).take(min - 1) {
            writes.extend(self.directory.holder_write(id, peer, HolderState::Joining, now.wall));
        }
        // Last: where two peers create one path at once and invite each other, the one with the
        // greater stamp stays active everywhere.
        writes.extend(self.directory.holder_write(id, own, HolderState::Active, now.wall));
        self.count("databases_created", 1);
        self.write_system(writes, now)
    }

    /// A peer came or went.
    pub(super) fn member_changed(&mut self, peer: PeerId, up: bool, now: Now) {
        if up {
            self.absences.came(peer);
        } else {
            self.absences.went(peer, now);
        }
        self.leaves.peer_changed(peer, up, now);
        self.review_all();
    }

    /// All databases are to be looked at again, for too few and too many copies.
    pub(super) fn review_all(&mut self) {
        self.placement.all = true;
    }

    /// Every second: joins that found nobody, waits that are over, databases with too few copies.
    pub(super) fn placement_tick(&mut self, now: Now) -> Result<(), StoreError> {
        self.resume_joins(now)?;
        if self.placement.reviewed + REVIEW_EVERY <= now.monotonic {
            self.placement.reviewed = now.monotonic;
            self.review_copies(now)?;
        }
        Ok(())
    }

    /// Looks at the databases whose holders changed, and at those that have too few or too many.
    fn review_copies(&mut self, now: Now) -> Result<(), StoreError> {
        let changed = core::mem::take(&mut self.placement.changed);
        let ids: BTreeSet<DatabaseId> = if core::mem::take(&mut self.placement.all) {
            self.directory.databases().collect()
        } else {
            let lacking = self.placement.lacking.keys().copied();
            changed.into_iter().chain(lacking).chain(self.leaves.crowded()).collect()
        };
        let mut writes = Vec::new();
        for id in ids {
            self.review_database(id, &mut writes, now);
        }
        if writes.is_empty() { Ok(()) } else { self.write_system(writes, now) }
    }

    /// Invites holders to a database that has too few, where this peer is its steward; notes whether
    /// it has too many.
    fn review_database(
        &mut self,
        id: DatabaseId,
        writes: &mut Vec<(DatabaseId, crate::message::Write)>,
        now: Now,
    ) {
        let own = self.config.peer;
        let since = self.placement.lacking.remove(&id).unwrap_or(now.monotonic);
        self.placement.ailing.remove(&id);
        let Some(path) = self.directory.path(id).cloned() else { return };
        let active: Vec<PeerId> = self.active_holders(id).collect();
        let steward = active.iter().min_by_key(|peer| self.rank_key(id, **peer)) == Some(&own);
        if steward && !self.expire_holders(id, writes, now) {
            self.placement.changed.insert(id);
        }
        let replication = self.definition_of(&path).map(|definition| definition.replication);
        let max = replication.map_or(usize::MAX, |replication| replication.max as usize);
        let staying = active.iter().filter(|peer| !self.is_draining(**peer)).count();
        self.leaves.note(id, active.contains(&own) && staying > max, now);
        let bounds = replication.map(|replication| (replication.min as usize, max));
        let ailment = match bounds {
            _ if active.is_empty() && self.directory.is_known(id) => Some(Ailment::Unavailable),
            Some((min, _)) if steward && staying < min => Some(Ailment::TooFew),
            Some((_, max)) if steward && active.len() > max => Some(Ailment::TooMany),
            _ => None,
        };
        self.placement.ailing.extend(ailment.map(|ailment| (id, ailment)));
        // Of what has no definition any more, one copy must stay.
        let min = match replication {
            Some(Replication { min, .. }) => min,
            None if active.iter().any(|peer| self.is_draining(*peer)) => 1,
            None => return,
        };
        if staying >= min as usize || !steward {
            return;
        }
        let min = min as usize;
        // While somebody joins nothing may change, and yet the joiner may take too long.
        self.placement.changed.insert(id);
        // A joiner counts only while it may still be filling its copy.
        let kept = |holder: &Holder| match holder.state {
            HolderState::Active => true,
            HolderState::Joining => now.wall.saturating_sub(holder.since) < JOIN_PATIENCE,
            HolderState::Leaving | HolderState::Gone => false,
        };
        let holders: Vec<PeerId> = self
            .directory
            .holders(id)
            .filter(|(peer, holder)| kept(holder) && !self.is_draining(*peer))
            .map(|(peer, _)| peer)
            .collect();
        let live = holders.iter().filter(|peer| self.is_live(**peer)).count();
        if live >= min {
            return;
        }
        // Who is only away may come back; who was never there is invited at once.
        self.placement.lacking.insert(id, since);
        let patience = self.config.replacement_delay * MILLISECOND;
        let lost = since + patience <= now.monotonic && !planted(Planted::NeverReplaced);
        let wanted = if lost { min - live } else { min.saturating_sub(holders.len()) };
        let candidates = self.ranked(id).into_iter().filter(|peer| !holders.contains(peer));
        for peer in candidates.take(wanted) {
            let joining = HolderState::Joining;
            writes.extend(self.directory.holder_write(id, peer, joining, now.wall));
        }
    }

    /// Databases that want attention.
    pub(super) fn health(&self) -> Health {
        let mut health = Health { behind: self.losses.behind(), ..Health::default() };
        for ailment in self.placement.ailing.values() {
            match ailment {
                Ailment::Unavailable => health.unavailable += 1,
                Ailment::TooFew => health.under_replicated += 1,
                Ailment::TooMany => health.over_replicated += 1,
            }
        }
        health
    }

    /// The live, active holders of a database, this peer included.
    pub(super) fn active_holders(&self, id: DatabaseId) -> impl Iterator<Item = PeerId> {
        let counts = |(peer, holder): &(PeerId, Holder)| {
            holder.state == HolderState::Active && self.is_live(*peer)
        };
        self.directory.holders(id).filter(counts).map(|(peer, _)| peer)
    }

    pub(super) fn is_live(&self, peer: PeerId) -> bool {
        peer == self.config.peer || self.members.contains_key(&peer)
    }

    /// Asks the steward of a used database to be invited, while there are fewer than `max` copies.
    pub(super) fn ask_invitation(&mut self, id: DatabaseId, path: &Path, now: Now) {
        let max = self.replication_of(path.as_str()).max as usize;
        let copies =
            self.directory.holders(id).filter(|(_, h)| h.state != HolderState::Gone).count();
        let last = self.placement.invitations.get(&id);
        if copies >= max
            || self.drain.on
            || self.directory.holder(id, self.config.peer).is_some()
            || last.is_some_and(|at| at + INVITATION_EVERY > now.monotonic)
        {
            return;
        }
        if self.placement.invitations.len() >= INVITATIONS_MAX {
            self.placement.invitations.pop_first();
        }
        self.placement.invitations.insert(id, now.monotonic);
        let timeout = INVITATION_EVERY / MILLISECOND;
        self.forward(ReplyTo::Token(0), path.clone(), Operation::Invite, timeout, now);
    }

    /// A peer that uses a database asks to hold it.
    pub(super) fn invite(
        &mut self,
        id: DatabaseId,
        path: &Path,
        peer: PeerId,
        now: Now,
    ) -> Result<Reply, Error> {
        let max = self.replication_of(path.as_str()).max as usize;
        let copies =
            self.directory.holders(id).filter(|(_, h)| h.state != HolderState::Gone).count();
        let known = self.directory.holder(id, peer).is_some_and(|h| h.state != HolderState::Gone);
        if !known && copies < max && !self.is_draining(peer) {
            self.set_holder(id, peer, HolderState::Joining, now)?;
        }
        Ok(Reply::Done)
    }
}

/// The weighted rendezvous score of a peer for a database, greatest first.
///
/// Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998), weighted as
/// −w / ln h: a peer of twice the weight is preferred for twice as many databases.
fn score(id: DatabaseId, peer: PeerId, weight: u32) -> Reverse<u64> {
    let mut bytes = id.0.to_vec();
    bytes.extend_from_slice(&peer.0);
    let hash = blake3::hash(&bytes);
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    // 53 bits, moved off 0 and 1.
    let uniform = ((u64::from_le_bytes(word) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let score = -f64::from(weight.max(1)) / libm::log(uniform);
    Reverse(score.to_bits())
}

/// Keeps the order, but takes a peer of a zone that was not taken yet before one that was.
fn spread(live: &[(Reverse<u64>, PeerId, &str)]) -> Vec<PeerId> {
    let mut taken = BTreeMap::<&str, usize>::new();
    let mut rounds: Vec<(usize, usize, PeerId)> = Vec::new();
    for (order, (_, peer, zone)) in live.iter().enumerate() {
        let round = if zone.is_empty() { 0 } else { *taken.get(zone).unwrap_or(&0) };
        if !zone.is_empty() {
            *taken.entry(zone).or_default() += 1;
        }
        rounds.push((round, order, *peer));
    }
    rounds.sort_unstable();
    rounds.into_iter().map(|(_, _, peer)| peer).collect()
}
