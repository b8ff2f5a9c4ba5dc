//! Holders that are away: since when, across restarts of this peer, and for how long they still count.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Node, read_row};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
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
}

impl Absences {
    /// A peer is there.
    pub(super) fn came(&mut self, peer: PeerId) {
        self.changed |= self.since.remove(&peer).is_some();
        self.expired.remove(&peer);
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
        let ids = self.directory.databases();
        let holders = ids.flat_map(|id| self.directory.holders(id)).map(|(peer, _)| peer);
        let holders: BTreeSet<PeerId> = holders.filter(|peer| *peer != self.config.peer).collect();
        for peer in holders {
            self.absences.went(peer, now);
        }
    }

    /// Every second: notices those that were away for too long.
    pub(super) fn absence_tick(&mut self, now: Now) -> Result<(), StoreError> {
        let ttl = self.config.holder_ttl;
        let Absences { since, expired, changed } = &mut self.absences;
        // A clock that was set back must not make the wait longer than it is.
        for at in since.values_mut().filter(|at| **at > now.wall) {
            (*at, *changed) = (now.wall, true);
        }
        let late = |at: &Millis| at.saturating_add(ttl) <= now.wall;
        let new: Vec<PeerId> = since
            .iter()
            .filter(|(peer, at)| late(at) && !expired.contains(*peer))
            .map(|(peer, _)| *peer)
            .collect();
        if !new.is_empty() {
            expired.extend(new);
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
        // On the small side of a cut, the others are not those who are away.
        let sure = self.is_in_step(now) && self.is_majority();
        for peer in late.iter().filter(|_| sure) {
            writes.extend(self.directory.holder_write(id, *peer, HolderState::Gone, now.wall));
        }
        sure || late.is_empty()
    }
}
