//! Leaving: how a copy too many is given back, without ever falling below `min`.
//!
//! The lowest-ranked holder of a database with more than `max` live copies, or with a successor (see
//! [`super::rebalance`]), says that it is *leaving*,
//! and takes no more writes, from its users and soon from others. It is *gone* once all live keepers,
//! still `max` or more, have told it that they durably reflect everything it does, and see it leaving.
//! Nobody begins to leave a database that its directory shows somebody live leaving, which survives a
//! restart, and keepers count only while they are active: so one that leaves next must find `max`
//! keepers of its own. Whatever goes wrong, the copy is active again. The rows of a copy that is gone
//! stay for a while, and are then removed a few at a time.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::trash::Trash;
use super::{Event, MILLISECOND, Node, SECOND};
use crate::clock::Now;
use crate::directory::Holder;
use crate::ident::{DatabaseId, PeerId};
use crate::interval::{Interval, Intervals};
use crate::message::{Message, Target};
use crate::planted::{Planted, planted};
use crate::rows::Prefix;
use crate::status::HolderState;
use crate::store::{Store, StoreError};
use crate::vector::{Progress, Vector, reflects_all};

/// Most copies that a peer gives back at a time: leaving must not crowd out writing.
const LEAVES_MAX: usize = 16;
/// The same for one that is draining, which has nothing else to do.
const DRAINS_MAX: usize = 256;
/// A copy that could not leave within this time is active again.
const LEAVE_PATIENCE: u64 = 20 * SECOND;
/// How long a peer that is down still counts as one of the cluster: who sees half of those or fewer
/// may be on the small side of a cut.
const RECENT: u64 = 3_600 * SECOND;

/// A copy on its way out.
#[derive(Debug)]
struct Leave {
    deadline: u64,
    /// Which question is asked.
    asked: u64,
    /// What the copy reflected when it was.
    vector: Vector,
    lost: Intervals,
    /// Who answered that it stays.
    stay: BTreeSet<PeerId>,
}

impl Leave {
    /// Whether the copy still reflects what the question said.
    fn is_about(&self, progress: &Progress) -> bool {
        self.vector == progress.vector && self.lost == *progress.lost()
    }
}

/// Copies on their way out, and those that are gone.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    under_way: BTreeMap<DatabaseId, Leave>,
    /// Since when a database held here has more live copies than `max`, in monotonic microseconds.
    crowded: BTreeMap<DatabaseId, u64>,
    /// Copies that are gone, whose rows are here.
    pub(super) trash: Trash,
    /// Copies of which another peer said last what they are.
    others_word: BTreeSet<DatabaseId>,
    /// Copies that were leaving when this peer stopped.
    interrupted: BTreeSet<DatabaseId>,
    /// Local numbers of databases whose rows are still to be removed.
    pub(super) unlinked: BTreeSet<Prefix>,
    /// What was written to copies that are unlinked, under the live epoch: in which generation, and
    /// their last sequences.
    issued: BTreeMap<DatabaseId, (u64, u64)>,
    /// Peers that are down, and since when.
    away: BTreeMap<PeerId, u64>,
    /// Peers that came or went lately, and when.
    changed: BTreeMap<PeerId, u64>,
    questions: u64,
}

impl Leaves {
    /// Databases to look at again although nothing changed.
    pub(super) fn crowded(&self) -> impl Iterator<Item = DatabaseId> {
        self.crowded.keys().copied()
    }

    /// Notes whether a database held here has more live copies than it may.
    pub(super) fn note(&mut self, id: DatabaseId, crowded: bool, now: Now) {
        if crowded {
            self.crowded.entry(id).or_insert(now.monotonic);
        } else if !self.crowded.is_empty() {
            self.crowded.remove(&id);
        }
    }

    /// A peer came or went.
    pub(super) fn peer_changed(&mut self, peer: PeerId, up: bool, now: Now) {
        self.changed.insert(peer, now.monotonic);
        if up {
            self.away.remove(&peer);
        } else {
            self.away.insert(peer, now.monotonic);
        }
    }

    /// Whether a peer came or went within this many microseconds, of those that are remembered.
    pub(super) fn has_changed(&self, peer: PeerId, within: u64, now: Now) -> bool {
        self.changed.get(&peer).is_some_and(|at| at.saturating_add(within) > now.monotonic)
    }

    /// A peer went that had handed over everything, to go for good.
    pub(super) fn retired(&mut self, peer: PeerId) {
        self.away.remove(&peer);
    }

