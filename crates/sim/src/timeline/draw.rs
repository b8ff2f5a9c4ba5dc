//! Draws what a scenario leaves open: the operations of its load and its random faults.

use tidings_core::definition::{Definition, Durability};

use super::{COUNTERS, Call, KeyWrite, LEASES, Operation, TALLIES, Timed, What};
use crate::faults::{Change, Fault, FaultKind, Parameter};
use crate::random::Random;
use crate::scenario::{
    Databases, Load, MILLISECOND, RandomFaults, SECOND, Scenario, WHOLE, numbered,
};

impl Scenario {
    /// The same run with everything drawn that was left to the seed: no load, no random faults, and
    /// a timeline that says it all.
    #[must_use]
    pub fn expand(mut self) -> Self {
        draw_operations(&mut self);
        draw_faults(&mut self);
        self.timeline.sort_by_key(|timed| timed.at);
        self.load.rate = 0;
        self.load.populate = 0;
        self.load.opens = 0;
        self.faults.kinds.clear();
        self
    }
}

fn draw_operations(scenario: &mut Scenario) {
    let (load, duration, seed) = (scenario.load.clone(), scenario.duration, scenario.seed);
    let peers = scenario.count();
    let mut random = Random::new(seed, "workload");
    let mut paths = load.databases.paths();
    let mut drawn = Vec::new();
    let mut push = |at, peer, database: &str, call| {
        let operation = Operation { peer, database: database.into(), call };
        drawn.push(Timed { at, what: What::Operation(operation) });
    };
    if load.populate > 0 {
        for (number, path) in paths.iter().enumerate() {
            let at = SECOND + load.populate * number as u64 / paths.len() as u64;
            push(at, number % peers, path, put("key0", load.value_bytes));
        }
    }
    let begin = SECOND + load.populate;
    let mut opens = Random::new(seed, "opens");
    let mut next_open = next(&mut opens, begin, load.opens);
    let mut at = next(&mut random, begin, load.rate);
    while at < duration || next_open < duration {
        if next_open <= at {
            if let Databases::Counted(_, pattern) = &load.databases {
                let path = numbered(pattern, paths.len() as u64);
                push(next_open, opens.index(peers), &path, put("key0", load.value_bytes));
                paths.push(path);
            }
            next_open = next(&mut opens, next_open, load.opens);
            continue;
        }
        let peer = random.index(peers);
        let path = &paths[random.index(paths.len())];
        let call = draw_call(&mut random, &load);
        push(at, peer, path, call);
        at = next(&mut random, at, load.rate);
    }
    draw_extras(&load, (begin, duration), seed, |random, at, call| {
        let operation = Operation {
            peer: random.index(peers),
            database: paths[random.index(paths.len())].clone(),
            call,
        };
        drawn.push(Timed { at, what: What::Operation(operation) });
    });
    scenario.timeline.extend(drawn);
    if let Databases::Counted(count, _) = &mut scenario.load.databases {
        *count = paths.len() as u64;
    }
}

/// Draws what is done to counters and to what expires, apart from all else: as often as their weights say,
/// compared with the others'.
fn draw_extras(
    load: &Load,
    (begin, duration): (u64, u64),
    seed: u64,
    mut push: impl FnMut(&mut Random, u64, Call),
) {
    for (weight, expires) in [(load.mix.count, false), (load.mix.expire, true)] {
        let mut random = Random::new(seed, if expires { "expiring" } else { "counting" });
        let rate =
            if load.mix.plain() == 0 { load.rate } else { load.rate * weight / load.mix.plain() };
        let rate = if weight == 0 { 0 } else { rate };
        let mut at = next(&mut random, begin, rate);
        while at < duration {
            let call =
                if expires { draw_lease(&mut random) } else { draw_count(&mut random, load) };
            push(&mut random, at, call);
            at = next(&mut random, at, rate);
        }
    }
}

fn draw_count(random: &mut Random, load: &Load) -> Call {
    let key = format!("{COUNTERS}{}", random.below(3));
    if random.chance(250) {
        return Call::Read(key);
    }
    if random.chance(200) {
        let key = format!("{TALLIES}{}", random.below(2));
        return Call::Tally { key, by: 1 + random.below(3), anew: random.chance(500) };
    }
    let (durability, acks) = draw_terms(random, load);
    Call::Count { key, by: 1 + random.below(3), durability, acks }
}

