//! What a run is made of: read from a file, drawn from a seed, or built by a test.
//!
//! A [`Scenario`] is one value whatever its source. [`read`] makes one from TOML, [`Scenario::swarm`] draws one
//! from a seed, [`Scenario::to_toml`] gives it back as TOML, and [`Scenario::expand`] turns everything that is
//! still to be drawn (operations, faults) into an explicit timeline. Shares are parts per million and
//! times are microseconds, so that a run needs no floating point and is the same on every machine.

pub mod document;
mod links;
pub mod read;
mod swarm;
pub mod units;
mod write;

use std::collections::BTreeSet;

use tidings_core::definition::Definition;

pub use crate::faults::FaultKind;
use crate::timeline::Timed;
pub use links::{Distribution, Link, Links, PRESETS};

/// A millisecond, in the world's microseconds.
pub const MILLISECOND: u64 = 1_000;
/// A second, in the world's microseconds.
pub const SECOND: u64 = 1_000_000;
/// A whole, in parts per million.
pub const WHOLE: u64 = 1_000_000;

/// Most peers of a run: above this the full mesh of connections outgrows the memory of a machine.
pub const PEERS_MAX: usize = 2_000;
/// Most databases of a run.
pub const DATABASES_MAX: u64 = 1_000_000;

/// Peers that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// How many, at least 1.
    pub count: usize,
    /// Their failure domain; empty: none.
    pub zone: String,
    /// Their share of the databases in hundredths; 100 is usual.
    pub weight: u32,
    /// When they start, in microseconds after the beginning; they do so spread over a second.
    pub starts: u64,
}

impl Class {
    /// This many ordinary peers.
    pub fn of(count: usize) -> Self {
        Self { count, zone: String::new(), weight: 100, starts: 0 }
    }
}

/// Which databases the users work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// These.
    Named(Vec<String>),
    /// This many, named by the path with their number in place of `{}`.
    Counted(u64, String),
}

impl Databases {
    /// Their paths, in order.
    pub fn paths(&self) -> Vec<String> {
        match self {
            Self::Named(paths) => paths.clone(),
            Self::Counted(count, path) => (0..*count).map(|n| numbered(path, n)).collect(),
        }
    }
}

/// The path of one of the databases that share a pattern.
pub(crate) fn numbered(path: &str, number: u64) -> String {
    path.replacen("{}", &number.to_string(), 1)
}

/// How often each kind of operation is drawn, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Single writes; one in ten is a burst of four in one call.
    pub put: u64,
    /// Batches of two to nine writes.
    pub batch: u64,
    /// Reads of one key.
    pub read: u64,
    /// Waits until a copy has caught up.
    pub sync: u64,
    /// Values of 200 to 350 kB, which travel in parts.
    pub large: u64,
    /// Questions how a database is doing.
    pub status: u64,
    /// Drops of a database.
    pub drop: u64,
    /// Increments of counters, and reads of them.
    pub count: u64,
    /// Puts of what expires, other changes of it, and reads.
    pub expire: u64,
}

impl Mix {
    /// Nothing.
    pub const NONE: Self = Self {
        put: 0,
        batch: 0,
        read: 0,
        sync: 0,
        large: 0,
        status: 0,
        drop: 0,
        count: 0,
        expire: 0,
    };

    /// All weights together, without those of counters and of what expires.
    pub fn plain(&self) -> u64 {
        let Self { put, batch, read, sync, large, status, drop, .. } = self;
        put + batch + read + sync + large + status + drop
    }
}

/// What users do at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Operations in a thousand seconds, over all peers; 0: none.
    pub rate: u64,
    /// The databases.
    pub databases: Databases,
    /// Every database is written to once within this time, evenly, before the rest begins; 0: not.
    pub populate: u64,
    /// New databases in a thousand seconds; needs [`Databases::Counted`].
    pub opens: u64,
    /// Keys of each database.
    pub keys: u64,
    /// Whether the n-th key is drawn in proportion to 1/n, instead of all alike.
    pub zipf: bool,
    /// Share of operations that go to the three hot keys.
    pub hot: u64,
    /// Longest ordinary value, in bytes.
    pub value_bytes: u64,
    /// Share of writes that delete.
    pub deletes: u64,
    /// Share of writes that ask to be synced.
    pub synced: u64,
    /// Share of writes that ask to be buffered, whatever the definition says.
    pub buffered: u64,
    /// Share of writes to be acknowledged by two or three holders.
    pub acknowledged: u64,
    /// Which operations.
    pub mix: Mix,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 0,
            databases: Databases::Named(vec!["a".into()]),
            populate: 0,
            opens: 0,
            keys: 20,
            zipf: false,
            hot: 0,
            value_bytes: 64,
            deletes: 100_000,
            synced: 0,
            buffered: 0,
            acknowledged: 0,
            mix: Mix { put: 60, batch: 10, read: 30, ..Mix::NONE },
        }
    }
}

