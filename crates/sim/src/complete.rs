//! Whether a copy that becomes complete is: it reflects at least what another one reflected before
//! it came into being.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidings_core::ident::DatabaseId;
use tidings_core::node::Node;
use tidings_core::replica::{Replica, Stored};
use tidings_core::status::HolderState;
use tidings_core::store::Space;
use tidings_core::vector::Vector;

use crate::disk::FaultyStore;
use crate::look::{Copies, incarnation};
use crate::scenario::SECOND;
use crate::world::World;

/// A copy that leaves asks its keepers at most this long before.
const LEAVE_TIME: u64 = 30 * SECOND;

/// The copies of a database at one moment that others may join from: whose, and what it reflected.
type Complete = Arc<Vec<(usize, Vector)>>;

/// For each process and database: the copies at the last check at which this process had none, and
/// how many disks had lost data until then.
#[derive(Debug, Default)]
pub(crate) struct Before(BTreeMap<(usize, DatabaseId), (u64, Complete)>);

impl World {
    /// Notes the copies that others may join from, for every process that has none.
    pub(crate) fn note_complete(&mut self) {
        let mut complete: BTreeMap<DatabaseId, Vec<(usize, Vector)>> = BTreeMap::new();
        for (index, (process, disk)) in self.processes.iter().zip(self.looks.disks()).enumerate() {
            // What does not run may come back and be pulled from: then it counts, whatever it is.
            let active: Option<BTreeSet<DatabaseId>> = process.node.as_ref().map(|node| {
                let copies = node.copies().filter(|(_, role)| *role == HolderState::Active);
                copies.map(|(id, _)| present(node, id)).collect()
            });
            let counts = |id: &DatabaseId| active.as_ref().is_none_or(|active| active.contains(id));
            for (id, copy) in disk.iter().filter(|(id, _)| counts(id)) {
                if !copy.path.starts_with("_tidings/") {
                    let vector = copy.state.progress.vector.clone();
                    complete.entry(id).or_default().push((index, vector));
                }
            }
        }
        for (id, copies) in complete {
            let copies = Arc::new(copies);
            for (index, disk) in self.looks.disks().enumerate() {
                if disk.get(id).is_none() {
                    self.before.0.insert((index, id), (self.losses, copies.clone()));
                }
            }
        }
    }

    /// 4: only a complete copy answers reads.
    pub(crate) fn check_active(&mut self, index: usize, id: DatabaseId) {
        let Some(node) = &self.processes[index].node else { return };
        if !is_active(node, id) {
            let what = format!("peer {index} answers reads of {id:?}, which is not complete there");
            self.checker.broke("4 complete copies", what);
        }
    }

    /// 4: a copy that becomes complete reflects what one of those reflected that were complete
    /// before it came into being. Not where a disk lost data since.
    pub(crate) fn check_complete(&mut self, index: usize, id: DatabaseId) {
        self.refresh_looks();
        let Some(node) = &self.processes[index].node else { return };
        let there = present(node, id);
        let Some((losses, complete)) = self.before.0.get(&(index, there)) else { return };
        let Some(replica) = node.replica(id).filter(|_| *losses == self.losses) else { return };
        let own = &replica.state.progress.vector;
        // Where another one came into being since, it may have been filled from that.
        let noted = |process: usize| complete.iter().any(|(noted, _)| *noted == process);
        let mut holders =
            self.looks.disks().enumerate().filter(|(_, disk)| disk.get(there).is_some());
        let later = holders.any(|(process, _)| process != index && !noted(process));
        // One that found itself damaged since trusts nothing of what it reflected.
        let still = |process: usize, vector: &Vector| {
            self.processes[process].node.as_ref().is_some_and(|node| {
                let reflects = |replica: &Replica| replica.state.progress.vector.dominates(vector);
                is_active(node, id) && node.replica(id).is_some_and(reflects)
            })
        };
        // Nobody can know of one that came into being on the other side of a cut, and then was away.
        let peers = node.peers();
        let known = |process: usize| {
            let peer = self.processes[process].peer;
            let name = peer.to_string();
            let cut = |from, to| self.network.is_blocked(from, to);
            let connected = || peers.iter().any(|other| other.peer == name && other.connected);
            let named = node.directory().holder(id, peer);
            named.is_some_and(|holder| holder.state.is_complete())
                || !cut(index, process) && !cut(process, index) && connected()
        };
        if !later
            && !complete.iter().any(|(_, vector)| own.dominates(vector))
            && complete.iter().any(|(process, vector)| known(*process) && still(*process, vector))
        {
            let path = &replica.path;
            let what =
                format!("{path:?} of peer {index} reflects {own:?}, the others had {complete:?}");
            self.checker.broke("4 complete copies", what);
        }
    }

    /// 10: a copy is given back only where at least `min` others durably reflect all that it did. Not
    /// where a disk was destroyed since they may have said so.
    pub(crate) fn check_left(&mut self, index: usize, id: DatabaseId) {
        if self.now.saturating_sub(self.destroyed) < LEAVE_TIME && self.destroyed != u64::MAX {
            return;
        }
        self.refresh_looks();
        let Some(node) = &self.processes[index].node else { return };
        let Some(replica) = node.replica(id) else { return };
        // Whoever has heard that it was dropped has nothing of it any more.
        if self.checker.is_dropped(id, replica.state.generation) {
            return;
        }
        let own = &replica.state.progress.vector;
        let there = present(node, id);
        let path = tidings_core::name::Path::new(&replica.path).ok();
        let definition = path.and_then(|path| node.open(&path).ok());
        let min = definition.map_or(1, |definition| definition.replication.min as usize);
        let keeps = |(other, disk): (usize, &Copies)| {
            let process = &self.processes[other];
            let synced = |key: &[u8]| Ok(process.disk.synced_row(Space::Meta, key));
            let stored = disk.get(there).and_then(|copy| Stored::read(copy.prefix, synced).ok());
            other != index
                && process.node.as_ref().is_none_or(|node| is_active(node, id))
                && stored.is_some_and(|stored| stored.state.progress.vector.dominates(own))
        };
        let kept =
            self.looks.disks().enumerate().filter(|(other, disk)| keeps((*other, *disk))).count();
        if kept < min {
            let what = format!("{:?} left peer {index}, and {kept} of {min} copies", replica.path);
            self.checker.broke("10 copies", what);
        }
    }
}

/// The incarnation of a database that a peer has, or else knows.
pub(crate) fn present(node: &Node<FaultyStore>, id: DatabaseId) -> DatabaseId {
    let held = node.replica(id).map(|replica| replica.state.generation);
    incarnation(id, held.unwrap_or_else(|| node.directory().generation(id)))
}

pub(crate) fn is_active(node: &Node<FaultyStore>, id: DatabaseId) -> bool {
    node.copies().any(|(held, role)| held == id && role == HolderState::Active)
}
