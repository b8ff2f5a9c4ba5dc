//! The tables of a campaign: a row per run, and the series in long form.

use std::io::{self, Write};

use super::{Campaign, Run};
use crate::measure::KINDS;

/// A field, in quotes where it must be (RFC 4180).
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.into()
}

/// The names of everything that is set anywhere, in order of appearance.
fn keys(campaign: &Campaign) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in campaign.points.iter().flat_map(|point| &point.settings) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys
}

/// The fields that name a point.
fn point_fields(campaign: &Campaign, keys: &[&str], number: usize) -> String {
    let point = &campaign.points[number];
    let mut fields = vec![field(&point.name)];
    for key in keys {
        let value = point.settings.iter().find(|(own, _)| own == key);
        fields.push(field(value.map_or("", |(_, value)| value)));
    }
    fields.join(",")
}

fn seconds(micros: Option<u64>) -> String {
    micros.map_or_else(String::new, |micros| format!("{}", micros as f64 / 1e6))
}

/// Writes `summary.csv`.
pub(super) fn summary(out: &mut impl Write, campaign: &Campaign, runs: &[Run]) -> io::Result<()> {
    let keys = keys(campaign);
    let mut names = vec!["scenario".to_string()];
    names.extend(keys.iter().map(|key| field(key)));
    names.extend(
        [
            "seed",
            "verdict",
            "why",
            "convergence_s",
            "simulated_s",
            "writes_acknowledged",
            "writes_lost",
            "writes_refused",
            "writes_unknown",
            "propagation_p50_s",
            "propagation_p90_s",
            "propagation_p99_s",
            "propagation_max_s",
            "traffic_bytes_per_peer_per_s",
        ]
        .map(String::from),
    );
    names.extend(KINDS.iter().map(|kind| format!("bytes_{kind}")));
    names.extend(["events".to_string(), "trace".to_string()]);
    writeln!(out, "{}", names.join(","))?;
    for run in runs {
        let writes = &run.writes;
        let mut fields = vec![
            point_fields(campaign, &keys, run.point),
            run.seed.to_string(),
            run.verdict.word().into(),
            field(&run.why),
            seconds(run.convergence),
            seconds(Some(run.time)),
            writes.acknowledged.to_string(),
            writes.lost.to_string(),
            writes.refused.to_string(),
            writes.unknown.to_string(),
        ];
        fields.extend(run.propagation.map(seconds));
        fields.push(run.traffic.to_string());
        fields.extend(run.bytes.map(|bytes| bytes.to_string()));
        fields.extend([run.events.to_string(), run.trace.clone()]);
        writeln!(out, "{}", fields.join(","))?;
    }
    Ok(())
}

/// Writes `series.csv`.
pub(super) fn series(out: &mut impl Write, campaign: &Campaign, runs: &[Run]) -> io::Result<()> {
    let keys = keys(campaign);
    let mut names = vec!["scenario".to_string()];
    names.extend(keys.iter().map(|key| field(key)));
    writeln!(out, "{},seed,time_s,series,value", names.join(","))?;
    for run in runs {
        let point = point_fields(campaign, &keys, run.point);
        for (at, values) in &run.samples {
            for (name, value) in values {
                writeln!(out, "{point},{},{},{name},{value}", run.seed, seconds(Some(*at)))?;
            }
        }
    }
    Ok(())
}
