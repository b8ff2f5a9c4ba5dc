//! Holders that are away: since when, across restarts of this peer, and for how long they still count.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{MILLISECOND, Node, read_row};
use crate::clock::Now;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::message::Write;
use crate::planted::{Planted, planted};
use crate::rows::{self, Transaction};
use crate::stamp::Millis;
use crate::status::HolderState;
use crate::store::{Space, Store, StoreError};
use crate::wire;

/// Most peers whose absence is remembered.
const ABSENT_MAX: usize = 10_000;

/// Holders that are away.
#[derive(Debug, Default)]
pub(super) struct Absences {
    /// Since when, in milliseconds since the Unix epoch: by the wall clock, since that is what goes on
    /// while this peer does not run.
    since: BTreeMap<PeerId, Millis>,
    changed: bool,
    /// Those that were away for so long that they no longer count.
    expired: BTreeSet<PeerId>,
    /// When this was looked at last.
    looked: Option<Now>,
}

impl Absences {
    /// A peer is there.
    pub(super) fn came(&mut self, peer: PeerId) {
        self.changed |= self.since.remove(&peer).is_some();
        self.expired.remove(&peer);
    }

    /// Whether the peer that an epoch names was away for so long that it no longer counts.
    pub(super) fn is_writer_expired(&self, epoch: Epoch) -> bool {
        self.expired.iter().any(|peer| epoch.is_of(*peer))
    }

    /// Keeps the waits what they are when the wall clock was set, ahead by more than a tolerance, or back.
    fn follow_clock(&mut self, now: Now, tolerance: Millis) {
        let ahead = self.looked.replace(now).map_or(0, |before| {
            let passed = (now.monotonic - before.monotonic) / MILLISECOND;
            now.wall.saturating_sub(before.wall.saturating_add(passed))
        });
        let ahead = if ahead > tolerance { ahead } else { 0 };
        for at in self.since.values_mut() {
            let put = at.saturating_add(ahead).min(now.wall);
            self.changed |= put != *at;
            *at = put;
        }
    }

    /// A peer is not there, unless that was noticed before.
    pub(super) fn went(&mut self, peer: PeerId, now: Now) {
        if self.since.len() < ABSENT_MAX && !self.since.contains_key(&peer) {
            self.since.insert(peer, now.wall);
            self.changed = true;
        }
    }
}

impl<S: Store> Node<S> {
    /// Reads back who was away when this peer stopped, and notes every other holder: none is there yet.
    pub(super) fn load_absences(&mut self, now: Now) {
        // What was forgotten only counts anew.
        let known = read_row(&self.store, &rows::peer_key("absent")).ok().flatten();
        self.absences.since = known.unwrap_or_default();
        self.absences.since.remove(&self.config.peer);
        // While this peer did not run, they may have been there: some of the time counts anew.
        let ttl = self.config.holder_ttl;
        let least = now.wall.saturating_sub(ttl - ttl / 8);
        for at in self.absences.since.values_mut() {
            *at = least.max(*at);
        }
        for peer in self.known_holders(|_| true) {
            self.absences.went(peer, now);
        }
    }

    /// The other peers that the directory names as holders of anything, in such a state.
    fn known_holders(&self, wanted: impl Fn(HolderState) -> bool) -> BTreeSet<PeerId> {
        let ids = self.directory.databases();
        let holders = ids.flat_map(|id| self.directory.holders(id));
        let wanted = holders.filter(|(_, holder)| wanted(holder.state)).map(|(peer, _)| peer);
        wanted.filter(|peer| *peer != self.config.peer).collect()
    }

    /// Every second: notices those that were away for too long.
    pub(super) fn absence_tick(&mut self, now: Now) -> Result<(), StoreError> {
        let ttl = self.config.holder_ttl;
        self.absences.follow_clock(now, ttl / 8);
        let Absences { since, expired, .. } = &self.absences;
        let late = |at: &Millis| at.saturating_add(ttl) <= now.wall;
        let new: Vec<PeerId> = since
            .iter()
            .filter(|(peer, at)| late(at) && !expired.contains(*peer))
            .map(|(peer, _)| *peer)
            .collect();
        if !new.is_empty() {
            // Who holds nothing any more is waited for by nobody.
            let holding = self.known_holders(|state| state != HolderState::Gone);
            let Absences { since, expired, changed, .. } = &mut self.absences;
            let known = since.len();
            since.retain(|peer, _| holding.contains(peer));
            *changed |= since.len() < known;
            expired.extend(new);
            expired.retain(|peer| holding.contains(peer));
            self.review_all();
        }
        if core::mem::take(&mut self.absences.changed) {
            let mut transaction = Transaction::default();
            let row = wire::encode(&self.absences.since);
            transaction.put(Space::Meta, rows::peer_key("absent"), row);
            self.commit(transaction)?;
        }
        Ok(())
    }

    /// Ends the counting of a database's holders that were away for too long. That is all it does: one
    /// that comes back finds itself gone, and joins again with its rows. False: it is not the time, and
    /// to be looked at again.
    pub(super) fn expire_holders(
        &self,
        id: DatabaseId,
        writes: &mut Vec<(DatabaseId, Write)>,
        now: Now,
    ) -> bool {
        if self.absences.expired.is_empty() || planted(Planted::DeadCountForEver) {
            return true;
        }
        let expired = |peer: &PeerId| self.absences.expired.contains(peer) && !self.is_live(*peer);
        let holders = self.directory.holders(id);
        let late: Vec<PeerId> = holders
            .filter(|(peer, holder)| holder.state != HolderState::Gone && expired(peer))
            .map(|(peer, _)| peer)
            .collect();
        // On the small side of a cut, the others are not those who are away: of all holders that are not
        // known to be gone, more than half must be there.
        // The peer that this one was restored from was mostly lost: it is not waited for to say so.
        let source = self.restored.source().filter(|peer| self.absences.since.contains_key(peer));
        let others = self.absences.since.len() - usize::from(source.is_some());
        let most = self.members.len() + 1 > others;
        let sure = self.is_in_step(now) && most;
        for peer in late.iter().filter(|_| sure) {
            writes.extend(self.directory.holder_write(id, *peer, HolderState::Gone, now.wall));
        }
        sure || late.is_empty()
    }
}
