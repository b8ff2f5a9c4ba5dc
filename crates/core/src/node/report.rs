//! What a peer says of itself, its peers and its databases.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Node, Place};
use crate::clock::Now;
use crate::definition::Definition;
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId, hex};
use crate::name::Path;
use crate::replica::State;
use crate::status::{
    DatabaseStatus, DatabaseSummary, HolderState, HolderStatus, NodeStatus, PeerStatus,
};
use crate::store::Store;

impl<S: Store> Node<S> {
    /// The status of a database that is held here, or that nobody has written to.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is at others, [`Error::NoMatch`] when nobody has written to it and
    /// no definition accepts it.
    pub fn database_status(&self, path: &Path, now: Now) -> Result<DatabaseStatus, Error> {
        self.alive()?;
        let id = self.database_id(path.as_str());
        let unwritten = State::default();
        let state = match self.held.get(&id) {
            Some(held) => &held.replica.state,
            None if self.place_of(id, now) == Place::Nowhere => {
                self.open(path)?;
                &unwritten
            }
            None => return Err(Self::not_here(path)),
        };
        let definition = self.definition_of(path.as_str());
        let holders = self.holder_statuses(id);
        let vector: alloc::collections::BTreeMap<String, u64> =
            state.progress.vector.iter().map(|(e, s)| (e.to_string(), s)).collect();
        Ok(DatabaseStatus {
            path: path.to_string(),
            id: id.to_string(),
            definition: definition.map(|definition| definition.name.clone()),
            generation: state.generation,
            peer: self.config.peer.to_string(),
            digest: hex(&state.digest.to_be_bytes()),
            vector,
            entries: state.counts.entries,
            tombstones: state.counts.tombstones,
            bytes: state.counts.bytes,
            limit: definition.and_then(|definition| definition.size),
            verdict: self.verdict(id, definition.map(|definition| &**definition), &holders),
            holders,
        })
    }

    fn holder_statuses(&self, id: DatabaseId) -> Vec<HolderStatus> {
        let own = self.config.peer;
        let status = |peer: PeerId, state, since| {
            let connected = peer == own || self.links.contains_key(&peer);
            HolderStatus {
                peer: peer.to_string(),
                state,
                live: self.is_live(peer),
                since,
                behind: connected.then(|| {
                    if peer == own {
                        u64::from(!self.is_whole(id))
                    } else {
                        self.unacknowledged(peer, id)
                    }
                }),
            }
        };
        if self.directory.is_system(id) {
            let peers = self.members.keys().chain([&own]);
            return peers.map(|peer| status(*peer, HolderState::Active, 0)).collect();
        }
        self.directory.holders(id).map(|(peer, h)| status(peer, h.state, h.since)).collect()
    }

    fn is_whole(&self, id: DatabaseId) -> bool {
        self.held.get(&id).is_some_and(|held| held.replica.state.progress.is_whole())
    }

    fn verdict(
        &self,
        id: DatabaseId,
        definition: Option<&Definition>,
        holders: &[HolderStatus],
    ) -> Vec<String> {
        let mut verdict = Vec::new();
        let counts = |holder: &&HolderStatus| holder.state == HolderState::Active && holder.live;
        let active = holders.iter().filter(counts).count() as u32;
        if holders.is_empty() && !self.held.contains_key(&id) {
            return alloc::vec![
                "nobody has written to it yet: the first write creates it".to_string()
            ];
        }
        if self.directory.is_system(id) {
            verdict.push("a system database: every peer holds it".to_string());
        } else if let Some(definition) = definition {
            let (min, max) = (definition.replication.min, definition.replication.max);
            let copies = format!("{active} live cop{}", if active == 1 { "y" } else { "ies" });
            if active < min {
                let live = self.members.len() as u32 + 1;
                let why = if live < min {
                    format!("only {live} peers are alive")
                } else if holders.iter().any(|h| h.state == HolderState::Joining && h.live) {
                    "others are joining".to_string()
                } else {
                    "others are invited once the missing ones stay away".to_string()
                };
                verdict.push(format!("under-replicated: {copies}, at least {min} wanted; {why}"));
            } else if active > max {
                verdict.push(format!("over-replicated: {copies}, at most {max} wanted"));
            } else {
                verdict.push(format!("{copies}, {min} to {max} wanted"));
            }
        } else {
            verdict.push(
                "no definition accepts its path any more: it cannot be opened, its data is kept"
                    .to_string(),
            );
        }
        if !self.is_whole(id) {
            verdict.push("this copy knows of writes that it has not received yet".to_string());
        }
        verdict.extend(self.why_not_collected(id));
        for holder in holders {
            match holder.behind {
                Some(behind) if behind > 0 && holder.peer != self.config.peer.to_string() => {
                    verdict.push(format!(
                        "{} has not acknowledged {behind} writes of this peer",
                        holder.peer
                    ));
                }
                None if holder.state != HolderState::Gone => {
                    verdict.push(format!("{} holds a copy and is not connected", holder.peer));
                }
                _ => {}
            }
        }
        verdict
    }

