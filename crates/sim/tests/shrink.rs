//! A failed run: what its folder holds, that it replays, and that it becomes small.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

use std::fs;
use std::time::Duration;

use tidings_sim::campaign::Campaign;
use tidings_sim::faults::{Fault, FaultKind};
use tidings_sim::run::{Verdict, run};
use tidings_sim::scenario::{SECOND, Scenario};
use tidings_sim::shrink::shrink;
use tidings_sim::timeline::{Timed, What};

/// A run of the swarm with a planted bug in the middle, which it meets: an engine that keeps a part of a
/// batch. Which seeds meet it changes with every change of the timing.
fn planted() -> Scenario {
    let planted = |seed| {
        let mut scenario = Scenario::swarm(seed).expand();
        for second in 3..9 {
            let fault = Fault::new(FaultKind::TornWithin, second as usize % 3).lasting(SECOND / 2);
            scenario.timeline.push(Timed { at: second * SECOND, what: What::Fault(fault) });
        }
        scenario.timeline.sort_by_key(|timed| timed.at);
        scenario
    };
    let noticed = |scenario: &Scenario| run(scenario.clone()).violation.is_some();
    (3..13).map(planted).find(noticed).unwrap()
}

/// The checkers notice the planted bug, and what is left after shrinking still breaks the same
/// invariant, with at most 30 events.
#[test]
fn a_failing_run_becomes_small() {
    let scenario = planted();
    let report = run(scenario.clone());
    let broken = report.violation.as_ref().unwrap().invariant;
    assert!(scenario.timeline.len() > 200, "{}", scenario.timeline.len());
    let mut told = 0;
    let shrunk = shrink(&scenario, Duration::from_mins(2), 2, &mut |_, _| told += 1).unwrap();
    assert!(told > 0);
    assert!(shrunk.scenario.timeline.len() <= 30, "{}", shrunk.scenario.to_toml());
    assert!(shrunk.scenario.count() <= scenario.count());
    let read = Scenario { sample_every: SECOND, ..shrunk.scenario };
    let read = Scenario::from_toml("shrunk", &read.to_toml()).unwrap();
    assert_eq!(run(read).violation.unwrap().invariant, broken);
    assert!(shrink(&Scenario::quiet(1, 2), Duration::from_secs(1), 1, &mut |_, _| ()).is_none());
}

/// A failed run of a campaign leaves a folder that replays to the same violation and the same trace.
#[test]
fn a_failure_replays_from_its_folder() {
    let text = Scenario { sample_every: SECOND, ..planted() }.to_toml();
    let campaign = Campaign::read(&[("planted".into(), text)], &[], None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = campaign.runs().collect();
    let mut found = None;
    campaign.run(&runs, 1, |run, failure| {
        found = Some((run, failure.unwrap()));
        true
    });
    let (first, failure) = found.unwrap();
    assert_eq!(first.verdict, Verdict::Broken);
    failure.write(folder.path()).unwrap();
    let verdict = tidings_sim::failure::verdict(folder.path()).unwrap();
    assert!(verdict.replay.contains("tidings simulate replay"), "{verdict:?}");
    let operations = fs::read_to_string(folder.path().join("operations.jsonl")).unwrap();
    assert!(operations.lines().count() as u64 >= first.writes.all());
    let file = tidings_sim::failure::scenario_file(folder.path());
    let again = run(Scenario::from_toml("again", &fs::read_to_string(file).unwrap()).unwrap());
    assert_eq!(format!("{:016x}", again.trace), verdict.trace);
    assert_eq!(again.violation.unwrap().invariant, verdict.invariant);
}