    /// The directory says that this peer is leaving: unless it is, it was interrupted.
    pub(super) fn interrupted(&mut self, id: DatabaseId) {
        if !self.under_way.contains_key(&id) {
            self.interrupted.insert(id);
        }
    }

    /// A copy of a generation is unlinked, to which so much was written under the live epoch.
    pub(super) fn note_issued(&mut self, id: DatabaseId, generation: u64, upto: u64) {
        if upto > 0 {
            let known = self.issued.entry(id).or_default();
            *known = (generation, upto).max(*known);
        }
    }

    /// The last sequence given to a database under the live epoch, by an unlinked copy of this generation.
    pub(super) fn issued(&self, id: DatabaseId, generation: u64) -> u64 {
        self.issued.get(&id).filter(|(of, _)| *of == generation).map_or(0, |(_, upto)| *upto)
    }

    /// The last sequence given to a database under the live epoch, in a lower generation.
    pub(super) fn issued_before(&self, id: DatabaseId, generation: u64) -> u64 {
        self.issued.get(&id).filter(|(of, _)| *of < generation).map_or(0, |(_, upto)| *upto)
    }

    /// A database was dropped: there is nothing to leave.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.under_way.remove(&id);
        self.crowded.remove(&id);
        self.trash.forget(id);
        self.others_word.remove(&id);
        self.interrupted.remove(&id);
    }

    /// Notes who wrote what the directory says of this peer's copy.
    pub(super) fn said(&mut self, id: DatabaseId, by_itself: bool) {
        if by_itself {
            self.others_word.remove(&id);
        } else {
            self.others_word.insert(id);
        }
    }

    /// Whether this peer itself said last what its copy is.
    pub(super) fn is_own_word(&self, id: DatabaseId) -> bool {
        !self.others_word.contains(&id)
    }

    /// There is a new live epoch, under which nothing was written.
    pub(super) fn forget_issued(&mut self) {
        self.issued.clear();
    }
}

impl<S: Store> Node<S> {
    /// Every second: begins, continues and gives up leaving; removes the rows of what is gone.
    pub(super) fn leave_tick(&mut self, now: Now) -> Result<(), StoreError> {
        self.leaves.away.retain(|_, since| *since + RECENT > now.monotonic);
        let longest = self.stability_window().max(self.config.rebalance_delay * MILLISECOND);
        self.leaves.changed.retain(|_, since| since.saturating_add(longest) > now.monotonic);
        self.resume_leaving(now)?;
        self.rebalance_tick(now)?;
        self.begin_leaves(now)?;
        for id in self.leaves.under_way.keys().copied().collect::<Vec<_>>() {
            self.leave_step(id, now)?;
        }
        self.trash_tick(now)
    }

    fn begin_leaves(&mut self, now: Now) -> Result<(), StoreError> {
        if !self.is_in_step(now) || !self.is_majority() {
            return Ok(());
        }
        let (ids, most) = if self.drain.on {
            (self.next_to_drain(), DRAINS_MAX)
        } else {
            let crowded = self.long_crowded(now).into_iter();
            (crowded.chain(self.handed_over()).collect(), LEAVES_MAX)
        };
        for id in ids {
            if self.leaves.under_way.len() >= most {
                break;
            }
            if !self.leaves.under_way.contains_key(&id) && self.may_leave(id) {
                let deadline = now.monotonic + LEAVE_PATIENCE;
                let (vector, lost, stay) = Default::default();
                let leave = Leave { deadline, asked: 0, vector, lost, stay };
                self.leaves.under_way.insert(id, leave);
                self.count("leaves_begun", 1);
                self.take_role(id, HolderState::Leaving, now)?;
            }
        }
        Ok(())
    }

    /// Databases held here that have had too many copies, and the same holders, for long enough.
    fn long_crowded(&self, now: Now) -> Vec<DatabaseId> {
        let long = |since: u64| since + self.stability_window() <= now.monotonic;
        let crowded = self.leaves.crowded.iter();
        let crowded = crowded.filter(|(id, since)| long(**since) && self.is_stable(**id, now));
        crowded.map(|(id, _)| *id).collect()
    }

    /// In microseconds.
    fn stability_window(&self) -> u64 {
        self.config.stability_window * MILLISECOND
    }

