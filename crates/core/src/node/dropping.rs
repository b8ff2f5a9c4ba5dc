//! Dropping a database: everything that was ever written to it, on every peer, for good.
//!
//! A drop raises the *generation* of the database in the directory, which every peer holds and which
//! never forgets it. Whoever hears of that removes its copy. Every message names the generation that it is
//! about: what a peer that was away still has, or still sends, is of no database that there is. The next
//! write begins the database anew.

use super::{Event, Node};
use crate::clock::Now;
use crate::error::Error;
use crate::ident::DatabaseId;
use crate::name::Path;
use crate::planted::{Planted, planted};
use crate::status::HolderState;
use crate::store::{Store, StoreError};

impl<S: Store> Node<S> {
    /// Drops a database, for good. It is removed here at once, and elsewhere as soon as the peers hear of
    /// it; what is written meanwhile by those who have not is dropped with the rest. False: nobody
    /// has written to it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while this peer does not know yet what the others hold, [`Error::Cloned`],
    /// or when the store fails.
    pub fn drop_database(&mut self, path: &Path, now: Now) -> Result<bool, Error> {
        self.alive()?;
        self.not_cloned()?;
        let id = self.database_id(path.as_str());
        // Else it might be one that was dropped already.
        if !self.is_in_step(now) {
            return Err(Error::not_in_step(path.as_str()));
        }
        if !self.directory.is_known(id) {
            return Ok(false);
        }
        let write = self.directory.drop_write(id, path.as_str());
        let result = self.write_system(write.into_iter().collect(), now);
        // Whoever was told that it is dropped must not find it there again.
        let result = result.and_then(|()| self.sync_store());
        self.finish(result, now);
        self.alive().map(|()| true)
    }

    /// Whether the copy here is of a generation that was dropped.
    pub(super) fn is_outdated(&self, id: DatabaseId) -> bool {
        let held = self.held.get(&id);
        held.is_some_and(|held| held.replica.state.generation < self.directory.generation(id))
    }

    /// Removes the copy here of a database that was dropped.
    pub(super) fn remove_dropped(&mut self, id: DatabaseId, now: Now) -> Result<(), StoreError> {
        if planted(Planted::DroppedCopyStays) {
            return Ok(());
        }
        if self.held.get(&id).is_some_and(|held| held.role == HolderState::Active) {
            self.note_moved();
        }
        let path = self.path_of(id);
        self.end_watches(id);
        self.forget_pushes_of(id, &path);
        self.leaves.forget(id);
        self.joins.forget(id);
        self.end_syncs(id);
        self.unlink(id)?;
        self.start_waiting_pulls(now);
        self.count("databases_dropped", 1);
        self.event(Event::DatabaseDropped(path));
        Ok(())
    }
}
