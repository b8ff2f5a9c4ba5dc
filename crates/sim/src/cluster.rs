//! A simulated cluster for the tests of other programs: peers on a virtual clock, faults by name,
//! and assertions that wait for what they expect.
//!
//! ```
//! use std::time::Duration;
//! use tidings_sim::cluster::SimCluster;
//! use tidings_sim::faults::{Fault, FaultKind};
//!
//! let mut cluster = SimCluster::new(1).peers(3).start();
//! cluster.put(0, "profile/alice", "mood", 20);
//! cluster.assert_converges(Duration::from_secs(5));
//!
//! // The last peer is cut off, and both sides go on writing.
//! let cut = Fault::new(FaultKind::Isolate, 2).lasting(20_000_000);
//! cluster.inject(&cut);
//! let here = cluster.put(0, "profile/alice", "mood", 30);
//! let there = cluster.put(2, "profile/alice", "place", 10);
//! cluster.run_for(Duration::from_secs(20));
//! cluster.assert_converges(Duration::from_secs(60));
//! assert!(cluster.is_acknowledged(here) && cluster.is_acknowledged(there));
//! assert_eq!(cluster.holders("profile/alice"), 3);
//!
//! // Ends all faults and checks every invariant of the protocol.
//! cluster.finish();
//! ```

use std::time::Duration;

use tidings_core::definition::Definition;
use tidings_core::ident::DatabaseId;
use tidings_core::name::Path;
use tidings_core::node::Place;
use tidings_core::read::read_record;
use tidings_core::record::Payload;
use tidings_core::rows::stored_key;

use crate::checker::Fate;
use crate::faults::Fault;
use crate::scenario::{Class, Links, SECOND, Scenario};
use crate::workload::Terms;
use crate::world::World;

/// How long peers get to know each other before [`SimClusterBuilder::start`] returns.
const ACQUAINTANCE: Duration = Duration::from_secs(5);
/// How often what is waited for is looked at, in microseconds of virtual time.
const LOOK: u64 = SECOND / 20;

/// A write, to ask later what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteNumber(usize);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct SimClusterBuilder {
    scenario: Scenario,
    defined: bool,
}

impl SimClusterBuilder {
    /// How many peers, 1 or more; the default is 3.
    #[must_use]
    pub fn peers(mut self, count: usize) -> Self {
        self.scenario.peers = vec![Class::of(count.max(1))];
        self
    }

    /// One more definition. Without any, every peer holds every database.
    #[must_use]
    pub fn definition(mut self, definition: Definition) -> Self {
        if !std::mem::replace(&mut self.defined, true) {
            self.scenario.definitions.clear();
        }
        self.scenario.definitions.push(definition);
        self
    }

