//! Draining: a peer that is to go for good hands over everything that it holds first.
//!
//! It tells the others a weight of 0, which means that it takes no copies and that those it has do not
//! count: so each steward invites as many others as are missing to `min`, at once, and there may be one
//! copy more than `max` for a while. Then it leaves one database after the other by the ordinary protocol
//! (see [`super::leave`]), but whatever its rank, and with `min` keepers that are not draining themselves.
//! What it was told survives a restart.

use alloc::vec::Vec;

use super::Node;
use super::rounds::turn;
use crate::clock::Now;
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::rows::{self, Transaction};
use crate::status::{DrainStatus, HolderState};
use crate::store::{Space, Store};
use crate::wire;

/// The weight of a peer that is draining.
pub(super) const DRAINING: u32 = 0;
/// What a peer tells the others of its weight.
pub(super) fn weight(draining: bool, usual: u32) -> u32 {
    if draining { DRAINING } else { usual }
}

/// Most databases that are looked at in one second for whether they can be left.
const LOOKS_MAX: usize = 1_024;

/// Whether this peer is draining, and how far it is.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) on: bool,
    /// The last database that was looked at.
    cursor: Option<DatabaseId>,
}

impl Drain {
    pub(super) fn new(on: bool) -> Self {
        Self { on, cursor: None }
    }
}

impl<S: Store> Node<S> {
    /// Begins to give back every copy, or stops doing so.
    ///
    /// # Errors
    /// When the peer has stopped, or its store fails.
    pub fn drain(&mut self, on: bool, now: Now) -> Result<(), Error> {
        self.alive()?;
        if self.drain.on == on {
            return Ok(());
        }
        let mut transaction = Transaction::default();
        let row = rows::peer_key("drain");
        if on {
            transaction.put(Space::Meta, row, wire::encode(&on));
        } else {
            transaction.remove(Space::Meta, row);
        }
        let result = self.commit(transaction).and_then(|()| self.sync_store());
        if result.is_ok() {
            self.drain = Drain::new(on);
            let weight = weight(on, self.config.weight);
            self.describe_anew(|identity| identity.weight = weight, now);
            self.broadcast_hello();
            self.review_all();
        }
        self.finish(result, now);
        self.alive()
    }

    /// How far the drain is.
    pub fn drain_status(&self) -> DrainStatus {
        let draining = self.drain.on;
        let minority = draining && !self.is_majority();
        let mut status = DrainStatus { draining, copies: 0, waiting: 0, behind: 0, minority };
        for (id, held) in &self.held {
            if held.role != HolderState::Gone && !self.directory.is_system(*id) {
                status.copies += 1;
                let waits = draining && self.keepers(*id).len() < self.fewest(*id);
                let behind = draining && !held.replica.state.progress.is_whole();
                status.waiting += u64::from(waits);
                status.behind += u64::from(behind);
            }
        }
        status
    }

    /// Whether a peer is on its way out for good: its copies do not count.
    pub(super) fn is_draining(&self, peer: PeerId) -> bool {
        if peer == self.config.peer {
            return self.drain.on;
        }
        self.members.get(&peer).is_some_and(|member| member.weight == DRAINING)
    }

    /// The next databases to be left, where this peer is draining.
    pub(super) fn next_to_drain(&mut self) -> Vec<DatabaseId> {
        let Self { drain, held, .. } = self;
        let mut ids =
            turn(&mut drain.cursor, LOOKS_MAX, |ring| held.range(ring).map(|(id, _)| *id));
        ids.retain(|id| {
            let active = self.held.get(id).is_some_and(|held| held.role == HolderState::Active);
            active && !self.directory.is_system(*id)
        });
        ids
    }
}
