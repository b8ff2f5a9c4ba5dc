//! What a run is made of; in a swarm, drawn from the seed.
//!
//! Swarm testing (Groce et al., 2012): each seed turns some kinds of faults fully off, because a
//! fault that happens all the time hides what only its absence lets happen.

use std::collections::BTreeSet;

use tidings_core::definition::{Definition, Durability};

use crate::random::Random;

/// A millisecond, in the world's microseconds.
pub const MILLISECOND: u64 = 1_000;
/// A second, in the world's microseconds.
pub const SECOND: u64 = 1_000_000;

/// A kind of fault that a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The process is killed; everything committed survives.
    Kill,
    /// Power is lost, and with it what was not synced.
    PowerLoss,
    /// Power is lost in the middle of a write.
    Torn,
    /// The peer stops cleanly and starts again.
    CleanStop,
    /// The process stands still for a while.
    Pause,
    /// The disk is emptied; the identity stays.
    Wipe,
    /// The disk goes back to an older image.
    Rollback,
    /// Rows vanish behind the engine.
    Vanish,
    /// The n-th commit from now fails.
    CommitFails,
    /// The wall clock jumps.
    ClockJump,
    /// Two groups cannot talk to each other.
    Partition,
    /// One direction between two peers is blocked.
    OneWay,
    /// One peer cannot talk to anybody.
    Isolate,
    /// A link goes up and down, near the probe period.
    Flap,
    /// A connection breaks, with what was in flight.
    Reset,
    /// Frames are dropped, as by full queues.
    Loss,
    /// Frames arrive twice.
    Duplicate,
    /// Frames overtake each other.
    Reorder,
    /// A peer reads slowly, in large gulps.
    SlowReader,
    /// Links become slow and narrow.
    Delay,
}

impl FaultKind {
    /// Every kind, in a fixed order.
    pub const ALL: [Self; 20] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Torn,
        Self::CleanStop,
        Self::Pause,
        Self::Wipe,
        Self::Rollback,
        Self::Vanish,
        Self::CommitFails,
        Self::ClockJump,
        Self::Partition,
        Self::OneWay,
        Self::Isolate,
        Self::Flap,
        Self::Reset,
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::SlowReader,
        Self::Delay,
    ];

    /// The kind in the counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "fault kill",
            Self::PowerLoss => "fault power loss",
            Self::Torn => "fault torn",
            Self::CleanStop => "fault clean stop",
            Self::Pause => "fault pause",
            Self::Wipe => "fault wipe",
            Self::Rollback => "fault rollback",
            Self::Vanish => "fault vanish",
            Self::CommitFails => "fault commit fails",
            Self::ClockJump => "fault clock jump",
            Self::Partition => "fault partition",
            Self::OneWay => "fault one way",
            Self::Isolate => "fault isolate",
            Self::Flap => "fault flap",
            Self::Reset => "fault reset",
            Self::Loss => "fault loss",
            Self::Duplicate => "fault duplicate",
            Self::Reorder => "fault reorder",
            Self::SlowReader => "fault slow reader",
            Self::Delay => "fault delay",
        }
    }
}

/// How the links of a run are while nothing is wrong; times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    /// The least time a frame takes.
    pub latency: u64,
    /// Added evenly at random.
    pub jitter: u64,
    /// How many frames in a thousand take twenty times as long.
    pub tail_per_mille: u64,
    /// Bytes in a second of one direction.
    pub bandwidth: u64,
    /// Bytes that may wait in one direction; a frame beyond is dropped whole.
    pub queue: u64,
    /// Whether peers find each other by themselves, as by mDNS; otherwise all know only the first.
    pub discovery: bool,
}

