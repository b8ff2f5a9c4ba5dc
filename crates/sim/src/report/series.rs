//! Series of several runs as means over time.

use std::collections::BTreeMap;

use crate::campaign::Run;
use crate::campaign::statistics::Mean;
use crate::scenario::SECOND;

/// The mean of a series at each time at which any run has a value.
pub(super) fn over_time(runs: &[&Run], series: &str) -> Vec<(f64, Mean)> {
    means(runs, series, false)
}

/// As [`over_time`]; a run that has settled counts with its last value from then on.
pub(super) fn settled(runs: &[&Run], series: &str) -> Vec<(f64, Mean)> {
    means(runs, series, true)
}

fn means(runs: &[&Run], series: &str, carry: bool) -> Vec<(f64, Mean)> {
    // The last sample of a run is taken when it has settled: at a time of its own.
    let mut times: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let single = runs.len() == 1;
    for run in runs {
        let kept = if single { run.samples.len() } else { run.samples.len().saturating_sub(1) };
        for (at, values) in run.samples.iter().take(kept) {
            let into = times.entry(*at).or_default();
            into.extend(values.get(series));
        }
    }
    let last = runs.iter().filter_map(|run| run.samples.last()).map(|(at, _)| *at).max();
    let last = last.unwrap_or(0);
    if carry && !single {
        // Where the last run has settled, all have.
        times.entry(last).or_default();
        for run in runs {
            let Some((ended, values)) = run.samples.last() else { continue };
            let Some(value) = values.get(series) else { continue };
            for (_, into) in times.range_mut(ended..=&last) {
                into.push(*value);
            }
        }
    }
    let mean =
        |(at, values): (&u64, &Vec<f64>)| Some((*at as f64 / SECOND as f64, Mean::of(values)?));
    times.iter().filter_map(mean).collect()
}