fn draw_lease(random: &mut Random) -> Call {
    let key = format!("{LEASES}{}", random.below(3));
    let longest = [2_000, 20_000, 120_000][random.index(3)];
    let lasts = 1 + random.below(longest);
    match random.below(10) {
        0..4 => Call::Lease(key, 8 + random.below(30), lasts),
        4 => put(&key, 8 + random.below(30)),
        5 => Call::Expire(key, Some(lasts)),
        6 => Call::Expire(key, None),
        _ => Call::Read(key),
    }
}

fn put(key: &str, length: u64) -> Call {
    let batches = vec![vec![(key.into(), Some(length))]];
    Call::Write { batches, durability: None, acks: 1 }
}

/// The time of the next of some events that happen so often in a thousand seconds.
fn next(random: &mut Random, at: u64, rate: u64) -> u64 {
    if rate == 0 {
        return u64::MAX;
    }
    at.saturating_add(random.below(2 * (1_000 * SECOND / rate) + 1).max(1))
}

fn draw_call(random: &mut Random, load: &Load) -> Call {
    let mix = &load.mix;
    let kinds = [mix.put, mix.batch, mix.read, mix.sync, mix.large, mix.status, mix.drop];
    let mut drawn = random.below(kinds.iter().sum());
    let kind = kinds.iter().position(|weight| {
        let found = drawn < *weight;
        drawn = drawn.saturating_sub(*weight);
        found
    });
    match kind {
        Some(0) => {
            let (durability, acks) = draw_terms(random, load);
            let bursts = if random.chance(100) { 4 } else { 1 };
            let batches = (0..bursts).map(|_| draw_batch(random, load, 1)).collect();
            Call::Write { batches, durability, acks }
        }
        Some(1) => {
            let (durability, acks) = draw_terms(random, load);
            let size = 2 + random.below(8);
            Call::Write { batches: vec![draw_batch(random, load, size)], durability, acks }
        }
        Some(2) => Call::Read(draw_key(random, load)),
        Some(3) => Call::Sync,
        Some(4) => {
            // One at the other end of the store's limits, so that messages travel in parts.
            let key = draw_key(random, load);
            let length = 200_000 + random.below(150_000);
            let batches = vec![vec![(key, Some(length))]];
            Call::Write { batches, durability: None, acks: 1 }
        }
        Some(6) => Call::Drop,
        _ => Call::Status,
    }
}

fn draw_key(random: &mut Random, load: &Load) -> String {
    let number = if random.below(WHOLE) < load.hot {
        random.below(3)
    } else if load.zipf {
        // Evenly in the logarithm: the n-th key about as often as 1/n says.
        let uniform = random.below(WHOLE) as f64 / WHOLE as f64;
        let drawn = libm::exp(uniform * libm::log(load.keys as f64 + 1.0)) as u64;
        (drawn.max(1) - 1).min(load.keys - 1)
    } else {
        random.below(load.keys)
    };
    format!("key{number}")
}

fn draw_terms(random: &mut Random, load: &Load) -> (Option<Durability>, u32) {
    let drawn = random.below(WHOLE);
    let durability = if drawn < load.synced {
        Some(Durability::Synced)
    } else if drawn < load.synced + load.buffered {
        Some(Durability::Buffered)
    } else {
        None
    };
    let several = random.below(WHOLE) < load.acknowledged;
    (durability, if several { 2 + random.below(2) as u32 } else { 1 })
}

/// Different keys, each with the length of its value or nothing.
fn draw_batch(random: &mut Random, load: &Load, size: u64) -> Vec<KeyWrite> {
    let mut batch: Vec<KeyWrite> = Vec::new();
    for _ in 0..size {
        let key = draw_key(random, load);
        let delete = random.below(WHOLE) < load.deletes;
        let length = random.below(load.value_bytes + 1);
        if !batch.iter().any(|(known, _)| *known == key) {
            batch.push((key, (!delete).then_some(length)));
        }
    }
    batch
}

fn draw_faults(scenario: &mut Scenario) {
    let kinds: Vec<FaultKind> = scenario.faults.kinds.iter().copied().collect();
    if kinds.is_empty() {
        return;
    }
    let mut random = Random::new(scenario.seed, "faults");
    let peers = scenario.count();
    let mut at = 2 * SECOND;
    loop {
        at += random.below(2 * scenario.faults.every + 1).max(MILLISECOND);
        if at >= scenario.duration {
            return;
        }
        let kind = kinds[random.index(kinds.len())];
        let fault = draw_fault(&mut random, kind, peers, &scenario.faults, &scenario.definitions);
        if kind == FaultKind::Redefine {
            draw_both_sides(scenario, &fault, at);
        }
        scenario.timeline.push(Timed { at, what: What::Fault(fault) });
    }
}