    /// Whether none of a database's holders came or went for a stability window: one elsewhere that
    /// comes and goes all the time must not keep everyone from giving copies back.
    pub(super) fn is_stable(&self, id: DatabaseId, now: Now) -> bool {
        let window = self.stability_window();
        window <= now.monotonic
            && !self.directory.holders(id).any(|(peer, holder)| {
                holder.state != HolderState::Gone && self.leaves.has_changed(peer, window, now)
            })
    }

    /// Whether this peer sees more than half of the peers that were there lately.
    pub(super) fn is_majority(&self) -> bool {
        self.members.len() + 1 > self.leaves.away.len()
    }

    /// Whether this peer is the lowest-ranked of more live holders than there may be, and nobody else
    /// is leaving.
    fn may_leave(&self, id: DatabaseId) -> bool {
        let Some(held) = self.held.get(&id).filter(|held| held.role == HolderState::Active) else {
            return false;
        };
        // One that went down on its way out must not keep the others for ever.
        let leaves = |(peer, holder): (PeerId, Holder)| {
            holder.state == HolderState::Leaving && self.is_live(peer)
        };
        let others_leave = self.directory.holders(id).any(leaves);
        let keepers = self.keepers(id);
        self.enough(id).is_some_and(|enough| keepers.len() >= enough)
            && held.replica.state.progress.is_whole()
            && !others_leave
            && keepers.iter().all(|peer| self.links.contains_key(peer))
            && !self.is_awaited(id)
            && !self.pull.is_busy(id)
            && (self.drain.on
                || self
                    .ranked(id)
                    .into_iter()
                    .rfind(|peer| *peer == self.config.peer || keepers.contains(peer))
                    == Some(self.config.peer))
    }

    /// The other live, active holders that are not draining.
    pub(super) fn keepers(&self, id: DatabaseId) -> BTreeSet<PeerId> {
        let keeps = |peer: &PeerId| *peer != self.config.peer && !self.is_draining(*peer);
        self.active_holders(id).filter(keeps).collect()
    }

    /// Asks the keepers that have not answered, or gives up.
    fn leave_step(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        let keepers = self.keepers(id);
        let leaving = self.held.get(&id).is_some_and(|held| held.role == HolderState::Leaving);
        let Some(leave) = self.leaves.under_way.get(&id) else { return Ok(()) };
        let enough = self.enough(id).is_some_and(|enough| keepers.len() >= enough);
        if !leaving || !enough || leave.deadline <= now.monotonic {
            self.leaves.under_way.remove(&id);
            // Others may have reasons to leave in its place; it waits another window.
            self.leaves.crowded.remove(&id);
            return if leaving { self.stay_after_all(id, now) } else { Ok(()) };
        }
        let (Some(held), Some(target)) = (self.held.get(&id), self.target(id)) else {
            return Ok(());
        };
        let progress = &held.replica.state.progress;
        let Some(leave) = self.leaves.under_way.get_mut(&id) else { return Ok(()) };
        if leave.asked == 0 || !leave.is_about(progress) {
            self.leaves.questions += 1;
            leave.asked = self.leaves.questions;
            leave.vector = progress.vector.clone();
            leave.lost = progress.lost().clone();
            leave.stay.clear();
        }
        let lost: Vec<Interval> = progress.lost().iter().collect();
        let ask =
            Message::AskLeave { target, asked: leave.asked, vector: leave.vector.clone(), lost };
        let silent: Vec<PeerId> =
            keepers.into_iter().filter(|peer| !leave.stay.contains(peer)).collect();
        for peer in silent {
            self.send(peer, &ask);
        }
        Ok(())
    }

    /// Whether a copy is leaving, and its keepers were asked about what it reflects: nothing more is
    /// taken in, or their answers would never be about all of it.
    pub(super) fn is_handed_over(&self, id: DatabaseId) -> bool {
        let leave = self.leaves.under_way.get(&id);
        leave.is_some_and(|leave| leave.asked > 0)
            && self.held.get(&id).is_some_and(|held| held.role == HolderState::Leaving)
    }

    fn stay_after_all(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        self.count("leaves_given_up", 1);
        self.take_role(id, HolderState::Active, now)
    }

    /// Copies that were leaving when this peer stopped are active again, once it knows what happened
    /// since.
    fn resume_leaving(&mut self, now: Now) -> Result<(), StoreError> {
        if !self.is_in_step(now) || self.leaves.interrupted.is_empty() {
            return Ok(());
        }
        for id in core::mem::take(&mut self.leaves.interrupted) {
            let leaving = self.held.get(&id).is_some_and(|held| held.role == HolderState::Leaving);
            if leaving && !self.leaves.under_way.contains_key(&id) {
                self.stay_after_all(id, now)?;
            }
        }
        Ok(())
    }

