//! The scenario that a seed of the swarm stands for.
//!
//! Swarm testing (Groce et al., 2012): each seed turns some kinds of faults fully off, because a
//! fault that happens all the time hides what only its absence lets happen.

use std::collections::BTreeSet;

use tidings_core::definition::{Definition, Durability};

use super::{
    Class, Databases, FaultKind, Link, Links, Load, MILLISECOND, Mix, RandomFaults, SECOND,
    Scenario,
};
use crate::faults::Fault;
use crate::random::Random;
use crate::timeline::{Timed, What};

/// How much more is done in a run that is stretched.
const STRETCHED_WORK: u64 = 4;

impl Scenario {
    /// The scenario that a seed of the swarm stands for.
    pub fn swarm(seed: u64) -> Self {
        let mut random = Random::new(seed, "scenario");
        let peers = 3 + random.index(7);
        let definitions = definitions(&mut random, peers);
        let count = if random.chance(60) { 60 + random.below(60) } else { 1 + random.below(8) };
        let paths = (0..count).map(|n| format!("d{}/db{n}", random.below(3))).collect();
        let kinds = kinds(&mut random);
        let links = links(&mut random);
        let appliers = 1 + random.index(peers);
        // Not everywhere: what is dropped is no longer checked for what was lost.
        let drop = if Random::new(seed, "drops").below(4) == 0 { 3 } else { 0 };
        let mut extras = Random::new(seed, "extras");
        let load = Load {
            databases: Databases::Named(paths),
            keys: 3 + random.below(150),
            hot: Link::per_mille(random.below(700)),
            value_bytes: [16, 100, 2_000][random.index(3)],
            rate: (5 + random.below(60)) * 1_000,
            deletes: 180_000,
            synced: 200_000,
            buffered: 200_000,
            acknowledged: 250_000,
            mix: Mix {
                put: 500,
                batch: 120,
                read: 300,
                sync: 30,
                large: 20,
                status: 30,
                drop,
                count: [0, 60, 200][extras.index(3)],
                expire: [0, 60, 200][extras.index(3)],
            },
            ..Load::default()
        };
        let duration = (10 + random.below(50)) * SECOND;
        let mut forgetting = Random::new(seed, "forgetting");
        let mut moving = Random::new(seed, "moving");
        Self {
            name: "swarm".into(),
            peers: classes(seed, peers, duration),
            definitions,
            appliers,
            load,
            duration,
            patience: 150 * SECOND,
            links,
            faults: RandomFaults {
                kinds,
                every: 300 * MILLISECOND + random.below(4 * SECOND),
                longest: 25 * SECOND,
            },
            stay_dead: usize::from(peers > 3 && random.chance(200)),
            replacement_delay: 1_000 + random.below(15_000),
            stability_window: 500 + random.below(12_000),
            rebalance_delay: [0, 1_000, 5_000, 30_000][moving.index(4)],
            trash: [200, 5_000, 60_000][random.index(3)],
            tombstone_grace: [1_000, 4_000, 15_000, tidings_core::node::TOMBSTONE_GRACE]
                [forgetting.index(4)],
            holder_ttl: [5_000, 20_000, 60_000, tidings_core::node::HOLDER_TTL]
                [forgetting.index(4)],
            sweep_interval: [1_000, 5_000, 30_000][extras.index(3)],
            timeline: death(seed, peers, duration),
            clock_spread: if random.chance(300) { 8_000 } else { 200 },
            ..Self::quiet(seed, peers)
        }
    }

    /// The same scenario over another duration, in microseconds. It has at most four times the work
    /// and the faults, spread over it: what a longer run adds is rest between them, and timers that a
    /// short one never reaches.
    #[must_use]
    pub fn stretched(self, duration: u64) -> Self {
        let slower = (duration / self.duration / STRETCHED_WORK).max(1);
        let load = Load { rate: (self.load.rate / slower).max(1), ..self.load };
        let faults = RandomFaults { every: self.faults.every * slower, ..self.faults };
        Self { load, duration, faults, ..self }
    }
}

/// Peers that start at the beginning, and at times one or two that join in the middle.
fn classes(seed: u64, peers: usize, duration: u64) -> Vec<Class> {
    let mut random = Random::new(seed, "late");
    if peers < 4 || !random.chance(300) {
        return vec![Class::of(peers)];
    }
    let late = 1 + random.index(2);
    let starts = duration / 10 * random.between(1, 8);
    vec![Class::of(peers - late), Class { starts, ..Class::of(late) }]
}

/// Seldom, a peer that ends in the middle for good.
fn death(seed: u64, peers: usize, duration: u64) -> Vec<Timed> {
    let mut random = Random::new(seed, "death");
    if peers < 4 || !random.chance(50) {
        return Vec::new();
    }
    let at = 2 * SECOND + random.below(duration - 2 * SECOND);
    // Where there is no discovery, the first one is all that the others know.
    let peer = 1 + random.index(peers - 1);
    vec![Timed { at, what: What::Fault(Fault::new(FaultKind::Die, peer)) }]
}

fn definitions(random: &mut Random, peers: usize) -> Vec<Definition> {
    let mut definitions = Vec::new();
    for index in 0..=random.index(3) {
        let min = 1 + random.below(peers.min(4) as u64) as u32;
        let max = min + random.below(3) as u32;
        let matcher = if index == 0 { "**".to_string() } else { format!("d{index}/**") };
        let mut definition = Definition::new(&format!("def{index}"), &matcher, min, max);
        definition.priority = i32::try_from(index).unwrap_or(0);
        if random.chance(300) {
            definition.durability = Durability::Synced;
        }
        if random.chance(150) {
            definition.size = Some(4_000 + random.below(40_000));
        }
        definitions.push(definition);
    }
    definitions
}

fn kinds(random: &mut Random) -> BTreeSet<FaultKind> {
    let mut kinds = BTreeSet::new();
    if !random.chance(50) {
        // Eight of them, on average: with all at once, each would seldom meet what it breaks. Half of
        // the seeds leave out those that are rare or rough, after which peers are down for long.
        let (common, share) = if random.chance(500) {
            (FaultKind::COMMON, 100 + random.below(600))
        } else {
            (FaultKind::ALL.len(), 50 + random.below(350))
        };
        kinds.extend(FaultKind::ALL.into_iter().take(common).filter(|_| random.chance(share)));
    }
    let lossy = [
        FaultKind::Wipe,
        FaultKind::Rollback,
        FaultKind::Vanish,
        FaultKind::Clone,
        FaultKind::NewIdentity,
    ];
    if random.chance(500) {
        kinds.retain(|kind| !lossy.contains(kind));
    }
    kinds
}

fn links(random: &mut Random) -> Links {
    let latency = [100, 500, 5_000, 40_000][random.index(4)];
    let within = Link {
        latency,
        jitter: latency * random.below(3),
        tail: Link::per_mille(random.below(20)),
        bandwidth: [200_000, 2_000_000, 100_000_000][random.index(3)],
        queue: if random.chance(200) { 1_500_000 } else { 16 << 20 },
        ..Link::LAN
    };
    Links { within, between_zones: None, discovery: random.chance(700) }
}
