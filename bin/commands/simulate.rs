//! `tidings simulate`: networks of peers on a virtual clock, from scenario files or from seeds.
//!
//! The protocol is the very code that `tidings serve` runs. What a file may say and what the outputs
//! mean is told in `docs/simulation.md`.

mod campaign;
mod compare;
mod replay;
mod shrink;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use tidings_gateway::duration;
use tidings_sim::campaign::Campaign;
use tidings_sim::scenario::Scenario;

use super::{Context, read_whole};
use crate::exit::{Code, Failure};
use crate::output;
use crate::signals;

/// Largest scenario file: far above an expanded campaign of a million operations.
const TEXT_MAX: usize = 1 << 30;

/// Runs networks of peers on a virtual clock, under faults, and says how they did.
///
/// Each FILE is a scenario in TOML; each seed is one run of it. Keys can be overridden with --set, and
/// a list sweeps: every combination is run. With --out the runs are written to a directory, together
/// with tables and a report in HTML, and a campaign that was interrupted goes on where it was.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Simulate {
    #[command(subcommand)]
    other: Option<Other>,
    /// Scenario files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Overrides a key, such as links.loss=0.1; a list, such as links.loss=[0,0.1], sweeps it.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    run: RunArguments,
}

/// What every campaign is told.
#[derive(Args, Clone, Debug)]
struct RunArguments {
    /// First and last seed, as 1..200, or one; the default is what the file says.
    #[arg(long, value_name = "A..B")]
    seeds: Option<String>,
    /// Writes runs, tables, report and failed runs to this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at once; the default is one per core.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Args, Debug)]
struct Swarm {
    /// Stretches each run to this virtual time, such as 10m, with at most four times the work.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Runs scenarios that are drawn from the seeds: the test of the protocol itself.
    Swarm(Swarm),
    Replay(replay::Replay),
    Shrink(shrink::Shrink),
    Compare(compare::Compare),
}

impl Simulate {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        match self.other {
            None => {
                let (files, set, run) = (self.files, self.set, self.run);
                apart(move |stop| campaign::files(&files, &set, &run, format, stop)).await
            }
            Some(Other::Swarm(Swarm { duration, run })) => {
                apart(move |stop| campaign::swarm(duration, &run, format, stop)).await
            }
            Some(Other::Replay(replay)) => apart(move |_| replay.run(format)).await,
            Some(Other::Shrink(shrink)) => apart(move |_| shrink.run()).await,
            Some(Other::Compare(compare)) => compare.run(format),
        }
    }
}

/// Does work that takes a processor whole on a thread of its own. A signal raises the flag: what looks
/// at it ends in good order; a second signal ends the process.
fn apart(
    work: impl FnOnce(&AtomicBool) -> Result<(), Failure> + Send + 'static,
) -> impl Future<Output = Result<(), Failure>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    async move {
        let stop = signals::stop(false)
            .map_err(|error| Failure::internal(format!("no signals can be heard: {error}")))?;
        tokio::spawn(async move {
            stop.await;
            seen.store(true, Ordering::Relaxed);
        });
        match tokio::task::spawn_blocking(move || work(&flag)).await {
            Ok(result) => result,
            // Also how it ends when nobody reads what it prints any more.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Failure::internal(format!("the simulation ended early: {error}"))),
        }
    }
}

fn jobs(asked: Option<usize>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.unwrap_or(cores).max(1)
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let bytes = read_whole(file, TEXT_MAX, "scenario file")?;
    String::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("{} is not UTF-8: {error}", file.display())))
}

/// The one run that a folder of a failed run, or a file, stands for: with this seed, or the first of
/// the file.
fn read_scenario(path: &Path, seed: Option<u64>) -> Result<Scenario, Failure> {
    let file = tidings_sim::failure::scenario_file(path);
    let name = file.display().to_string();
    let text = read_text(&file)?;
    let campaign = Campaign::read(&[(name.clone(), text)], &[], seed.map(|seed| seed..=seed))
        .map_err(|error| Failure::usage(error.to_string()))?;
    match campaign.points.as_slice() {
        [point] => Ok(point.scenario(*campaign.seeds.start())),
        points => Err(Failure::usage(format!(
            "{name} sweeps {} combinations, and this is about one run: take the lists out of it",
            points.len()
        ))),
    }
}

/// A bar over so many runs; hidden off a terminal.
fn bar(runs: u64, template: &str) -> ProgressBar {
    let bar = output::bar(Some(runs), template);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(Code::Failed, message)
}
