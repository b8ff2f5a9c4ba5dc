//! Proves that the simulator notices what it is for: plants the bugs of
//! [`tidings_core::planted`] one by one, and runs seeds of the swarm until one of them breaks.
//!
//! `cargo run --release -p tidings-sim --features planted --example planted -- --seeds 200`
//!
//! First some of the same seeds run without a bug, and none of them may break. Exit codes: 0, every
//! bug was killed; 1, one survived, or a seed broke without a bug; 2, usage.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tidings_core::planted::{Planted, plant};
use tidings_sim::checker::Violation;
use tidings_sim::run::run;
use tidings_sim::scenario::Scenario;

const USAGE: &str = "usage: planted [--seeds N] [--jobs N] [--only NAME] [--healthy N]";

/// What is asked for.
struct Asked {
    seeds: u64,
    jobs: usize,
    only: Option<String>,
    /// Seeds that run without a bug first.
    healthy: u64,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked { seeds: 200, jobs: 2, only: None, healthy: 20 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?;
        match argument.as_str() {
            "--seeds" => asked.seeds = value.parse().ok().filter(|seeds| *seeds > 0)?,
            "--jobs" => asked.jobs = value.parse().ok().filter(|jobs| *jobs > 0)?,
            "--healthy" => asked.healthy = value.parse().ok()?,
            "--only" => asked.only = Some(value),
            _ => return None,
        }
    }
    Some(asked)
}

/// The least seed up to `last` that breaks an invariant, and which. Seeds are taken in order, and
/// those below one that broke are run to their end, so that it does not depend on the threads.
fn first_broken(last: u64, jobs: usize) -> Option<(u64, Violation)> {
    let (next, broken) = (AtomicU64::new(1), Mutex::new(None::<(u64, Violation)>));
    let found = || broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last || found().as_ref().is_some_and(|(least, _)| *least < seed) {
                        return;
                    }
                    let Some(violation) = run(Scenario::swarm(seed)).violation else { continue };
                    let mut found = found();
                    if found.as_ref().is_none_or(|(least, _)| seed < *least) {
                        *found = Some((seed, violation));
                    }
                }
            });
        }
    });
    found().take()
}

fn main() -> ExitCode {
    let Some(Asked { seeds, jobs, only, healthy }) = asked() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let chosen = |bug: &&Planted| only.as_ref().is_none_or(|only| bug.name() == only);
    let bugs: Vec<Planted> = Planted::ALL.iter().filter(chosen).copied().collect();
    if bugs.is_empty() {
        eprintln!("no planted bug has that name; there are:");
        for bug in Planted::ALL {
            eprintln!("  {}", bug.name());
        }
        return ExitCode::from(2);
    }
    // A planted bug may well panic, which is a way of being noticed.
    std::panic::set_hook(Box::new(|_| ()));
    plant(None);
    if let Some((seed, violation)) = first_broken(healthy, jobs) {
        println!("seed {seed} breaks without a planted bug: {violation}");
        return ExitCode::FAILURE;
    }
    println!("| planted bug | what it does | seeds | broken invariant |");
    println!("|---|---|---|---|");
    let (mut needed, mut alive) = (Vec::new(), Vec::new());
    for bug in bugs {
        let began = Instant::now();
        plant(Some(bug));
        let (name, what) = (bug.name(), bug.what());
        if let Some((seed, violation)) = first_broken(seeds, jobs) {
            println!("| `{name}` | {what} | {seed} | {} |", violation.invariant);
            eprintln!("{name}: {:.1} s: {violation}", began.elapsed().as_secs_f64());
            needed.push(seed);
        } else {
            println!("| `{name}` | {what} | survived {seeds} | |");
            alive.push(name);
        }
    }
    needed.sort_unstable();
    if let Some(median) = needed.get(needed.len() / 2) {
        println!("\n{} killed; half of them within {median} seeds", needed.len());
    }
    if alive.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{} survived {seeds} seeds: {}", alive.len(), alive.join(", "));
    ExitCode::FAILURE
}