    /// The links; the default is a wired local network.
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.scenario.links = links;
        self
    }

    /// How long the fewest copies may be missing before others are invited; the default is 10 s.
    #[must_use]
    pub fn replacement_delay(mut self, delay: Duration) -> Self {
        self.scenario.replacement_delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// How long a copy too many stays before it is given back; the default is 10 s.
    #[must_use]
    pub fn stability_window(mut self, window: Duration) -> Self {
        self.scenario.stability_window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Starts the peers and lets them get to know each other.
    ///
    /// # Panics
    /// When a definition is not valid.
    #[track_caller]
    pub fn start(mut self) -> SimCluster {
        let count = self.scenario.count() as u32;
        if !self.defined {
            self.scenario.definitions = vec![Definition::new("all", "**", count, count)];
        }
        for definition in &self.scenario.definitions {
            if let Err(error) = definition.validate() {
                panic!("{error}");
            }
        }
        let mut cluster = SimCluster { world: World::new(self.scenario) };
        cluster.run_for(ACQUAINTANCE);
        cluster
    }
}

/// A running cluster of simulated peers. Peers are named by their number from 0. Nothing takes real
/// time but computing; the same seed and calls give the same run.
#[derive(Debug)]
pub struct SimCluster {
    world: World,
}

impl SimCluster {
    /// Begins to build a cluster whose bad luck comes from a seed.
    #[expect(clippy::new_ret_no_self, reason = "a cluster has to be started")]
    pub fn new(seed: u64) -> SimClusterBuilder {
        SimClusterBuilder { scenario: Scenario::quiet(seed, 3), defined: false }
    }

    /// The world behind it, for everything that has no call here.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Lets virtual time pass.
    ///
    /// # Panics
    /// When an invariant of the protocol breaks; so for every call that lets time pass.
    #[track_caller]
    pub fn run_for(&mut self, time: Duration) {
        self.world.run_for(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.assert_unbroken();
    }

    /// Puts a value of so many bytes (8 at least: each value carries the number of its write).
    pub fn put(&mut self, peer: usize, path: &str, key: &str, bytes: usize) -> WriteNumber {
        let write = vec![vec![(stored_key(key.as_bytes()), Some(bytes))]];
        let numbers = self.world.write(peer, path, write, Terms::default());
        WriteNumber(numbers.first().copied().unwrap_or(usize::MAX))
    }

    /// Deletes a key.
    pub fn delete(&mut self, peer: usize, path: &str, key: &str) -> WriteNumber {
        WriteNumber(self.world.delete(peer, path, key))
    }

    /// Whether a write is acknowledged, and was not destroyed by a fault since that its durability
    /// does not cover.
    pub fn is_acknowledged(&self, write: WriteNumber) -> bool {
        let attempt = self.world.checker.attempts().get(write.0);
        attempt.is_some_and(|attempt| matches!(attempt.fate, Fate::Acknowledged(_)))
    }

    /// The write whose value a peer has under a key in its own copy; `None`: nothing, or no copy.
    pub fn read(&mut self, peer: usize, path: &str, key: &str) -> Option<WriteNumber> {
        let Some(Place::Here(prefix)) = self.place(peer, path) else { return None };
        let store = self.world.processes[peer].node.as_ref()?.store();
        let record = read_record(store, prefix, &stored_key(key.as_bytes())).ok()??;
        let Payload::Value(value, _) = record.payload() else { return None };
        value.first_chunk::<8>().map(|number| WriteNumber(u64::from_le_bytes(*number) as usize))
    }

    /// How many running peers have a complete copy.
    pub fn holders(&mut self, path: &str) -> usize {
        let peers = 0..self.world.processes.len();
        peers.filter(|peer| matches!(self.place(*peer, path), Some(Place::Here(_)))).count()
    }

    fn place(&mut self, peer: usize, path: &str) -> Option<Place> {
        let path = Path::new(path).ok()?;
        self.world.call(peer, |node, now| node.place(&path, now))
    }

    /// The id of the database at a path.
    pub fn database_id(&self, path: &str) -> Option<DatabaseId> {
        let mut nodes = self.world.processes.iter().filter_map(|process| process.node.as_ref());
        nodes.next().map(|node| node.database_id(path))
    }

    /// Lets a fault happen now.
    pub fn inject(&mut self, fault: &Fault) {
        self.world.inject(fault);
    }

    /// Starts a peer that does not run.
    pub fn start(&mut self, peer: usize) {
        self.world.start(peer);
    }

    /// Waits until every peer runs, is connected, and all copies are equal and as many as they must
    /// be, for so much virtual time at most; returns how long it took.
    ///
    /// # Panics
    /// When that takes longer, saying what is missing.
    #[track_caller]
    pub fn assert_converges(&mut self, within: Duration) -> Duration {
        let began = self.world.now;
        let patience = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        while let Some(why) = self.world.unsettled() {
            assert!(self.world.now - began < patience, "not converged within {within:?}: {why}");
            self.world.run_for(LOOK);
            self.assert_unbroken();
        }
        Duration::from_micros(self.world.now - began)
    }

    /// Ends all faults, waits until everything is at rest, and checks every invariant.
    ///
    /// # Panics
    /// When one broke.
    #[track_caller]
    pub fn finish(mut self) {
        self.world.settle();
        self.assert_unbroken();
    }

    #[track_caller]
    fn assert_unbroken(&self) {
        if let Some(violation) = &self.world.checker.violation {
            panic!("{violation}");
        }
    }
}