    /// Databases by path above `after`, at most `limit`.
    pub fn databases(&self, after: Option<&str>, limit: usize) -> Vec<DatabaseSummary> {
        let summary = |path: &str, id: DatabaseId| {
            let held = self.held.get(&id);
            let counted = |peer, state| state == HolderState::Active && self.is_live(peer);
            DatabaseSummary {
                path: path.to_string(),
                id: id.to_string(),
                definition: self.definition_of(path).map(|definition| definition.name.clone()),
                copies: self.directory.holders(id).filter(|(p, h)| counted(*p, h.state)).count()
                    as u32,
                held: held.is_some(),
                entries: held.map(|held| held.replica.state.counts.entries),
                bytes: held.map(|held| held.replica.state.counts.bytes),
            }
        };
        let known = self.directory.by_path(after).filter(|(_, id)| self.directory.is_known(*id));
        known.take(limit).map(|(path, id)| summary(path, id)).collect()
    }

    /// The definitions of the cluster, by name.
    pub fn definitions(&self) -> Vec<Definition> {
        self.registry.iter().cloned().collect()
    }

    /// The other peers: members, and those connected or remembered.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let mut known: alloc::collections::BTreeSet<PeerId> =
            self.members.keys().chain(self.links.keys()).copied().collect();
        known.extend(self.remembered.keys().copied());
        known.remove(&self.config.peer);
        let status = |peer: PeerId| {
            let member = self.members.get(&peer);
            let link = self.links.get(&peer);
            let remembered = || self.remembered.get(&peer).cloned().unwrap_or_default();
            PeerStatus {
                peer: peer.to_string(),
                name: member.map(|member| member.name.clone()).unwrap_or_default(),
                state: if member.is_some() { "alive" } else { "down" }.to_string(),
                connected: link.is_some(),
                addresses: member.map_or_else(remembered, |member| member.addresses.clone()),
                clock_offset_ms: link.and_then(|link| link.clock_offset),
                round_trip_us: link.and_then(|link| link.round_trip),
                zone: member.map(|member| member.zone.clone()).filter(|zone| !zone.is_empty()),
            }
        };
        known.into_iter().map(status).collect()
    }

    /// This peer.
    pub fn status(&self, version: &str) -> NodeStatus {
        let mut verdict = Vec::new();
        if let Some(error) = &self.failed {
            verdict.push(error.to_string());
        }
        if let Some(offset) = self.clock_off() {
            verdict.push(format!("the clock is {offset} ms off its peers': writes are refused"));
        }
        if self.is_cloned() {
            verdict.push(
                "another process runs under this peer's identity: writes are refused until one of them is stopped; start the copy with an empty directory"
                    .to_string(),
            );
        }
        if self.members.is_empty() {
            verdict.push("no other peer is known to be alive".to_string());
        }
        let apart = self.members.keys().filter(|peer| !self.links.contains_key(peer)).count();
        if apart > 0 {
            verdict.push(format!("{apart} live peers are not connected to this one"));
        }
        let health = self.health();
        for (count, before, after) in [
            (health.unavailable, "no holder of", "is alive: they can be neither read nor written"),
            (
                health.under_replicated,
                "fewer live copies than wanted of",
                "that this peer is the steward of",
            ),
            (
                health.over_replicated,
                "more live copies than wanted of",
                "that this peer is the steward of",
            ),
            (health.behind, "the copies here of", "know of writes that they have not received yet"),
        ] {
            match count {
                0 => {}
                1 => verdict.push(format!("{before} 1 database {after}")),
                count => verdict.push(format!("{before} {count} databases {after}")),
            }
        }
        let drain = self.drain_status();
        match (drain.draining, drain.copies) {
            (false, _) => {}
            (true, 0) => verdict.push("drained: it holds nothing and can be stopped".to_string()),
            (true, copies) => {
                let left = format!("draining: {copies} copies to hand over");
                verdict.push([alloc::vec![left], drain.why()].concat().join("; "));
            }
        }
        if verdict.is_empty() {
            verdict.push("all is well".to_string());
        }
        NodeStatus {
            peer: self.config.peer.to_string(),
            name: self.config.name.clone(),
            version: version.to_string(),
            epoch: self.epoch.to_string(),
            listen: self.membership.identity().addresses.clone(),
            live_peers: self.members.len() as u32 + 1,
            databases_held: drain.copies,
            draining: drain.draining,
            cloned: self.is_cloned(),
            databases_known: self.directory.len() as u64,
            health,
            verdict,
            counters: self.counters.iter().map(|(name, n)| ((*name).to_string(), *n)).collect(),
        }
    }
}
