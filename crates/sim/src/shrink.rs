//! Makes a failing run small: fewer events first, then fewer peers and databases, then smaller
//! numbers, as long as the same invariant breaks.
//!
//! Everything that happens is an explicit event, and nothing that is drawn depends on the events
//! before it, so taking one out leaves the others as they are. Events are taken out in halves, then
//! quarters, and so on down to single ones (delta debugging; Zeller and Hildebrandt, 2002).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::faults::Parameter;
use crate::random::Random;
use crate::run::{Report, run};
use crate::scenario::{Class, Databases, Links, SECOND, Scenario};
use crate::timeline::{Call, Timed, What};

/// So few events are few enough for a person; below, no other luck is tried.
const ENOUGH: usize = 10;
/// With more events than this, other luck is tried before single ones are taken out.
const MANY: usize = 60;
/// How often other luck is tried before giving up.
const LUCK_ROUNDS: usize = 2_000;

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest run found that still fails.
    pub scenario: Scenario,
    /// Its report.
    pub report: Report,
    /// How many runs that took.
    pub runs: usize,
}

/// What makes a failure the same failure.
fn kind(report: &Report) -> Option<&'static str> {
    match &report.violation {
        Some(violation) => Some(violation.invariant),
        None if report.missed.is_empty() => None,
        None => Some("expectation"),
    }
}

struct Search<'a> {
    best: Scenario,
    report: Report,
    wanted: &'static str,
    deadline: Instant,
    jobs: usize,
    runs: usize,
    told: &'a mut dyn FnMut(usize, usize),
}

/// Shrinks a failing run for so long at most, on so many threads; `told` hears of the events that
/// are left and the runs so far. `None`: the scenario does not fail.
pub fn shrink(
    scenario: &Scenario,
    patience: Duration,
    jobs: usize,
    told: &mut dyn FnMut(usize, usize),
) -> Option<Shrunk> {
    let mut best = scenario.clone().expand();
    best.sample_every = 0;
    let report = run(best.clone());
    let wanted = kind(&report)?;
    let deadline = Instant::now() + patience;
    let mut search = Search { best, report, wanted, deadline, jobs, runs: 1, told };
    search.cut_the_end();
    loop {
        let before = search.best.clone();
        // Coarsely first: going through many events one by one takes long.
        search.fewer_events((search.best.timeline.len() / 64).max(1));
        if search.best.timeline.len() > MANY && search.other_luck(LUCK_ROUNDS / 8) {
            continue;
        }
        search.fewer_events(1);
        search.fewer_peers();
        search.fewer_databases();
        search.smaller_numbers();
        search.cut_the_end();
        let stuck = search.best == before;
        let small = search.best.timeline.len() <= ENOUGH;
        if search.is_late() || stuck && (small || !search.other_luck(LUCK_ROUNDS)) {
            break;
        }
    }
    let Search { mut best, runs, .. } = search;
    best.description = format!("Shrunk: breaks {wanted:?}.");
    let report = run(best.clone());
    Some(Shrunk { scenario: best, report, runs })
}

