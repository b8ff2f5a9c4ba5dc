//! Sums over what two peers both hold, kept up to date: a change of one database costs as much as it
//! has holders, however many other databases there are and however many peers ask.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::Node;
use crate::ident::{DatabaseId, PeerId};
use crate::status::HolderState;
use crate::store::Store;

/// What one database adds to the sums.
#[derive(Debug)]
struct Part {
    fingerprint: u64,
    /// The other active holders; none for a system database, which all have.
    peers: Box<[PeerId]>,
}

/// The sums, and what they are made of.
#[derive(Debug, Default)]
pub(super) struct Sums {
    system: u64,
    /// By peer, over the databases of users that both hold actively. Zero where there is none.
    shared: BTreeMap<PeerId, u64>,
    parts: BTreeMap<DatabaseId, Part>,
    /// Databases that changed, or whose holders did, since they were added.
    stale: BTreeSet<DatabaseId>,
}

impl Sums {
    /// A copy changed, or the directory says something new of its holders.
    pub(super) fn changed(&mut self, id: DatabaseId) {
        self.stale.insert(id);
    }

    fn add(&mut self, peers: &[PeerId], fingerprint: u64) {
        if peers.is_empty() {
            self.system = self.system.wrapping_add(fingerprint);
        }
        for peer in peers {
            let sum = self.shared.entry(*peer).or_default();
            *sum = sum.wrapping_add(fingerprint);
            if *sum == 0 {
                self.shared.remove(peer);
            }
        }
    }
}

impl<S: Store> Node<S> {
    fn refresh_sums(&mut self) {
        for id in core::mem::take(&mut self.sums.stale) {
            if let Some(Part { fingerprint, peers }) = self.sums.parts.remove(&id) {
                self.sums.add(&peers, fingerprint.wrapping_neg());
            }
            let own = self.config.peer;
            let system = self.directory.is_system(id);
            let mut peers = Vec::new();
            if !system {
                let active = self.directory.holders(id);
                peers
                    .extend(active.filter(|(_, h)| h.state == HolderState::Active).map(|(p, _)| p));
                if !peers.contains(&own) {
                    continue;
                }
                peers.retain(|peer| *peer != own);
                if peers.is_empty() {
                    continue;
                }
            }
            let Some(held) = self.held.get_mut(&id) else { continue };
            let fingerprint = held.replica.summary(&self.fingerprint);
            self.sums.add(&peers, fingerprint);
            self.sums.parts.insert(id, Part { fingerprint, peers: peers.into() });
        }
    }

    /// Fingerprint sums of the databases that both this peer and another one hold: of the system
    /// databases, and of the others.
    pub(super) fn sums(&mut self, peer: PeerId) -> (u64, u64) {
        self.refresh_sums();
        let sums = (self.sums.system, self.sums.shared.get(&peer).copied().unwrap_or(0));
        debug_assert!(self.held.len() > 100 || sums == self.sums_from_scratch(peer));
        sums
    }

    /// The same without what is kept.
    fn sums_from_scratch(&mut self, peer: PeerId) -> (u64, u64) {
        let (mut system, mut user) = (0_u64, 0_u64);
        for (id, held) in &mut self.held {
            let sum = if self.directory.is_system(*id) {
                &mut system
            } else if self.directory.are_both_active(*id, self.config.peer, peer) {
                &mut user
            } else {
                continue;
            };
            *sum = sum.wrapping_add(held.replica.summary(&self.fingerprint));
        }
        (system, user)
    }

    /// The databases of a range that both hold, with their fingerprints.
    pub(super) fn shared_items(
        &mut self,
        peer: PeerId,
        range: RangeInclusive<DatabaseId>,
    ) -> Vec<(DatabaseId, u64)> {
        self.refresh_sums();
        let parts = self.sums.parts.range(range);
        let shared = parts.filter(|(_, part)| part.peers.contains(&peer));
        shared.map(|(id, part)| (*id, part.fingerprint)).collect()
    }
}