/// Faults that happen at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomFaults {
    /// Kinds that may happen; none: no random faults.
    pub kinds: BTreeSet<FaultKind>,
    /// Mean pause between two, in microseconds.
    pub every: u64,
    /// Longest time a fault lasts, in microseconds.
    pub longest: u64,
}

/// What a run is expected to show, beside the invariants; `None`: not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// All copies are equal this long after faults and users stop, in microseconds.
    pub converge_within: Option<u64>,
    /// 99 of 100 acknowledged writes are at each active holder within this time, in microseconds.
    pub propagation_p99: Option<u64>,
    /// Most acknowledged writes that faults may destroy beyond what their durability covers.
    pub lost_writes: Option<u64>,
    /// Most bytes that a peer sends in a second, on average.
    pub traffic: Option<u64>,
    /// Least share of writes that are acknowledged, in parts per million.
    pub acknowledged: Option<u64>,
}

/// What a run is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// A name for people.
    pub name: String,
    /// What it shows.
    pub description: String,
    /// The seed of everything random.
    pub seed: u64,
    /// The peers, numbered through from 0.
    pub peers: Vec<Class>,
    /// Definitions, applied by the peers at their start.
    pub definitions: Vec<Definition>,
    /// How many of the first peers apply the definitions.
    pub appliers: usize,
    /// What users do at random.
    pub load: Load,
    /// How long operations and faults go on, in microseconds.
    pub duration: u64,
    /// How long convergence may take once the faults have stopped, in microseconds.
    pub patience: u64,
    /// How often the invariants of all copies are checked, in microseconds.
    pub check_every: u64,
    /// How often the series are sampled, in microseconds; 0: never.
    pub sample_every: u64,
    /// The links.
    pub links: Links,
    /// What goes wrong at random.
    pub faults: RandomFaults,
    /// How many of the last peers stay dead when the faults stop.
    pub stay_dead: usize,
    /// How long the fewest copies may be missing before others are invited, in milliseconds.
    pub replacement_delay: u64,
    /// How long a copy too many stays before it is given back, in milliseconds.
    pub stability_window: u64,
    /// How long a peer must have been there before it takes copies over, in milliseconds; 0: it never does.
    pub rebalance_delay: u64,
    /// How long the rows of a copy that was given back are kept, in milliseconds.
    pub trash: u64,
    /// How old a tombstone must be before it is collected, in milliseconds.
    pub tombstone_grace: u64,
    /// How long a holder may be away before it no longer counts as one, in milliseconds.
    pub holder_ttl: u64,
    /// Pause between two looks for entries that have expired, in milliseconds.
    pub sweep_interval: u64,
    /// Clocks are this far off from the start, at most, in milliseconds.
    pub clock_spread: u64,
    /// What happens when, in order of time.
    pub timeline: Vec<Timed>,
    /// What the run shall show.
    pub expect: Expectations,
}

impl Scenario {
    /// A quiet run of some peers on a LAN, all of which hold every database, without operations and
    /// faults.
    pub fn quiet(seed: u64, peers: usize) -> Self {
        Self {
            name: "quiet".into(),
            description: String::new(),
            seed,
            peers: vec![Class::of(peers)],
            definitions: vec![Definition::new("all", "**", peers as u32, peers as u32)],
            appliers: 1,
            load: Load::default(),
            duration: 10 * SECOND,
            patience: 120 * SECOND,
            check_every: 2 * SECOND,
            sample_every: 0,
            links: Links::default(),
            faults: RandomFaults { kinds: BTreeSet::new(), every: SECOND, longest: 25 * SECOND },
            stay_dead: 0,
            replacement_delay: 10_000,
            stability_window: 10_000,
            rebalance_delay: 0,
            trash: 60_000,
            tombstone_grace: tidings_core::node::TOMBSTONE_GRACE,
            holder_ttl: tidings_core::node::HOLDER_TTL,
            sweep_interval: tidings_core::node::SWEEP_INTERVAL,
            clock_spread: 0,
            timeline: Vec::new(),
            expect: Expectations::default(),
        }
    }

    /// How many peers there are.
    pub fn count(&self) -> usize {
        self.peers.iter().map(|class| class.count).sum()
    }

    /// The class of a peer.
    pub fn class(&self, peer: usize) -> Option<&Class> {
        let mut first = 0;
        self.peers.iter().find(|class| {
            first += class.count;
            peer < first
        })
    }

    /// A hash over everything that the scenario says, its seed included.
    pub fn hash(&self) -> u64 {
        crate::trace::hash(self.to_toml().as_bytes())
    }
}
