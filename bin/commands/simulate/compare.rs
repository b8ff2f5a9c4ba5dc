//! `tidings simulate compare A B`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidings_sim::campaign::compare::{Difference, compare};

use super::failed;
use crate::exit::Failure;
use crate::output::{self, Format, Table};

/// Sets two campaigns beside each other, run by run.
///
/// Exits with 7 when something got worse in the mean by more than the threshold, and by more than
/// what the seeds make it vary; or when more runs failed.
#[derive(Args, Debug)]
pub(super) struct Compare {
    /// The directory of the first campaign.
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The directory of the second campaign.
    #[arg(value_name = "B")]
    after: PathBuf,
    /// How much worse a mean may become, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    threshold: f64,
}

/// A line of the result.
#[derive(Debug, Serialize)]
struct Line {
    scenario: String,
    measure: &'static str,
    before: f64,
    after: f64,
    change: f64,
    interval: f64,
    runs: usize,
    worse: bool,
}

impl Compare {
    pub(super) fn run(&self, format: Format) -> Result<(), Failure> {
        if !self.threshold.is_finite() || self.threshold < 0.0 {
            let given = self.threshold;
            return Err(Failure::usage(format!("--threshold is {given}; write 0 percent or more")));
        }
        let differences = compare(&self.before, &self.after, self.threshold / 100.0)
            .map_err(|error| Failure::usage(error.to_string()))?;
        if differences.is_empty() {
            return Err(Failure::usage(format!(
                "{} and {} have no scenario and seed in common: nothing can be compared",
                self.before.display(),
                self.after.display()
            )));
        }
        let worse = differences.iter().filter(|difference| difference.worse).count();
        if format == Format::Table {
            table(&differences).print()?;
        } else {
            let lines: Vec<Line> = differences.iter().map(line).collect();
            output::documents(format, &lines)?;
        }
        if worse > 0 {
            let percent = self.threshold;
            return Err(failed(format!("{worse} measures got worse by more than {percent} %")));
        }
        Ok(())
    }
}

fn line(difference: &Difference) -> Line {
    let Difference { point, measure, before, after, change, worse } = difference;
    Line {
        scenario: point.clone(),
        measure,
        before: *before,
        after: *after,
        change: change.mean,
        interval: change.interval,
        runs: change.count,
        worse: *worse,
    }
}

fn table(differences: &[Difference]) -> Table {
    let mut table = Table::new(&["scenario", "measure", "A", "B", "change", "±", "runs", ""]);
    for Difference { point, measure, before, after, change, worse } in differences {
        table.row([
            point.clone(),
            (*measure).to_owned(),
            format!("{before:.3}"),
            format!("{after:.3}"),
            format!("{:+.3}", change.mean),
            format!("{:.3}", change.interval),
            change.count.to_string(),
            if *worse { "worse".to_owned() } else { String::new() },
        ]);
    }
    table
}
