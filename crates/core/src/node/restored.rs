//! A peer that was restored from a backup: what becomes of the copies that came with it.
//!
//! It is another peer than the one that was backed up, and the directory does not name it. At its first
//! start it writes itself `joining` for each copy, and joins as anybody does who comes back with rows: it
//! pulls from the active holders, and they pull from it what they lack. Where no complete copy is alive, a
//! copy that was complete in the backup is taken for what it is, the best there is, and becomes active.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{MILLISECOND, Node, read_row};
use crate::backup::{RestoredRow, complete_key};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::rows::{self, Prefix, Transaction};
use crate::status::HolderState;
use crate::store::{Space, Store, StoreError, prefix_rows};
use crate::wire;

/// Most copies that the directory is told of in one commit.
const CLAIMS_MAX: usize = 256;

/// What a restored peer knows of its backup.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// The peer that was backed up.
    source: Option<PeerId>,
    /// Copies that were complete then, and were not active since.
    complete: BTreeSet<Prefix>,
}

impl Restored {
    /// The peer that was backed up, if this one came of that.
    pub(super) fn source(&self) -> Option<PeerId> {
        self.source
    }

    /// A copy here is gone: its row goes with the others.
    pub(super) fn forget(&mut self, prefix: Prefix, transaction: &mut Transaction) {
        if self.complete.remove(&prefix) {
            transaction.remove(Space::Meta, complete_key(prefix));
        }
    }
}

impl<S: Store> Node<S> {
    /// Reads back that this peer was restored. At its first start, tells the directory of its copies.
    pub(super) fn load_restored(&mut self, now: Now) -> Result<(), StoreError> {
        let key = rows::peer_key("restored");
        let Some(row) = read_row::<RestoredRow>(&self.store, &key)? else { return Ok(()) };
        let marks = self.complete_marks()?;
        if row.source == self.config.peer {
            // The identity was put back as well: it is the same peer, with an older disk.
            let mut transaction = Transaction::default();
            transaction.remove(Space::Meta, key);
            for prefix in marks {
                transaction.remove(Space::Meta, complete_key(prefix));
            }
            return self.commit(transaction);
        }
        self.restored = Restored { source: Some(row.source), complete: marks };
        if row.claimed { self.drop_stale_marks() } else { self.claim_copies(&row, now) }
    }

    fn complete_marks(&self) -> Result<BTreeSet<Prefix>, StoreError> {
        let damaged = |_| StoreError::corrupt("the row of a restored copy");
        prefix_rows(&self.store, Space::Meta, b"r")
            .map(|row| row?.0[1..].try_into().map(Prefix::from_be_bytes).map_err(damaged))
            .collect()
    }

    /// A stop between two commits may have left the mark of a copy that was active already.
    fn drop_stale_marks(&mut self) -> Result<(), StoreError> {
        let own = self.config.peer;
        let joining = |id| {
            self.directory.holder(id, own).is_some_and(|own| own.state == HolderState::Joining)
        };
        let held = self.held.iter().filter(|(id, _)| joining(**id));
        let kept: BTreeSet<Prefix> = held.map(|(_, held)| held.replica.prefix).collect();
        let mut transaction = Transaction::default();
        for prefix in self.restored.complete.difference(&kept) {
            transaction.remove(Space::Meta, complete_key(*prefix));
        }
        self.restored.complete.retain(|prefix| kept.contains(prefix));
        if transaction.is_empty() { Ok(()) } else { self.commit(transaction) }
    }

    /// Notes which copies were complete, while the directory says what it said then, and writes this
    /// peer into it. Whatever is cut short is done again at the next start.
    fn claim_copies(&mut self, row: &RestoredRow, now: Now) -> Result<(), StoreError> {
        let own = self.config.peer;
        let mut marks = Transaction::default();
        let mut writes = Vec::new();
        for (id, held) in &self.held {
            if self.directory.is_system(*id) || self.is_outdated(*id) {
                continue;
            }
            let was = self.directory.holder(*id, row.source).map(|holder| holder.state);
            if was.is_some_and(HolderState::is_complete) {
                marks.put(Space::Meta, complete_key(held.replica.prefix), Vec::new());
                self.restored.complete.insert(held.replica.prefix);
            }
            let joining = HolderState::Joining;
            writes.extend(self.directory.holder_write(*id, own, joining, now.wall));
        }
        self.commit(marks)?;
        for some in writes.chunks(CLAIMS_MAX) {
            self.write_system(some.to_vec(), now)?;
        }
        let mut transaction = Transaction::default();
        let row = RestoredRow { claimed: true, ..row.clone() };
        transaction.put(Space::Meta, rows::peer_key("restored"), wire::encode(&row));
        self.commit(transaction)
    }

    /// Whether a restored copy that nobody can be joined for was complete, and no complete one is alive:
    /// at once where no other peer is expected, else after the replacement delay.
    pub(super) fn is_best_left(&self, id: DatabaseId, now: Now) -> bool {
        let Some(held) = self.held.get(&id) else { return false };
        if !self.restored.complete.contains(&held.replica.prefix)
            || self.active_holders(id).next().is_some()
        {
            return false;
        }
        let alone =
            self.links.is_empty() && !self.config.expects_peers && self.remembered.is_empty();
        let waited = self.started.monotonic + self.config.replacement_delay * MILLISECOND;
        self.is_in_step_with_connected(now) && (alone || waited <= now.monotonic)
    }

    /// A copy is active: from now on it is like any other.
    pub(super) fn unmark_restored(&mut self, id: DatabaseId) -> Result<(), StoreError> {
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let prefix = held.replica.prefix;
        let mut transaction = Transaction::default();
        self.restored.forget(prefix, &mut transaction);
        if transaction.is_empty() { Ok(()) } else { self.commit(transaction) }
    }
}