impl Links {
    /// A wired local network.
    pub const LAN: Self = Self {
        latency: 200,
        jitter: 100,
        tail_per_mille: 1,
        bandwidth: 100_000_000,
        queue: 16 << 20,
        discovery: true,
    };
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed of everything random.
    pub seed: u64,
    /// How many peers.
    pub peers: usize,
    /// Definitions, applied by the peers at their start.
    pub definitions: Vec<Definition>,
    /// How many of the first peers apply the definitions.
    pub appliers: usize,
    /// The databases that the workload uses.
    pub paths: Vec<String>,
    /// Keys of each database.
    pub keys: u64,
    /// How many operations in a thousand go to the three hot keys.
    pub hot_per_mille: u64,
    /// Longest ordinary value, in bytes.
    pub value_bytes: u64,
    /// Operations in a second, over all peers.
    pub rate: u64,
    /// How long operations and faults go on, in microseconds.
    pub duration: u64,
    /// How long convergence may take once the faults have stopped, in microseconds.
    pub patience: u64,
    /// The links.
    pub links: Links,
    /// Kinds of faults that may happen.
    pub faults: BTreeSet<FaultKind>,
    /// Mean pause between two faults, in microseconds.
    pub fault_every: u64,
    /// How many peers stay dead when the faults stop.
    pub stay_dead: usize,
    /// How long the fewest copies may be missing before others are invited, in milliseconds.
    pub replacement_delay: u64,
    /// Clocks are this far apart from the start, at most, in milliseconds.
    pub clock_spread: u64,
}

impl Scenario {
    /// A quiet run of some peers on a LAN, without operations and faults.
    pub fn quiet(seed: u64, peers: usize) -> Self {
        Self {
            seed,
            peers,
            definitions: vec![Definition::new("all", "**", peers as u32, peers as u32)],
            appliers: 1,
            paths: vec!["a".into()],
            keys: 20,
            hot_per_mille: 300,
            value_bytes: 64,
            rate: 0,
            duration: 10 * SECOND,
            patience: 120 * SECOND,
            links: Links::LAN,
            faults: BTreeSet::new(),
            fault_every: SECOND,
            stay_dead: 0,
            replacement_delay: 10_000,
            clock_spread: 0,
        }
    }

    /// The scenario that a seed of the swarm stands for.
    pub fn swarm(seed: u64) -> Self {
        let mut random = Random::new(seed, "scenario");
        let peers = 3 + random.index(5);
        let mut definitions = Vec::new();
        for index in 0..=random.index(3) {
            let min = 1 + random.below(peers.min(4) as u64) as u32;
            let max = min + random.below(3) as u32;
            let matcher = if index == 0 { "**".to_string() } else { format!("d{index}/**") };
            let mut definition = Definition::new(&format!("def{index}"), &matcher, min, max);
            definition.priority = index as i32;
            if random.chance(300) {
                definition.durability = Durability::Synced;
            }
            if random.chance(150) {
                definition.size = Some(4_000 + random.below(40_000));
            }
            definitions.push(definition);
        }
        let count = if random.chance(60) { 60 + random.below(60) } else { 1 + random.below(8) };
        let paths = (0..count).map(|n| format!("d{}/db{n}", random.below(3))).collect();
        let mut faults = BTreeSet::new();
        if !random.chance(50) {
            let share = 100 + random.below(600);
            faults.extend(FaultKind::ALL.into_iter().filter(|_| random.chance(share)));
        }
        let lossy = [FaultKind::Wipe, FaultKind::Rollback, FaultKind::Vanish];
        if random.chance(500) {
            faults.retain(|kind| !lossy.contains(kind));
        }
        let latency = [100, 500, 5_000, 40_000][random.index(4)];
        let links = Links {
            latency,
            jitter: latency * random.below(3),
            tail_per_mille: random.below(20),
            bandwidth: [200_000, 2_000_000, 100_000_000][random.index(3)],
            queue: if random.chance(100) { 1_500_000 } else { 16 << 20 },
            discovery: random.chance(700),
        };
        Self {
            seed,
            peers,
            definitions,
            appliers: 1 + random.index(peers),
            paths,
            keys: 3 + random.below(150),
            hot_per_mille: random.below(700),
            value_bytes: [16, 100, 2_000][random.index(3)],
            rate: 5 + random.below(60),
            duration: (10 + random.below(50)) * SECOND,
            patience: 150 * SECOND,
            links,
            faults,
            fault_every: 300 * MILLISECOND + random.below(4 * SECOND),
            stay_dead: usize::from(peers > 3 && random.chance(200)),
            replacement_delay: 1_000 + random.below(15_000),
            clock_spread: if random.chance(300) { 8_000 } else { 200 },
        }
    }
}
