//! Watches: who wants to know of winning changes, here and at other peers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::answer::next_of_log;
use super::pull::intervals_above;
use super::{Node, Output};
use crate::counter::resolve;
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::message::Message;
use crate::planted::{Planted, planted};
use crate::position::Position;
use crate::read::read_stored;
use crate::record::{Payload, Record};
use crate::rows;
use crate::store::{Store, StoreError};

/// Most rows of a log that are read for a watch which goes on: whoever was away for longer reads anew.
const RESUME_ROWS: usize = 100_000;
/// Most changes, and bytes of values, that it is told at once.
const RESUME_CHANGES: usize = 10_000;
const RESUME_BYTES: usize = 8 << 20;
/// Most watches that one peer may hold here.
const WATCHES_PER_PEER: usize = 10_000;

/// Changes that a watch is told, and what it has been told with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Stored keys and records, in the order they won.
    pub changes: Vec<(Vec<u8>, Record)>,
    /// A watch that goes on from here misses nothing, and is told nothing again; but what a copy took in
    /// while it was catching up may come twice.
    pub position: Position,
}

/// A watch that another peer holds here.
#[derive(Debug)]
struct Remote {
    prefix: Vec<u8>,
    index: u64,
    /// Whether anything changed since the last confirmation.
    changed: bool,
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
            .insert((peer, request), Remote { prefix, index: 0, changed: false });
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
    /// The local user watches a database that is here: [`Output::Changed`] comes out from now on. Returns
    /// what such a watch need not be told.
    pub fn watch(&mut self, id: DatabaseId) -> Position {
        *self.watch.local.entry(id).or_default() += 1;
        self.position(id)
    }

    /// The local user goes on watching, after a position, keys with this prefix of a database that is here;
    /// `None`: the copy does not reflect the position, and nothing was begun.
    ///
    /// # Errors
    /// [`Error::Lagged`] where too much came since, or where deletes that came since may be forgotten:
    /// then it has to be read anew. [`Error::BadArgument`] where the position is that of another database.
    pub fn watch_after(
        &mut self,
        id: DatabaseId,
        prefix: &[u8],
        after: &Position,
    ) -> Result<Option<Changes>, Error> {
        if let Some(error) = &self.failed {
            // What is here in memory may be more than what is stored.
            return Err(error.clone());
        }
        let since = self.changes_since(id, prefix, after).map_err(Error::from)??;
        if since.is_some() {
            self.watch(id);
        }
        Ok(since)
    }

    /// What somebody has been told who was told everything that is here.
    pub(super) fn position(&self, id: DatabaseId) -> Position {
        let unheld = || Position::unheld(id, self.directory.generation(id));
        self.held.get(&id).map_or_else(unheld, |held| Position::of(&held.replica))
    }

