//! `tidings simulate replay DIR`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidings_sim::run::{Verdict, run};

use super::{failed, read_scenario};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Runs a failed run again, event by event.
///
/// Says what breaks, and whether it is what broke then. With `TIDINGS_SIM_DESCRIBE=1` every event is
/// printed on standard error.
#[derive(Args, Debug)]
pub(super) struct Replay {
    /// The folder of a failed run, or a scenario file.
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// The seed; the default is the first that the file says.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What a replay came to.
#[derive(Debug, Serialize)]
struct Replayed {
    seed: u64,
    verdict: Verdict,
    what: String,
    trace: String,
    /// Whether this is what the folder tells of; none: it tells of nothing.
    same: Option<bool>,
}

impl Replay {
    pub(super) fn run(&self, format: Format) -> Result<(), Failure> {
        let scenario = read_scenario(&self.path, self.seed)?;
        let report = run(scenario);
        let trace = format!("{:016x}", report.trace);
        let before = tidings_sim::failure::verdict(&self.path);
        let same = before.as_ref().map(|before| before.trace == trace);
        let what = match &report.violation {
            Some(violation) => violation.to_string(),
            None => report.missed.join("; "),
        };
        let verdict = report.verdict();
        let replayed = Replayed { seed: report.seed, verdict, what, trace, same };
        if format == Format::Table {
            say!("{report}");
            match (same, before) {
                (Some(true), _) => say!("the same run, event by event, as the folder tells of"),
                (Some(false), Some(before)) => {
                    say!("another run than the folder tells of, which broke {}", before.invariant);
                }
                _ => {}
            }
        } else {
            output::document(format, &replayed)?;
        }
        if verdict == Verdict::Ok { Ok(()) } else { Err(failed(replayed.what)) }
    }
}