impl Search<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Tries candidates, several at once; takes the first that fails in the same way.
    fn try_first(&mut self, candidates: Vec<Scenario>) -> Option<usize> {
        let mut candidates = candidates.into_iter().enumerate();
        loop {
            let batch: Vec<(usize, Scenario)> =
                candidates.by_ref().take(self.jobs.max(1)).collect();
            if batch.is_empty() || self.is_late() {
                return None;
            }
            self.runs += batch.len();
            let reports: Vec<Option<Report>> = std::thread::scope(|scope| {
                let start = |(_, scenario): &(usize, Scenario)| {
                    let scenario = scenario.clone();
                    scope.spawn(|| run(scenario))
                };
                let threads: Vec<_> = batch.iter().map(start).collect();
                threads.into_iter().map(|thread| thread.join().ok()).collect()
            });
            for ((number, scenario), report) in batch.into_iter().zip(reports) {
                let Some(report) = report.filter(|report| kind(report) == Some(self.wanted)) else {
                    continue;
                };
                self.best = scenario;
                self.report = report;
                (self.told)(self.best.timeline.len(), self.runs);
                return Some(number);
            }
        }
    }

    fn try_one(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut scenario = self.best.clone();
        change(&mut scenario);
        scenario != self.best && self.try_first(vec![scenario]).is_some()
    }

    /// What happens after it broke does not matter.
    fn cut_the_end(&mut self) {
        let time = self.report.time;
        if time < self.best.duration {
            self.try_one(|scenario| {
                scenario.duration = time + 1;
                scenario.timeline.retain(|timed| timed.at <= time);
            });
        }
        // Where it breaks only once the faults have stopped, they may stop sooner.
        let last = self.best.timeline.last().map_or(0, |timed| timed.at);
        for slack in [SECOND, 10 * SECOND] {
            if last + slack < self.best.duration
                && self.try_one(|scenario| scenario.duration = last + slack)
            {
                return;
            }
        }
    }

    /// Takes events out, in pieces down to so many at once.
    fn fewer_events(&mut self, finest: usize) {
        let mut size = self.best.timeline.len().div_ceil(2);
        while size > 0 && !self.is_late() {
            let mut begin = 0;
            while begin < self.best.timeline.len() && !self.is_late() {
                // The next few pieces at once; the first that can go goes.
                let begins: Vec<usize> = (begin..self.best.timeline.len())
                    .step_by(size)
                    .take(self.jobs.max(1))
                    .collect();
                let without = |begin: &usize| {
                    let mut scenario = self.best.clone();
                    let end = (begin + size).min(scenario.timeline.len());
                    scenario.timeline.drain(*begin..end);
                    scenario
                };
                let candidates: Vec<Scenario> = begins.iter().map(without).collect();
                begin = match self.try_first(candidates) {
                    Some(number) => begins[number],
                    None => begin + size * begins.len(),
                };
            }
            size = if size <= finest { 0 } else { size.div_ceil(2) };
        }
    }

    /// Where every single event seems to be needed, it is often only the timing that is: leaves out
    /// many events at random, and lets the seed draw other delays. False: that led nowhere.
    fn other_luck(&mut self, rounds: usize) -> bool {
        let mut random = Random::new(self.best.seed, "shrink");
        for round in 0..rounds {
            if self.is_late() {
                return false;
            }
            let leave_out = [500, 250, 125, 60, 20][round % 5];
            let candidates = (0..self.jobs.max(1)).map(|_| {
                let mut scenario = self.best.clone();
                scenario.seed = self.best.seed % (1 << 60) + random.below(1_000);
                scenario.timeline.retain(|_| !random.chance(leave_out));
                scenario
            });
            let candidates: Vec<Scenario> = candidates.collect();
            if self.try_first(candidates).is_some() {
                return true;
            }
        }
        false
    }

    /// Takes the last peer away, with all that happens to it.
    fn fewer_peers(&mut self) {
        while self.best.count() > 1 && !self.is_late() {
            let last = self.best.count() - 1;
            let gone = self.try_one(|scenario| {
                if let Some(class) = scenario.peers.last_mut() {
                    class.count -= 1;
                }
                scenario.peers.retain(|class| class.count > 0);
                scenario.appliers = scenario.appliers.min(last);
                scenario.stay_dead = scenario.stay_dead.min(last.saturating_sub(1));
                scenario.timeline.retain_mut(|timed| without_peer(timed, last));
            });
            if !gone {
                return;
            }
        }
    }

    fn fewer_databases(&mut self) {
        let used = |scenario: &Scenario| -> BTreeSet<String> {
            let operations = scenario.timeline.iter().filter_map(|timed| match &timed.what {
                What::Operation(operation) => Some(operation.database.clone()),
                What::Fault(_) => None,
            });
            operations.collect()
        };
        let mut paths = used(&self.best);
        if paths.is_empty() {
            paths.extend(self.best.load.databases.paths().into_iter().next());
        }
        self.try_one(|scenario| {
            scenario.load.databases = Databases::Named(paths.iter().cloned().collect());
        });
        for path in &paths {
            if paths.len() == 1 || self.is_late() {
                return;
            }
            self.try_one(|scenario| {
                scenario.timeline.retain(|timed| match &timed.what {
                    What::Operation(operation) => operation.database != *path,
                    What::Fault(_) => true,
                });
                let mut left = used(scenario);
                if left.is_empty() {
                    left.insert(path.clone());
                }
                scenario.load.databases = Databases::Named(left.into_iter().collect());
            });
        }
    }

    /// Simpler surroundings, then simpler events.
    fn smaller_numbers(&mut self) {
        self.try_one(|scenario| scenario.links = Links::default());
        self.try_one(|scenario| scenario.clock_spread = 0);
        self.try_one(|scenario| scenario.stay_dead = 0);
        self.try_one(|scenario| scenario.appliers = 1);
        self.try_one(|scenario| {
            let all = scenario.count();
            scenario.peers = vec![Class::of(all)];
        });
        for number in (0..self.best.definitions.len()).rev() {
            if self.best.definitions.len() > 1 {
                self.try_one(|scenario| {
                    let gone = scenario.definitions.remove(number).name;
                    scenario.timeline.retain(|timed| !changes(timed, &gone));
                });
            }
        }
        for number in 0..self.best.timeline.len() {
            if self.is_late() {
                return;
            }
            let steps = [simpler_terms, single_write, shorter_values, shorter_time, smaller_amount];
            for step in steps {
                self.try_one(|scenario| step(&mut scenario.timeline[number]));
            }
        }
    }
}

