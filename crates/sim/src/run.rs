//! One run: safety under faults, then convergence once they stop, and what that came to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::checker::{Fate, Violation};
use crate::measure::{KINDS, Sample};
use crate::scenario::{SECOND, Scenario, WHOLE, units};
use crate::sometimes::Sometimes;
use crate::world::World;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every invariant held and every expectation was met.
    Ok,
    /// Every invariant held, and an expectation was not met.
    Missed,
    /// An invariant broke.
    Broken,
    /// The code under test panicked.
    Panicked,
}

impl Verdict {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missed => "missed",
            Self::Broken => "broken",
            Self::Panicked => "panicked",
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The invariant that broke; `None`: none did.
    pub violation: Option<Violation>,
    /// Expectations that were not met, each in a sentence.
    pub missed: Vec<String>,
    /// Virtual time, in microseconds.
    pub time: u64,
    /// How long after the faults stopped every copy was equal and complete, in microseconds;
    /// `None`: that was not reached.
    pub convergence: Option<u64>,
    /// The hash over everything that happened.
    pub trace: u64,
    /// How many events that were.
    pub events: u64,
    /// Writes by what became of them.
    pub writes: Writes,
    /// Bytes sent while users and faults went on and until convergence, by kind as in [`KINDS`].
    pub bytes: [u64; KINDS.len()],
    /// Percentiles of the time a write took to each other active holder, in microseconds: 50, 90,
    /// 99 and 100 of 100.
    pub propagation: [Option<u64>; 4],
    /// The series.
    pub samples: Vec<Sample>,
    /// What was reached.
    pub sometimes: Sometimes,
}

/// How many writes of single keys came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writes {
    /// Acknowledged, and there in the end.
    pub acknowledged: u64,
    /// Acknowledged, and destroyed by faults that their durability does not cover.
    pub lost: u64,
    /// Said not to have happened.
    pub refused: u64,
    /// Nobody can say.
    pub unknown: u64,
}

impl Writes {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.acknowledged + self.lost + self.refused + self.unknown
    }
}

impl Report {
    /// How the run ended.
    pub fn verdict(&self) -> Verdict {
        match &self.violation {
            Some(violation) if violation.invariant == PANIC => Verdict::Panicked,
            Some(_) => Verdict::Broken,
            None if self.missed.is_empty() => Verdict::Ok,
            None => Verdict::Missed,
        }
    }

    /// Bytes that a peer sent in a second, on average over all.
    pub fn traffic(&self, peers: usize, duration: u64) -> u64 {
        let micros = u128::from((duration + self.convergence.unwrap_or(0)).max(1));
        let bytes = u128::from(self.bytes.iter().sum::<u64>());
        (bytes * u128::from(SECOND) / micros / peers.max(1) as u128) as u64
    }
}

/// What a panic counts as.
const PANIC: &str = "14 no panic";

/// Runs a scenario.
pub fn run(scenario: Scenario) -> Report {
    run_world(World::new(scenario)).0
}

/// Runs a world to its end, and returns it for its history.
pub(crate) fn run_world(mut world: World) -> (Report, World) {
    let (seed, duration) = (world.scenario.seed, world.scenario.duration);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        world.run_until(duration);
        if world.checker.violation.is_none() { world.settle() } else { None }
    }));
    let convergence = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        world.checker.violation =
            Some(Violation { invariant: PANIC, what: text.unwrap_or("it panicked").into() });
        None
    });
    let mut writes = Writes::default();
    for attempt in world.checker.attempts() {
        match attempt.fate {
            Fate::Acknowledged(_) => writes.acknowledged += 1,
            Fate::Excused(_) => writes.lost += 1,
            Fate::Refused => writes.refused += 1,
            Fate::Open | Fate::Unknown => writes.unknown += 1,
        }
    }
    let measures = &mut world.measures;
    let arrivals = &measures.arrivals;
    let mut report = Report {
        seed,
        violation: world.checker.violation.clone(),
        missed: Vec::new(),
        time: world.now,
        convergence,
        trace: world.trace.value(),
        events: world.trace.events(),
        writes,
        bytes: measures.settled_bytes.unwrap_or(measures.bytes),
        propagation: [500, 900, 990, 1_000].map(|per_mille| arrivals.percentile(per_mille)),
        samples: std::mem::take(&mut measures.samples),
        sometimes: world.sometimes.clone(),
    };
    report.missed = missed(&report, &world.scenario);
    (report, world)
}

/// A measured time in words.
fn measured(micros: u64) -> String {
    let millis = micros as f64 / 1e3;
    if millis < 1_000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1e3) }
}

/// Expectations that were not met.
fn missed(report: &Report, scenario: &Scenario) -> Vec<String> {
    let mut missed = Vec::new();
    if report.violation.is_some() {
        return missed;
    }
    let expect = &scenario.expect;
    let show = units::show_duration;
    if let (Some(bound), Some(took)) = (expect.converge_within, report.convergence)
        && took > bound
    {
        missed.push(format!("converged in {}, expected within {}", measured(took), show(bound)));
    }
    if let (Some(bound), Some(took)) = (expect.propagation_p99, report.propagation[2])
        && took > bound
    {
        let (took, bound) = (measured(took), show(bound));
        missed.push(format!("99 of 100 writes arrived within {took}, expected within {bound}"));
    }
    if let Some(bound) = expect.lost_writes
        && report.writes.lost > bound
    {
        let lost = report.writes.lost;
        missed.push(format!("{lost} acknowledged writes were destroyed, expected {bound} at most"));
    }
    let traffic = report.traffic(scenario.count(), scenario.duration);
    if let Some(bound) = expect.traffic
        && traffic > bound
    {
        missed.push(format!("a peer sent {traffic} B/s, expected {bound} B/s at most"));
    }
    let share = report.writes.acknowledged * WHOLE / report.writes.all().max(1);
    if let Some(bound) = expect.acknowledged
        && share < bound
    {
        let (share, bound) = (units::show_share(share), units::show_share(bound));
        missed.push(format!("{share} of the writes were acknowledged, expected {bound} at least"));
    }
    missed
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = self.verdict().word();
        let Self { seed, time, trace, .. } = self;
        let seconds = time / SECOND;
        write!(f, "{seed} {verdict} {seconds}s {trace:016x}")?;
        if let Some(violation) = &self.violation {
            write!(f, " {violation}")?;
        }
        self.missed.iter().try_for_each(|missed| write!(f, " {missed}"))
    }
}
