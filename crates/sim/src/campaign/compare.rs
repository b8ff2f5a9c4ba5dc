//! Two campaigns beside each other: what got better, what got worse, and by how much.
//!
//! Runs are paired by point and seed, so that what the seeds have in common falls out. Something
//! got worse when its mean did by more than the threshold, and more than the seeds make it vary.

use std::collections::BTreeMap;
use std::path::Path;

use super::statistics::Mean;
use super::store::{Manifest, ManifestPoint, StoreError, runs};
use super::{Run, Verdict};

/// One measure of one point, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The point.
    pub point: String,
    /// What is measured, with its unit.
    pub measure: &'static str,
    /// The mean of the first campaign.
    pub before: f64,
    /// The mean of the second one.
    pub after: f64,
    /// The mean of the differences between runs of one seed.
    pub change: Mean,
    /// Whether it got worse by more than the threshold.
    pub worse: bool,
}

type Value = fn(&Run) -> Option<f64>;

/// What is compared; `true`: more is worse.
const MEASURES: [(&str, bool, Value); 6] = [
    ("failed runs", true, |run| Some(f64::from(u8::from(run.verdict != Verdict::Ok)))),
    ("convergence, s", true, |run| run.convergence.map(|micros| micros as f64 / 1e6)),
    ("write to holder p99, ms", true, |run| run.propagation[2].map(|micros| micros as f64 / 1e3)),
    ("traffic, B/s per peer", true, |run| Some(run.traffic as f64)),
    ("acknowledged writes", false, |run| Some(run.writes.acknowledged as f64)),
    ("lost writes", true, |run| Some(run.writes.lost as f64)),
];

/// What a campaign's directory says, by label of the point and seed.
type Found = BTreeMap<String, BTreeMap<u64, Run>>;

fn label(point: &ManifestPoint) -> String {
    let settings = point.settings.iter().map(|(key, value)| format!(" {key}={value}"));
    point.scenario.clone() + &settings.collect::<String>()
}

fn found(folder: &Path) -> Result<Found, StoreError> {
    let Some(manifest) = Manifest::read(folder)? else {
        let what = "no manifest.json of a campaign";
        return Err(StoreError::Other { path: folder.into(), what });
    };
    let mut found = Found::new();
    for run in runs(folder)? {
        if let Some(point) = manifest.points.get(run.point) {
            found.entry(label(point)).or_default().insert(run.seed, run);
        }
    }
    Ok(found)
}

/// Compares the campaigns in two directories; `threshold` is a share, 0.1 for 10 %. A failed run
/// more is worse whatever the threshold. Points and seeds that only one of them has are left out.
///
/// # Errors
/// When a directory holds no campaign or cannot be read.
pub fn compare(before: &Path, after: &Path, threshold: f64) -> Result<Vec<Difference>, StoreError> {
    let (before, after) = (found(before)?, found(after)?);
    let mut differences = Vec::new();
    for (point, old) in &before {
        let Some(new) = after.get(point) else { continue };
        let pairs: Vec<(&Run, &Run)> =
            old.iter().filter_map(|(seed, old)| Some((old, new.get(seed)?))).collect();
        for (measure, more_is_worse, value) in MEASURES {
            let values: Vec<(f64, f64)> =
                pairs.iter().filter_map(|(old, new)| Some((value(old)?, value(new)?))).collect();
            let change: Vec<f64> = values.iter().map(|(old, new)| new - old).collect();
            let Some(change) = Mean::of(&change) else { continue };
            let mean = |of: fn(&(f64, f64)) -> f64| {
                values.iter().map(of).sum::<f64>() / values.len() as f64
            };
            let (before, after) = (mean(|pair| pair.0), mean(|pair| pair.1));
            let loss = if more_is_worse { change.mean } else { -change.mean };
            let beyond = loss > before.abs() * threshold && loss > change.interval;
            let worse = if measure == MEASURES[0].0 { loss > 0.0 } else { beyond };
            let point = point.clone();
            differences.push(Difference { point, measure, before, after, change, worse });
        }
    }
    Ok(differences)
}
