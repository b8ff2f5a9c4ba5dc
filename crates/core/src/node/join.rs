//! How a copy becomes complete: it pulls once from every live active holder.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::placement::Task;
use super::rounds::turn;
use super::{MILLISECOND, Node};
use crate::clock::Now;
use crate::directory::Holder;
use crate::ident::{DatabaseId, PeerId};
use crate::planted::{Planted, planted};
use crate::status::HolderState;
use crate::store::{Store, StoreError};

/// Most joins that a peer has under way: the rest waits.
const JOINS_MAX: usize = 64;

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PullEnd {
    /// Everything that the peer had when this session began is here; whether it had a complete copy.
    Whole {
        /// The number of the pull.
        session: u64,
        /// Whether it had.
        complete: bool,
    },
    /// The peer has no copy that can answer.
    Refused,
    /// The connection broke, or no answer came in time.
    Lost,
}

/// A copy being filled.
#[derive(Debug, Default)]
struct Join {
    /// Active holders still to be pulled from.
    todo: BTreeSet<PeerId>,
    /// Whether one of them was pulled from.
    filled: bool,
    /// Whether there is no complete copy, and all that may have anything are asked for it.
    orphaned: bool,
    /// Whether one of them went away before it had answered.
    lost: bool,
}

/// Copies that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Joins {
    under_way: BTreeMap<DatabaseId, Join>,
    /// Copies to be filled, beyond those under way.
    waiting: BTreeSet<DatabaseId>,
    /// Since when a database has had no complete copy anywhere, in monotonic microseconds.
    orphaned: BTreeMap<DatabaseId, u64>,
    /// Where the last tick stopped looking for joins that can go on.
    cursor: Option<DatabaseId>,
}

impl Joins {
    /// Whether a copy waits to be filled.
    pub(super) fn waits(&self, id: DatabaseId) -> bool {
        self.waiting.contains(&id)
    }

    /// A database was dropped.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.under_way.remove(&id);
        self.waiting.remove(&id);
        self.orphaned.remove(&id);
    }
}

impl<S: Store> Node<S> {
    /// Pulls once from every live active holder; then the copy is complete.
    pub(super) fn start_join(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        if self.joins.under_way.get(&id).is_some_and(|join| !join.todo.is_empty()) {
            return Ok(());
        }
        self.joins.waiting.insert(id);
        if self.joins.under_way.len() >= JOINS_MAX {
            return Ok(());
        }
        let mut todo: BTreeSet<PeerId> = self.connected_holders(id).into_iter().collect();
        let orphaned = todo.is_empty();
        if orphaned {
            if self.is_best_left(id, now) {
                self.count("copies_adopted", 1);
                return self.joined(id, now);
            }
            match self.orphans(id, now) {
                Some(others) if others.is_empty() => return self.joined(id, now),
                Some(others) => todo = others,
                // Nobody to pull from is connected: the next tick looks again.
                None => return Ok(()),
            }
        }
        self.joins.waiting.remove(&id);
        self.joins
            .under_way
            .insert(id, Join { todo: todo.clone(), filled: false, orphaned, lost: false });
        for peer in todo {
            self.pull_all(id, peer, now);
        }
        Ok(())
    }

    /// Where a database has lost every complete copy: the other holders, for the best-ranked of them,
    /// which gathers what they have. All of them must be connected, or after the replacement delay all
    /// that are alive: a database whose only complete holder lost its disk could never be used again.
    fn orphans(&mut self, id: DatabaseId, now: Now) -> Option<BTreeSet<PeerId>> {
        if self.has_active_holder(id) || planted(Planted::OrphansLeftAlone) {
            self.joins.orphaned.remove(&id);
            return None;
        }
        let Some(since) = self.joins.orphaned.get(&id).copied() else {
            self.joins.orphaned.insert(id, now.monotonic);
            // A row about this copy may be here before those about others, which came earlier.
            self.step_anew();
            return None;
        };
        let late = since + self.config.replacement_delay * MILLISECOND <= now.monotonic;
        let in_step =
            if late { self.is_in_step_with_connected(now) } else { self.is_in_step_with_all(now) };
        if !in_step {
            return None;
        }
        let own = self.config.peer;
        // Joiners, and those that gave their copy back a while ago and may still have its rows.
        let holders = self.directory.holders(id);
        let left: Vec<(PeerId, Holder)> =
            holders.filter(|(peer, _)| !late || self.is_live(*peer)).collect();
        let joining = left.iter().filter(|(_, holder)| holder.state == HolderState::Joining);
        let best = joining.map(|(peer, _)| *peer).min_by_key(|peer| self.rank_key(id, *peer));
        let others: BTreeSet<PeerId> =
            left.iter().map(|(peer, _)| *peer).filter(|peer| *peer != own).collect();
        if best != Some(own) || !others.iter().all(|peer| self.links.contains_key(peer)) {
            return None;
        }
        self.joins.orphaned.remove(&id);
        self.count("copies_adopted", 1);
        Some(others)
    }

    /// A pull of a database from a peer ended.
    pub(super) fn pulled_from(
        &mut self,
        id: DatabaseId,
        peer: PeerId,
        end: PullEnd,
        now: Now,
    ) -> Result<(), StoreError> {
        let connected = self.links.contains_key(&peer);
        if let PullEnd::Whole { session, .. } = end {
            self.losses.heard(id, peer, session);
        }
        let mut again = self.sync_pulled((id, peer), end, connected);
        if let Some(join) = self.joins.under_way.get_mut(&id)
            && join.todo.contains(&peer)
        {
            if end == PullEnd::Lost && connected {
                again = true;
            } else {
                join.todo.remove(&peer);
                // The directory may not know yet that its disk was lost.
                join.filled |= matches!(end, PullEnd::Whole { complete: true, .. })
                    || planted(Planted::JoinedByRefusal);
                join.lost |= end == PullEnd::Lost;
            }
            let over = join.todo.is_empty();
            let filled = if join.orphaned { !join.lost } else { join.filled };
            if over {
                self.joins.under_way.remove(&id);
                if filled {
                    self.joined(id, now)?;
                } else {
                    self.joins.waiting.insert(id);
                }
            }
        }
        if again {
            self.pull_all(id, peer, now);
        }
        Ok(())
    }

    /// A copy became complete.
    pub(super) fn joined(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        self.joins.waiting.remove(&id);
        if self.held.contains_key(&id) {
            self.check_issued(id)?;
            self.take_role(id, HolderState::Active, now)?;
            self.unmark_restored(id)?;
            self.count("copies_joined", 1);
            self.say_joined(id);
        }
        if let Some(&next) = self.joins.waiting.first() {
            self.defer(Task::Join(next));
        }
        Ok(())
    }

    /// Begins joins that waited: as many as there is room for, from where the last tick stopped, so
    /// that those with nobody to pull from do not stand in the way of the others.
    pub(super) fn resume_joins(&mut self, now: Now) -> Result<(), StoreError> {
        let Joins { waiting, cursor, .. } = &mut self.joins;
        for id in turn(cursor, 8 * JOINS_MAX, |ring| waiting.range(ring).copied()) {
            if self.joins.under_way.len() >= JOINS_MAX {
                break;
            }
            self.start_join(id, now)?;
        }
        Ok(())
    }
}
