//! What is left of a copy that was given back: its rows stay for a while.
//!
//! They may be needed after all. The holders that were to keep what the copy reflected may have lost
//! their disks since, or a copy that was filled from nobody may have taken their place. So the rows
//! answer whoever gathers what there is of a database without a complete copy; whenever the directory
//! says something new of a holder, and after every start, its keepers are asked what they durably reflect;
//! and where none of them has everything, or there is none, the copy joins again. Only rows of which a
//! keeper has said so are removed.

use alloc::collections::{BTreeMap, BTreeSet};

use super::rounds::turn;
use super::{Node, SECOND};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::interval::Intervals;
use crate::message::{Message, Target};
use crate::status::HolderState;
use crate::store::{Store, StoreError};
use crate::vector::{Vector, reflects_all};

/// Most copies that are gone looked at in one tick.
const LOOKS_MAX: usize = 1_000;
/// Who has not answered within this time is asked again.
const PATIENCE: u64 = 10 * SECOND;

/// A copy that is gone, and whose rows are here.
#[derive(Debug)]
struct Gone {
    /// When they may be removed, in monotonic microseconds.
    until: u64,
    kept: Kept,
}

/// Whether others reflect what a copy that is gone reflected.
#[derive(Debug)]
enum Kept {
    /// Nobody was asked since something changed.
    Unknown,
    /// The keepers were asked, under this number; these answered that they do not.
    Asked { asked: u64, again: u64, denied: BTreeSet<PeerId> },
    /// Somebody does.
    Yes,
}

/// Copies that are gone.
#[derive(Debug, Default)]
pub(super) struct Trash {
    copies: BTreeMap<DatabaseId, Gone>,
    looked_at: Option<DatabaseId>,
}

impl Trash {
    /// A copy was given back: all of its keepers have just said that they reflect what it does.
    pub(super) fn left(&mut self, id: DatabaseId) {
        if let Some(gone) = self.copies.get_mut(&id) {
            gone.kept = Kept::Yes;
        }
    }

    /// Notes what a copy here is: the rows of one that is gone are kept until then at least.
    pub(super) fn note(&mut self, id: DatabaseId, role: HolderState, until: u64) {
        if role == HolderState::Gone {
            self.copies.entry(id).or_insert(Gone { until, kept: Kept::Unknown });
        } else {
            self.forget(id);
        }
    }

    /// The directory says something new of a holder.
    pub(super) fn doubt(&mut self, id: DatabaseId) {
        if let Some(gone) = self.copies.get_mut(&id) {
            gone.kept = Kept::Unknown;
        }
    }

    /// Nothing of the copy is here any more, or it is no longer gone.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        if !self.copies.is_empty() {
            self.copies.remove(&id);
        }
    }
}

impl<S: Store> Node<S> {
    /// Every second: removes the rows of copies that are gone for long enough, and takes those back that
    /// are needed.
    pub(super) fn trash_tick(&mut self, now: Now) -> Result<(), StoreError> {
        if self.is_in_step(now) {
            let Trash { copies, looked_at } = &mut self.leaves.trash;
            for id in turn(looked_at, LOOKS_MAX, |ring| copies.range(ring).map(|(id, _)| *id)) {
                self.look_at_gone(id, now)?;
            }
        }
        self.sweep()
    }

    fn look_at_gone(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        let keepers = self.keepers(id);
        let enough = keepers.len() >= self.fewest(id);
        let alone = self.active_holders(id).next().is_none();
        let Some(gone) = self.leaves.trash.copies.get_mut(&id) else { return Ok(()) };
        let lost = match &gone.kept {
            // Whoever was to keep it is not there: what is here may be all there is.
            _ if alone => self.is_stable(id, now),
            Kept::Yes if gone.until <= now.monotonic && enough => {
                self.leaves.trash.forget(id);
                return self.unlink(id);
            }
            Kept::Yes => false,
            Kept::Asked { denied, .. } if !keepers.is_empty() && keepers.is_subset(denied) => true,
            Kept::Asked { again, .. } if *again > now.monotonic => false,
            Kept::Unknown | Kept::Asked { .. } => {
                self.ask_keepers(id, &keepers, now);
                false
            }
        };
        if lost {
            self.leaves.trash.forget(id);
            self.count("copies_taken_back", 1);
            self.set_holder(id, self.config.peer, HolderState::Joining, now)?;
        }
        Ok(())
    }

    /// Asks the keepers of a copy that is gone what they durably reflect.
    fn ask_keepers(&mut self, id: DatabaseId, keepers: &BTreeSet<PeerId>, now: Now) {
        let Some(held) = self.held.get(&id) else { return };
        let target = Target { database: id, generation: held.replica.state.generation };
        let asked = self.next_question();
        for peer in keepers {
            self.send(*peer, &Message::AskDurable { target, asked });
        }
        if let Some(gone) = self.leaves.trash.copies.get_mut(&id) {
            let again = now.monotonic + PATIENCE;
            gone.kept = Kept::Asked { asked, again, denied: BTreeSet::new() };
        }
    }

    /// A keeper of a copy that is gone tells what it durably reflects.
    pub(super) fn keeper_told(
        &mut self,
        peer: PeerId,
        target: Target,
        asked: u64,
        (vector, lost): (&Vector, &Intervals),
    ) {
        let id = target.database;
        let Some(held) = self.held.get(&id) else { return };
        let Some(gone) = self.leaves.trash.copies.get_mut(&id) else { return };
        let Kept::Asked { asked: last, denied, .. } = &mut gone.kept else { return };
        let state = &held.replica.state;
        if *last != asked || state.generation != target.generation {
            return;
        }
        let own = (&state.progress.vector, state.progress.lost());
        if reflects_all((vector, lost), own) {
            gone.kept = Kept::Yes;
        } else {
            denied.insert(peer);
        }
    }
}
