//! Watches: who wants to know of winning changes, here and at other peers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Node, Output};
use crate::counter::resolve;
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::message::Message;
use crate::record::{Payload, Record};
use crate::replica::decode_record;
use crate::rows;
use crate::store::{Space, Store, StoreError};

/// Most watches that one peer may hold here.
const WATCHES_PER_PEER: usize = 10_000;

/// A watch that another peer holds here.
#[derive(Debug)]
struct Remote {
    prefix: Vec<u8>,
    index: u64,
    /// Whether anything was sent since the last confirmation.
    sent: bool,
}

/// Who watches what.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// Databases that the local user watches, with the number of watches.
    local: BTreeMap<DatabaseId, usize>,
    remote: BTreeMap<DatabaseId, BTreeMap<(PeerId, u64), Remote>>,
}

impl Watches {
    pub(super) fn is_watched(&self, id: DatabaseId) -> bool {
        self.local.contains_key(&id) || self.remote.contains_key(&id)
    }

    /// False: the peer has too many.
    pub(super) fn add(
        &mut self,
        id: DatabaseId,
        peer: PeerId,
        request: u64,
        prefix: Vec<u8>,
    ) -> bool {
        let held =
            self.remote.values().flat_map(BTreeMap::keys).filter(|(p, _)| *p == peer).count();
        if held >= WATCHES_PER_PEER {
            return false;
        }
        self.remote
            .entry(id)
            .or_default()
            .insert((peer, request), Remote { prefix, index: 0, sent: false });
        true
    }

    pub(super) fn unwatch(&mut self, peer: PeerId, request: u64) {
        for watches in self.remote.values_mut() {
            watches.remove(&(peer, request));
        }
        self.remote.retain(|_, watches| !watches.is_empty());
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        for watches in self.remote.values_mut() {
            watches.retain(|(p, _), _| *p != peer);
        }
        self.remote.retain(|_, watches| !watches.is_empty());
    }
}

impl<S: Store> Node<S> {
    /// The local user watches a database that is here: [`Output::Changed`] comes out from now on.
    pub fn watch(&mut self, id: DatabaseId) {
        *self.watch.local.entry(id).or_default() += 1;
    }

    /// One watch of the local user is over.
    pub fn unwatch(&mut self, id: DatabaseId) {
        if let Some(count) = self.watch.local.get_mut(&id) {
            *count = count.saturating_sub(1);
        }
        self.watch.local.retain(|_, count| *count > 0);
    }

    /// What users see of changes that were just committed: where a sum changed, its counter did.
    pub(super) fn seen_by_users(
        &self,
        id: DatabaseId,
        mut changes: Vec<(Vec<u8>, Record)>,
    ) -> Result<Vec<(Vec<u8>, Record)>, StoreError> {
        let Some(prefix) = self.held.get(&id).map(|held| held.replica.prefix) else {
            return Ok(changes);
        };
        let counts = |stored: &[u8], record: &Record| {
            rows::split_sum(stored).is_some() || matches!(record.payload(), Payload::Counter { .. })
        };
        if !changes.iter().any(|(stored, record)| counts(stored, record)) {
            return Ok(changes);
        }
        let mut seen = BTreeSet::new();
        let mut counters = Vec::new();
        for (stored, _) in changes.extract_if(.., |(stored, record)| counts(stored, record)) {
            let counter = rows::split_sum(&stored).map_or(&*stored, |(counter, _)| counter);
            if !seen.insert(counter.to_vec()) {
                continue;
            }
            let row = rows::data_key(prefix, counter);
            let found =
                self.store.look(Space::Data, &row, |row| row.map(decode_record).transpose())??;
            // Sums of what is no counter any more change nothing.
            let found = found.filter(|found| matches!(found.payload(), Payload::Counter { .. }));
            if let Some(found) = found {
                counters.push((counter.to_vec(), resolve(&self.store, prefix, counter, found)?));
            }
        }
        changes.extend(counters);
        Ok(changes)
    }

    pub(super) fn tell_watches(&mut self, id: DatabaseId, changes: Vec<(Vec<u8>, Record)>) {
        let mut messages = Vec::new();
        if let Some(watches) = self.watch.remote.get_mut(&id) {
            for ((peer, request), watch) in watches {
                let changes: Vec<_> = changes
                    .iter()
                    .filter(|(stored, _)| stored.starts_with(&watch.prefix))
                    .cloned()
                    .collect();
                if !changes.is_empty() {
                    let index = watch.index;
                    watch.index += 1;
                    watch.sent = true;
                    messages.push((*peer, Message::Changes { request: *request, index, changes }));
                }
            }
        }
        for (peer, message) in messages {
            self.send(peer, &message);
        }
        if self.watch.local.contains_key(&id) {
            self.outputs.push_back(Output::Changed(id, changes.into()));
        }
    }

    /// A copy here sees no changes any more: whoever watches it hears that it was lost.
    pub(super) fn end_watches(&mut self, id: DatabaseId) {
        for (peer, request) in self.watch.remote.remove(&id).unwrap_or_default().into_keys() {
            // No change has this number: the watcher takes it for a gap.
            let (index, changes) = (u64::MAX, Vec::new());
            self.send(peer, &Message::Changes { request, index, changes });
        }
        if self.watch.local.contains_key(&id) {
            self.outputs.push_back(Output::WatchLost(id));
        }
    }

    /// Tells watchers at other peers how many changes they should have seen: a last one that was
    /// dropped on the way would go unnoticed otherwise.
    pub(super) fn confirm_watches(&mut self) {
        let mut due = Vec::new();
        for watches in self.watch.remote.values_mut() {
            for ((peer, request), watch) in watches {
                if core::mem::take(&mut watch.sent) {
                    due.push((*peer, *request, watch.index));
                }
            }
        }
        for (peer, request, index) in due {
            self.send(peer, &Message::Changes { request, index, changes: Vec::new() });
        }
    }

    pub(super) fn changes_arrived(
        &mut self,
        peer: PeerId,
        request: u64,
        index: u64,
        changes: Vec<(Vec<u8>, Record)>,
    ) {
        match self.forward.next_change(peer, request, index, changes.is_empty()) {
            Some((_, true)) if changes.is_empty() => {}
            Some((token, true)) => {
                self.outputs.push_back(Output::ChangedElsewhere(token, Ok(changes)));
            }
            Some((token, false)) => {
                self.outputs.push_back(Output::ChangedElsewhere(token, Err(Error::Lagged)));
                self.send(peer, &Message::Unwatch { request });
            }
            None => self.send(peer, &Message::Unwatch { request }),
        }
    }
}
