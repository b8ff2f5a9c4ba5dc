//! Removing a copy: its local number is unlinked in one commit, its rows follow a little at a time.

use alloc::vec::Vec;

use super::Node;
use crate::ident::DatabaseId;
use crate::rows::{self, Transaction};
use crate::store::{Space, Store, StoreError, prefix_rows};
use crate::wire;

/// Most rows of unlinked copies that are removed in one tick.
const SWEEP_ROWS: usize = 2_000;

impl<S: Store> Node<S> {
    /// Forgets a copy: from here on its rows belong to nothing.
    pub(super) fn unlink(&mut self, id: DatabaseId) -> Result<(), StoreError> {
        self.forget_share(id);
        let Some(held) = self.held.remove(&id) else { return Ok(()) };
        let prefix = held.replica.prefix;
        let mut transaction = Transaction::default();
        transaction.remove(Space::Meta, rows::state_key(prefix));
        transaction.remove(Space::Meta, rows::base_key(prefix));
        transaction.remove(Space::Meta, rows::intern_key(id));
        transaction.put(Space::Meta, rows::unlinked_key(prefix), Vec::new());
        self.restored.forget(prefix, &mut transaction);
        transaction.put(Space::Meta, rows::peer_key("prefix"), wire::encode(&self.next_prefix));
        self.commit(transaction)?;
        self.leaves.unlinked.insert(prefix);
        self.pull.forget(id);
        self.losses.forget(id);
        self.collects.forget(id);
        self.sweeps.forget(id);
        self.scrub.forget(id);
        // Should a copy come here again, it must not give these sequences twice.
        let state = &held.replica.state;
        self.leaves.note_issued(id, state.generation, state.progress.vector.get(self.epoch));
        self.sums.changed(id);
        self.count("copies_removed", 1);
        Ok(())
    }

    /// Removes rows of unlinked copies.
    pub(super) fn sweep(&mut self) -> Result<(), StoreError> {
        let mut transaction = Transaction::default();
        let mut budget = SWEEP_ROWS;
        while let Some(&prefix) = self.leaves.unlinked.first() {
            for space in [Space::Data, Space::Log] {
                for row in prefix_rows(&self.store, space, &prefix.to_be_bytes()).take(budget) {
                    transaction.remove(space, row?.0);
                    budget -= 1;
                }
            }
            if budget == 0 {
                break;
            }
            transaction.remove(Space::Meta, rows::unlinked_key(prefix));
            self.leaves.unlinked.remove(&prefix);
            budget -= 1;
        }
        if transaction.is_empty() { Ok(()) } else { self.commit(transaction) }
    }
}
