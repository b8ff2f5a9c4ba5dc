//! Rebalancing: copies move to the peers that are preferred for them, some time after those came.
//!
//! A peer that joins, or is given more weight, is preferred for databases that others hold. The
//! lowest-ranked holder of such a database invites the best-ranked peer that holds none, and leaves by
//! the ordinary protocol (see [`super::leave`]) once that one is active, so that there is one copy more
//! for a while, and never one fewer. Nothing moves while a holder or the successor came or went lately,
//! nor what this peer's own users used lately: it would come back to where it is used.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::rounds::turn;
use super::{MILLISECOND, Node, SECOND};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::planted::{Planted, planted};
use crate::status::HolderState;
use crate::store::{Store, StoreError};

/// Most copies that a peer moves at a time: moving must not crowd out writing.
const MOVES_MAX: usize = 16;
/// A successor that takes longer than this to fill its copy is no longer waited for.
const MOVE_PATIENCE: u64 = 600 * SECOND;
/// Most databases that are looked at in one second, and most scores that are computed for them.
const LOOKS_MAX: usize = 256;
const SCORES_MAX: usize = 8_192;

/// A copy on its way to another peer.
#[derive(Debug)]
struct Move {
    to: PeerId,
    /// How many copies there were before.
    copies: usize,
    deadline: u64,
}

/// Copies on their way to other peers.
#[derive(Debug, Default)]
pub(super) struct Rebalance {
    under_way: BTreeMap<DatabaseId, Move>,
    /// The last database that was looked at.
    looked_at: Option<DatabaseId>,
    /// When handles were last made to say again that they are in use.
    asked: u64,
}

impl Rebalance {
    /// How many copies there were of a database that is on its way to another peer.
    pub(super) fn copies(&self, id: DatabaseId) -> Option<usize> {
        self.under_way.get(&id).map(|moving| moving.copies)
    }
}

impl<S: Store> Node<S> {
    /// Every second: looks for copies that others are preferred for, and invites those.
    pub(super) fn rebalance_tick(&mut self, now: Now) -> Result<(), StoreError> {
        let Self { held, rebalance, .. } = self;
        rebalance.under_way.retain(|id, moving| {
            let role = held.get(id).map(|held| held.role);
            role.is_some_and(HolderState::is_complete) && moving.deadline > now.monotonic
        });
        let delay = self.config.rebalance_delay * MILLISECOND;
        if delay == 0 {
            return Ok(());
        }
        if self.rebalance.asked + delay / 2 <= now.monotonic {
            self.rebalance.asked = now.monotonic;
            self.note_moved();
        }
        if self.drain.on || now.monotonic < delay || !self.is_in_step(now) || !self.is_majority() {
            return Ok(());
        }
        let looks = (SCORES_MAX / (self.members.len() + 1)).clamp(1, LOOKS_MAX);
        let Self { held, rebalance, .. } = self;
        let ids = turn(&mut rebalance.looked_at, looks, |ring| held.range(ring).map(|(id, _)| *id));
        let mut writes = Vec::new();
        for id in ids {
            if self.rebalance.under_way.len() >= MOVES_MAX {
                break;
            }
            let Some(moving) = self.move_of(id, delay, now) else { continue };
            let joining = HolderState::Joining;
            writes.extend(self.directory.holder_write(id, moving.to, joining, now.wall));
            self.rebalance.under_way.insert(id, moving);
            self.count("moves_begun", 1);
        }
        if writes.is_empty() { Ok(()) } else { self.write_system(writes, now) }
    }

    /// Where a copy held here is to go, if anywhere.
    fn move_of(&self, id: DatabaseId, delay: u64, now: Now) -> Option<Move> {
        let held = self.held.get(&id).filter(|held| held.role == HolderState::Active)?;
        if held.used + delay > now.monotonic
            || !held.replica.state.progress.is_whole()
            || self.directory.is_system(id)
            || self.rebalance.under_way.contains_key(&id)
        {
            return None;
        }
        let replication = held.definition.as_ref()?.replication;
        let settled = |peer: PeerId| {
            peer == self.config.peer
                || (self.links.contains_key(&peer) && !self.leaves.has_changed(peer, delay, now))
        };
        let mut holders = Vec::new();
        for (peer, holder) in self.directory.holders(id) {
            match holder.state {
                HolderState::Gone => {}
                HolderState::Active if self.is_live(peer) && settled(peer) => holders.push(peer),
                // Whoever comes, goes or is away comes first.
                _ => return None,
            }
        }
        let copies = holders.len();
        if copies < replication.min as usize || copies > replication.max as usize {
            return None;
        }
        let ranked = self.ranked(id);
        // A holder that is draining is not among them.
        if holders.iter().any(|holder| !ranked.contains(holder))
            || ranked.iter().rfind(|peer| holders.contains(peer)) != Some(&self.config.peer)
        {
            return None;
        }
        let better = ranked.into_iter().take_while(|peer| *peer != self.config.peer);
        let to = { better }.find(|peer| !holders.contains(peer) && settled(*peer))?;
        Some(Move { to, copies, deadline: now.monotonic + MOVE_PATIENCE })
    }

    /// Databases whose successors have complete copies.
    pub(super) fn handed_over(&self) -> Vec<DatabaseId> {
        let complete = |(id, moving): &(&DatabaseId, &Move)| {
            let holder = self.directory.holder(**id, moving.to);
            planted(Planted::MovedTooEarly)
                || (holder.is_some_and(|holder| holder.state == HolderState::Active)
                    && self.is_live(moving.to))
        };
        self.rebalance.under_way.iter().filter(complete).map(|(id, _)| *id).collect()
    }
}