/// Takes a peer out of an entry; false: the entry goes with it.
fn without_peer(timed: &mut Timed, gone: usize) -> bool {
    match &mut timed.what {
        What::Operation(operation) => operation.peer != gone,
        What::Fault(fault) => {
            fault.side.retain(|peer| *peer != gone);
            let kind = fault.kind;
            !(kind.has_peer() && fault.peer == gone || kind.has_other() && fault.other == gone)
        }
    }
}

/// Whether an entry changes this definition.
fn changes(timed: &Timed, definition: &str) -> bool {
    match &timed.what {
        What::Operation(_) => false,
        What::Fault(fault) => fault.kind.has_definition() && fault.change.definition == definition,
    }
}

fn simpler_terms(timed: &mut Timed) {
    if let What::Operation(operation) = &mut timed.what
        && let Call::Write { durability, acks, .. } | Call::Count { durability, acks, .. } =
            &mut operation.call
    {
        (*durability, *acks) = (None, 1);
    }
}

fn single_write(timed: &mut Timed) {
    if let What::Operation(operation) = &mut timed.what
        && let Call::Write { batches, .. } = &mut operation.call
    {
        batches.truncate(1);
        for batch in batches {
            batch.truncate(1);
        }
    }
}

fn shorter_values(timed: &mut Timed) {
    if let What::Operation(operation) = &mut timed.what
        && let Call::Write { batches, .. } = &mut operation.call
    {
        let lengths = batches.iter_mut().flatten().filter_map(|(_, length)| length.as_mut());
        lengths.for_each(|length| *length = (*length).min(8));
    }
}

fn shorter_time(timed: &mut Timed) {
    if let What::Fault(fault) = &mut timed.what
        && let Some(time) = &mut fault.lasts
    {
        *time = (*time).min(SECOND);
    }
}

fn smaller_amount(timed: &mut Timed) {
    if let What::Fault(fault) = &mut timed.what {
        match fault.kind.parameter() {
            Parameter::Nth | Parameter::Times | Parameter::Rows => fault.amount = 1,
            Parameter::Room => fault.amount = 0,
            _ => {}
        }
        if fault.kind.has_definition() {
            fault.change.size = None;
        }
    }
}