    /// How many others must stay so that this copy may go; `None` where no definition says so any
    /// more, and nobody leaves who is not draining.
    fn enough(&self, id: DatabaseId) -> Option<usize> {
        if self.drain.on {
            return Some(self.fewest(id));
        }
        let definition = self.held.get(&id)?.definition.as_ref()?;
        let max = (definition.replication.max as usize).max(1);
        // Of one that another peer takes over, as many stay as there were.
        let copies = self.rebalance.copies(id).map(|copies| copies.max(self.fewest(id)));
        let copies = if planted(Planted::MovedTooEarly) { copies.map(|_| 1) } else { copies };
        Some(copies.unwrap_or(max).min(max))
    }

    /// How many copies elsewhere make this one superfluous: `min`.
    pub(super) fn fewest(&self, id: DatabaseId) -> usize {
        let definition = self.held.get(&id).and_then(|held| held.definition.as_ref());
        definition.map_or(1, |definition| (definition.replication.min as usize).max(1))
    }

    /// A holder wants to leave: it is answered once this peer durably has all that it has.
    pub(super) fn leave_asked(
        &mut self,
        peer: PeerId,
        target: Target,
        asked: u64,
        (vector, lost): (&Vector, &[Interval]),
        now: Now,
    ) {
        let id = target.database;
        if !self.keeps(peer, target) {
            return;
        }
        let Some(held) = self.held.get(&id) else { return };
        let progress = &held.replica.state.progress;
        let theirs = lost.iter().copied().collect();
        if reflects_all((&progress.vector, progress.lost()), (vector, &theirs)) {
            self.send_synced(alloc::vec![(peer, Message::Stay { target, asked })]);
        } else if !self.is_pulling(id, peer) {
            self.pull_all(id, peer, now);
        }
    }

    /// Whether this peer is an active holder of a copy that another one is leaving.
    pub(super) fn keeps(&mut self, peer: PeerId, target: Target) -> bool {
        let id = target.database;
        let own = self.held.get(&id).map(|held| held.role);
        let theirs = self.directory.holder(id, peer).map(|holder| holder.state);
        self.is_ours(target)
            && own == Some(HolderState::Active)
            && theirs == Some(HolderState::Leaving)
    }

    /// A keeper stays.
    pub(super) fn stays(
        &mut self,
        peer: PeerId,
        target: Target,
        asked: u64,
        now: Now,
    ) -> Result<(), StoreError> {
        let id = target.database;
        let keepers = self.keepers(id);
        let Some(enough) = self.enough(id) else { return Ok(()) };
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let progress = &held.replica.state.progress;
        let Some(leave) = self.leaves.under_way.get_mut(&id) else { return Ok(()) };
        // A write that arrived since is asked for again with the next tick.
        if leave.asked != asked
            || !leave.is_about(progress)
            || !progress.is_whole()
            || held.role != HolderState::Leaving
            || !keepers.contains(&peer)
        {
            return Ok(());
        }
        leave.stay.insert(peer);
        // All that live, and mostly `max` of them: whoever counted this copy of a write, as far as a
        // write may ask for, finds as many without it.
        let enough = keepers.len() >= enough && keepers.is_subset(&leave.stay);
        if !enough && !planted(Planted::OneKeeperIsEnough) {
            return Ok(());
        }
        self.leaves.under_way.remove(&id);
        self.leaves.crowded.remove(&id);
        self.take_role(id, HolderState::Gone, now)?;
        self.leaves.trash.left(id);
        self.end_watches(id);
        self.count("copies_left", 1);
        let path = self.path_of(id);
        self.event(Event::Left(path));
        Ok(())
    }

    /// I3: before a copy here is written to, it reflects everything that this peer ever wrote to the
    /// database under its live epoch, or the peer goes on under another one.
    pub(super) fn check_issued(&mut self, id: DatabaseId) -> Result<(), StoreError> {
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let state = &held.replica.state;
        let reflected = state.progress.vector.get(self.epoch);
        let issued = self.leaves.issued(id, state.generation);
        if issued > reflected { self.take_new_epoch() } else { Ok(()) }
    }
}