/// Half of the changes of a definition come with another one by another peer, which does not know of
/// the first; where there are partitions, on both sides of one.
fn draw_both_sides(scenario: &mut Scenario, first: &Fault, at: u64) {
    let mut own = Random::new(scenario.seed, &format!("both sides at {at}"));
    let peers = scenario.count();
    if peers < 2 || !own.chance(500) {
        return;
    }
    let kind = FaultKind::Redefine;
    let drawn = draw_fault(&mut own, kind, peers, &scenario.faults, &scenario.definitions);
    let peer = (first.peer + 1 + own.index(peers - 1)) % peers;
    let definition = first.change.definition.clone();
    let second = Fault { peer, change: Change { definition, ..drawn.change }, ..drawn };
    let mut push = |at, fault| scenario.timeline.push(Timed { at, what: What::Fault(fault) });
    if scenario.faults.kinds.contains(&FaultKind::Partition) {
        let side = (0..peers).filter(|one| *one == first.peer || *one != peer && own.chance(500));
        let cut = Fault { side: side.collect(), ..Fault::new(FaultKind::Partition, 0) };
        push(at, cut.lasting(SECOND + own.below(8 * SECOND)));
    }
    push(at, second);
}

/// Draws one fault of a kind; every kind takes as many draws from the stream's point of view, so
/// that turning one off does not shift the peers of the others.
fn draw_fault(
    random: &mut Random,
    kind: FaultKind,
    peers: usize,
    faults: &RandomFaults,
    definitions: &[Definition],
) -> Fault {
    let longest = faults.longest;
    let mut own = Random::new(random.any(), kind.word());
    let peer = own.index(peers);
    let other = (peer + 1 + own.index(peers - 1)) % peers;
    let lasts = match own.below(3) {
        0 => own.below(SECOND.min(longest)),
        1 => own.below((6 * SECOND).min(longest)),
        _ => own.below(longest),
    };
    let amount = match kind.parameter() {
        Parameter::None => 0,
        Parameter::Rows => 1 + own.below(20) as i64,
        // Reads and operations of all kinds are many more than commits.
        Parameter::Nth if matches!(kind, FaultKind::ReadFails | FaultKind::KillAt) => {
            let most = [10, 100, 2_000][own.index(3)];
            1 + own.below(most) as i64
        }
        Parameter::Nth => 1 + own.below(30) as i64,
        Parameter::Times if kind == FaultKind::Storm => 2 + own.below(5) as i64,
        Parameter::Times => 6,
        Parameter::Gulp => (10 * MILLISECOND + own.below(2 * SECOND)) as i64,
        Parameter::Delay => ((20 + own.below(300)) * MILLISECOND) as i64,
        Parameter::Share => ((20 + own.below(300)) * (WHOLE / 1_000)) as i64,
        // Mostly as where the battery of the clock is empty.
        Parameter::Offset if kind == FaultKind::ClockRestart && own.chance(700) => -3_600_000,
        Parameter::Drift => own.around(5_000),
        Parameter::Room => {
            let most = [1, 2_000, 50_000][own.index(3)];
            own.below(most) as i64
        }
        Parameter::Offset => {
            let span = [2_000, 60_000, 3_600_000][own.index(3)];
            own.around(span)
        }
    };
    let side =
        if kind.has_side() { (0..peers).filter(|_| own.chance(500)).collect() } else { Vec::new() };
    let change = draw_change(&mut own, kind, peers, definitions);
    // A definition that was removed is mostly applied again.
    let ends = kind.has_time() && !(kind == FaultKind::Undefine && own.chance(200));
    // What the kind does not need is not said, so that the fault reads back as it was.
    Fault {
        kind,
        peer: if kind.has_peer() { peer } else { 0 },
        other: if kind.has_other() { other } else { 0 },
        side,
        lasts: ends.then_some(lasts.max(1)),
        amount,
        change,
    }
}

fn draw_change(
    own: &mut Random,
    kind: FaultKind,
    peers: usize,
    definitions: &[Definition],
) -> Change {
    let mut change = Change { copies: (1, 1), ..Change::default() };
    if kind.has_definition()
        && let Some(definition) = own.pick(definitions)
    {
        change.definition.clone_from(&definition.name);
        if kind == FaultKind::Redefine {
            let min = 1 + own.below(peers.min(5) as u64) as u32;
            change.copies = (min, min + own.below(3) as u32);
            change.size = own.chance(250).then(|| 2_000 + own.below(40_000));
        }
    }
    change
}
