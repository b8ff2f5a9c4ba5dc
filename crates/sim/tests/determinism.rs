//! The same seed and scenario are the same run, event by event: twice in one process, and in two.
//! That debug and release builds agree is checked by `.ci/simulations`, which has both.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

use std::process::Command;

use tidings_sim::run::run;
use tidings_sim::scenario::Scenario;

const SEEDS: [u64; 3] = [1, 7, 24];
/// Set for the process that only prints.
const PRINT: &str = "TIDINGS_SIM_PRINT_TRACES";

fn traces() -> Vec<String> {
    SEEDS.map(|seed| run(Scenario::swarm(seed))).map(|r| format!("{:016x}", r.trace)).into()
}

/// The same seed gives the same trace and the same number of events; another seed gives another one.
#[test]
fn a_seed_is_a_run() {
    let (one, other) = (traces(), traces());
    assert_eq!(one, other);
    assert!(one[0] != one[1] && one[1] != one[2] && one[0] != one[2], "{one:?}");
}

/// Another process, with other addresses in memory and another environment, runs the same.
#[test]
fn two_processes_agree() {
    if std::env::var_os(PRINT).is_some() {
        println!("traces: {}", traces().join(" "));
        return;
    }
    let program = std::env::current_exe().unwrap();
    let other = Command::new(program)
        .args(["--exact", "two_processes_agree", "--nocapture", "--test-threads=1"])
        .env(PRINT, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8(other.stdout).unwrap();
    let wanted = format!("traces: {}", traces().join(" "));
    assert!(printed.contains(&wanted), "wanted {wanted}, printed {printed}");
}

/// What is sampled on the way does not change what happens.
#[test]
fn looking_changes_nothing() {
    let scenario = Scenario::swarm(11);
    let trace = |sample_every| {
        let report = run(Scenario { sample_every, ..scenario.clone() });
        (report.verdict(), report.convergence, report.writes, report.bytes)
    };
    assert_eq!(trace(0), trace(500_000));
}