    /// What came since a position, from the log; `None`: the copy does not reflect all of it.
    pub(super) fn changes_since(
        &self,
        id: DatabaseId,
        prefix: &[u8],
        after: &Position,
    ) -> Result<Result<Option<Changes>, Error>, StoreError> {
        if after.database != id || !after.is_sane() {
            let of = after.database;
            let why = alloc::format!("the position is one of database {of}, and this is {id}");
            return Ok(Err(Error::BadArgument(why)));
        }
        let position = self.position(id);
        if after.generation < position.generation {
            return Ok(Err(Error::Lagged));
        }
        let Some(held) = self.held.get(&id) else {
            // Nothing was ever written, as far as is known here.
            let same = *after == position;
            return Ok(Ok(same.then_some(Changes { changes: Vec::new(), position })));
        };
        let progress = &held.replica.state.progress;
        if after.generation > position.generation || !after.is_within(progress) {
            return Ok(Ok(None));
        }
        if held.replica.is_below_floor(&after.vector, &[]) {
            return Ok(Err(Error::Lagged));
        }
        let (mut changes, mut read, mut bytes) = (Vec::new(), 0, 0);
        let above = intervals_above(&held.replica, &after.vector);
        let mut intervals = after.news_of(above).into();
        let (mut current, copy) = (None, held.replica.prefix);
        let records = core::iter::from_fn(|| {
            next_of_log(&self.store, copy, &mut intervals, &mut current).transpose()
        });
        for record in records {
            let (epoch, sent) = record?;
            read += 1;
            let matches = sent.key.starts_with(prefix)
                || rows::split_sum(&sent.key).is_some_and(|(key, _)| key.starts_with(prefix));
            if matches && !planted(Planted::ResumedWithAGap) {
                bytes += sent.weight();
                changes.push(sent.into_record(epoch));
            }
            if read > RESUME_ROWS || changes.len() > RESUME_CHANGES || bytes > RESUME_BYTES {
                return Ok(Err(Error::Lagged));
            }
        }
        let changes = self.seen_by_users(id, changes)?;
        Ok(Ok(Some(Changes { changes, position })))
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
            let found = read_stored(&self.store, prefix, counter)?;
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
        if !self.watch.is_watched(id) {
            return;
        }
        let position = self.position(id);
        let mut messages = Vec::new();
        if let Some(watches) = self.watch.remote.get_mut(&id) {
            for ((peer, request), watch) in watches {
                watch.changed = true;
                let changes: Vec<_> = changes
                    .iter()
                    .filter(|(stored, _)| stored.starts_with(&watch.prefix))
                    .cloned()
                    .collect();
                if !changes.is_empty() {
                    let (index, position) = (watch.index, Some(position.clone()));
                    watch.index += 1;
                    let request = *request;
                    messages.push((*peer, Message::Changes { request, index, changes, position }));
                }
            }
        }
        for (peer, message) in messages {
            self.send(peer, &message);
        }
        if self.watch.local.contains_key(&id) {
            self.outputs.push_back(Output::Changed(id, Changes { changes, position }.into()));
        }
    }

    /// A copy here sees no changes any more: whoever watches it hears that it was lost.
    pub(super) fn end_watches(&mut self, id: DatabaseId) {
        for (peer, request) in self.watch.remote.remove(&id).unwrap_or_default().into_keys() {
            // No change has this number: the watcher takes it for a gap.
            let (index, changes, position) = (u64::MAX, Vec::new(), None);
            self.send(peer, &Message::Changes { request, index, changes, position });
        }
        if self.watch.local.contains_key(&id) {
            self.outputs.push_back(Output::WatchLost(id));
        }
    }

    /// Tells watchers at other peers how many changes they should have seen, and up to where: a last one
    /// that was dropped on the way would go unnoticed otherwise.
    pub(super) fn confirm_watches(&mut self) {
        let mut due = Vec::new();
        for (id, watches) in &mut self.watch.remote {
            for ((peer, request), watch) in watches {
                if core::mem::take(&mut watch.changed) {
                    due.push((*id, *peer, *request, watch.index));
                }
            }
        }
        for (id, peer, request, index) in due {
            let (changes, position) = (Vec::new(), Some(self.position(id)));
            self.send(peer, &Message::Changes { request, index, changes, position });
        }
    }

    pub(super) fn changes_arrived(
        &mut self,
        peer: PeerId,
        request: u64,
        index: u64,
        changes: Vec<(Vec<u8>, Record)>,
        position: Option<Position>,
    ) {
        let next = self.forward.next_change(peer, request, index, changes.is_empty());
        match (next, position) {
            (Some((token, true)), Some(position)) => {
                let changes = Changes { changes, position };
                self.outputs.push_back(Output::ChangedElsewhere(token, Ok(changes)));
            }
            (Some((token, _)), _) => {
                self.outputs.push_back(Output::ChangedElsewhere(token, Err(Error::Lagged)));
                self.send(peer, &Message::Unwatch { request });
            }
            (None, _) => self.send(peer, &Message::Unwatch { request }),
        }
    }
}
