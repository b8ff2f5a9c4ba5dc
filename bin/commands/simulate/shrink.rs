//! `tidings simulate shrink DIR`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidings_gateway::duration;

use super::{bar, jobs, read_scenario};
use crate::exit::Failure;
use crate::output::say;

/// Makes a failed run small.
///
/// Takes out events, peers and databases and makes numbers smaller for as long as the same invariant
/// breaks. The smallest run found is written to `shrunk.toml` beside the scenario.
#[derive(Args, Debug)]
pub(super) struct Shrink {
    /// The folder of a failed run, or a scenario file.
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// The seed; the default is the first that the file says.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long to try, such as 30s or 10m.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    within: Duration,
    /// Runs at once; the default is one per core.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Shrink {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let scenario = read_scenario(&self.path, self.seed)?;
        let events = scenario.clone().expand().timeline.len();
        let bar = bar(events as u64, "{bar:40} {pos} events left, {msg}");
        bar.set_position(events as u64);
        let mut told = |events: usize, runs: usize| {
            bar.set_position(events as u64);
            bar.set_message(format!("{runs} runs"));
        };
        let shrunk =
            tidings_sim::shrink::shrink(&scenario, self.within, jobs(self.jobs), &mut told);
        bar.finish_and_clear();
        let Some(shrunk) = shrunk else {
            return Err(Failure::refused(format!(
                "{} does not fail, so there is nothing to shrink",
                self.path.display()
            )));
        };
        let folder =
            if self.path.is_dir() { Some(self.path.as_path()) } else { self.path.parent() };
        let file = folder.map_or_else(PathBuf::new, PathBuf::from).join("shrunk.toml");
        std::fs::write(&file, shrunk.scenario.to_toml())
            .map_err(|error| Failure::file("file", &file, &error))?;
        let (left, peers) = (shrunk.scenario.timeline.len(), shrunk.scenario.count());
        say!("{events} events became {left}, on {peers} peers, in {} runs", shrunk.runs);
        say!("{}", shrunk.report);
        say!("replay: tidings simulate replay {}", file.display());
        Ok(())
    }
}
