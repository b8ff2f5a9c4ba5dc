//! Whole runs by seed: safety under faults, then convergence once they stop.

use crate::checker::Violation;
use crate::scenario::{SECOND, Scenario};
use crate::sometimes::Sometimes;
use crate::world::World;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What broke; `None`: nothing.
    pub violation: Option<Violation>,
    /// Virtual time, in microseconds.
    pub time: u64,
    /// How much of that the convergence took, in microseconds.
    pub convergence: Option<u64>,
    /// The hash over everything that happened.
    pub trace: u64,
    /// How many events that were.
    pub events: u64,
    /// What was reached.
    pub sometimes: Sometimes,
}

/// Runs the scenario that a seed of the swarm stands for.
pub fn run(seed: u64) -> Report {
    run_scenario(Scenario::swarm(seed))
}

/// Runs a scenario.
pub fn run_scenario(scenario: Scenario) -> Report {
    let (seed, duration) = (scenario.seed, scenario.duration);
    let mut world = World::new(scenario);
    world.run_until(duration);
    let convergence = if world.checker.violation.is_none() { world.settle() } else { None };
    Report {
        seed,
        violation: world.checker.violation.take(),
        time: world.now,
        convergence,
        trace: world.trace.value(),
        events: world.trace.events(),
        sometimes: world.sometimes,
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.violation.is_some() { "BROKEN" } else { "ok" };
        let Self { seed, time, trace, .. } = self;
        let seconds = time / SECOND;
        write!(f, "{seed} {verdict} {seconds}s {trace:016x}")?;
        match &self.violation {
            Some(violation) => write!(f, " {violation}"),
            None => Ok(()),
        }
    }
}
