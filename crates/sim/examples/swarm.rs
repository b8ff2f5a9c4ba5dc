//! Runs seeds of the swarm: `cargo run --release -p tidings-sim --example swarm -- --seeds 1..200`.
//!
//! Prints one line per seed: seed, verdict, simulated time, trace hash, and what broke. At the end,
//! which faults and rare branches were reached. Exits with 1 when an invariant broke, and with 2 when
//! a branch that must be reached was not (in campaigns of at least 100 seeds).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tidings_sim::sometimes::Sometimes;
use tidings_sim::{run, scenario::Scenario};

struct Arguments {
    from: u64,
    upto: u64,
    jobs: u64,
    quiet: bool,
}

fn arguments() -> Option<Arguments> {
    let mut arguments = Arguments { from: 1, upto: 201, jobs: 1, quiet: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => {
                let range = words.next()?;
                let (from, upto) = range.split_once("..").unwrap_or((&range, ""));
                arguments.from = from.parse().ok()?;
                arguments.upto = match upto.strip_prefix('=').unwrap_or(upto) {
                    "" => arguments.from + 1,
                    upto => upto.parse::<u64>().ok()? + 1,
                };
            }
            "--jobs" => arguments.jobs = words.next()?.parse().ok()?,
            "--quiet" => arguments.quiet = true,
            _ => return None,
        }
    }
    Some(arguments)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: swarm [--seeds FROM..TO] [--jobs N] [--quiet]");
        return ExitCode::from(64);
    };
    let started = Instant::now();
    let next = AtomicU64::new(arguments.from);
    let total = Mutex::new((Sometimes::default(), Vec::new(), 0_u64, 0_u64));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.upto {
                        return;
                    }
                    let report = catch_unwind(AssertUnwindSafe(|| run::run(Scenario::swarm(seed))));
                    let Ok(mut total) = total.lock() else { return };
                    let Ok(report) = report else {
                        println!("{seed} PANIC");
                        total.1.push(seed);
                        continue;
                    };
                    if !arguments.quiet || report.violation.is_some() {
                        println!("{report}");
                    }
                    if report.violation.is_some() {
                        total.1.push(seed);
                    }
                    total.0.merge(&report.sometimes);
                    total.2 += report.time;
                    total.3 += report.events;
                }
            });
        }
    });
    let Ok((sometimes, broken, time, events)) = total.into_inner() else {
        return ExitCode::FAILURE;
    };
    println!("--");
    for (what, times) in sometimes.iter() {
        println!("{times:>10} {what}");
    }
    let (real, simulated) = (started.elapsed().as_secs_f64(), time as f64 / 1e6);
    println!(
        "-- {} seeds, {simulated:.0} s simulated in {real:.1} s on {} jobs: {:.0} times as fast, {events} events",
        arguments.upto - arguments.from,
        arguments.jobs,
        simulated / real
    );
    for seed in &broken {
        println!("replay: cargo run --release -p tidings-sim --example swarm -- --seeds {seed}");
    }
    let missing = sometimes.missing();
    if arguments.upto - arguments.from >= 100 {
        for what in &missing {
            println!("never reached: {what}");
        }
    }
    if !broken.is_empty() {
        ExitCode::FAILURE
    } else if !missing.is_empty() && arguments.upto - arguments.from >= 100 {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}
