//! Campaigns: scenarios times overrides times seeds, run in parallel, resumable, and written down.
//!
//! A campaign is a list of points (a scenario with one value of everything that is swept) and a
//! range of seeds. With a directory, each run is written there as it ends (`runs.jsonl`), and a
//! campaign that was interrupted goes on where it was; at the end come `summary.csv`, `series.csv`,
//! `manifest.json` and `report.html`. Every run that fails leaves a folder of its own.

pub mod compare;
mod csv;
pub mod statistics;
pub mod store;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::measure::KINDS;
use crate::run::{Report, Verdict, Writes, run_world};
use crate::scenario::Scenario;
use crate::scenario::document::{BadScenario, Item, Place, Table, Value};
use crate::sometimes::Sometimes;
use crate::world::World;

/// Most points of a campaign.
pub const POINTS_MAX: usize = 10_000;
/// Most seeds of a campaign.
pub const SEEDS_MAX: u64 = 10_000_000;

/// Keys whose value is a list: only a list of lists sweeps them.
const LISTS: [&str; 6] = ["kinds", "paths", "peers", "definitions", "timeline", "tags"];

/// What is run at a point.
#[derive(Clone, Debug)]
pub enum Source {
    /// The same scenario with every seed.
    Scenario(Box<Scenario>),
    /// The scenario that each seed of the swarm stands for; stretched to a duration in microseconds.
    Swarm(Option<u64>),
}

/// One scenario with one value of everything that is swept.
#[derive(Clone, Debug)]
pub struct Point {
    /// The name of the scenario.
    pub name: String,
    /// What was overridden or swept: key and value.
    pub settings: Vec<(String, String)>,
    /// What is run.
    pub source: Source,
}

impl Point {
    /// The scenario of a seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        match &self.source {
            Source::Scenario(scenario) => Scenario { seed, ..(**scenario).clone() },
            Source::Swarm(None) => Scenario::swarm(seed),
            Source::Swarm(Some(duration)) => Scenario::swarm(seed).stretched(*duration),
        }
    }

    /// The name with the settings.
    pub fn label(&self) -> String {
        let settings = self.settings.iter().map(|(key, value)| format!(" {key}={value}"));
        self.name.clone() + &settings.collect::<String>()
    }
}

/// Points and seeds.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The points.
    pub points: Vec<Point>,
    /// The seeds, the same at every point.
    pub seeds: RangeInclusive<u64>,
}

/// What is remembered of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The number of its point.
    pub point: usize,
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// What broke or was not met; empty: nothing.
    pub why: String,
    /// How long after the faults stopped all copies were equal, in microseconds.
    pub convergence: Option<u64>,
    /// Virtual time, in microseconds.
    pub time: u64,
    /// The hash over everything that happened, in hexadecimal.
    pub trace: String,
    /// How many events that were.
    pub events: u64,
    /// Writes by what became of them.
    pub writes: Writes,
    /// Bytes by kind.
    pub bytes: [u64; KINDS.len()],
    /// Bytes that a peer sent in a second, on average.
    pub traffic: u64,
    /// Percentiles 50, 90, 99 and 100 of the time of a write to a holder, in microseconds.
    pub propagation: [Option<u64>; 4],
    /// Time and values of the series.
    pub samples: Vec<(u64, BTreeMap<String, f64>)>,
    /// What was reached.
    pub sometimes: BTreeMap<String, u64>,
}

impl Run {
    fn of(point: usize, report: &Report, scenario: &Scenario) -> Self {
        let why = report.violation.iter().map(ToString::to_string);
        let why: Vec<String> = why.chain(report.missed.iter().cloned()).collect();
        let samples = report.samples.iter().map(|sample| {
            let values = sample.values.iter().map(|(name, value)| ((*name).to_string(), *value));
            (sample.at, values.collect())
        });
        Self {
            point,
            seed: report.seed,
            verdict: report.verdict(),
            why: why.join("; "),
            convergence: report.convergence,
            time: report.time,
            trace: format!("{:016x}", report.trace),
            events: report.events,
            writes: report.writes,
            bytes: report.bytes,
            traffic: report.traffic(scenario.count(), scenario.duration),
            propagation: report.propagation,
            samples: samples.collect(),
            sometimes: report.sometimes.iter().map(|(what, n)| (what.into(), n)).collect(),
        }
    }
}

/// Reads a range of seeds: `7`, or `1..200` with both ends in it.
pub fn seeds(text: &str) -> Option<RangeInclusive<u64>> {
    let (from, upto) = text.split_once("..").unwrap_or((text, text));
    let (from, upto) = (from.parse().ok()?, upto.strip_prefix('=').unwrap_or(upto).parse().ok()?);
    (from <= upto && upto - from < SEEDS_MAX && upto <= i64::MAX.unsigned_abs())
        .then_some(from..=upto)
}

fn seeds_of(item: &Item, name: &str) -> Result<RangeInclusive<u64>, BadScenario> {
    let found = match &item.value {
        Value::Text(text) => seeds(text),
        Value::Number(number) => seeds(number),
        _ => None,
    };
    found.ok_or_else(|| {
        let given = &item.value;
        item.place.error(format!(
            "{name} is {given}; write one seed, or the first and the last as \"1..200\", at most \
             {SEEDS_MAX} of them"
        ))
    })
}

/// A key and the values it takes.
type Axis = (String, Vec<Item>);

/// Reads `KEY=VALUE`.
fn setting(argument: &str) -> Result<(String, Item), BadScenario> {
    let source = format!("--set {argument}");
    match argument.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), Item::parse(&source, value))),
        _ => Err(Place::of(&source)
            .error("this is no KEY=VALUE; write, for example, --set links.loss=0.01")),
    }
}

/// The values that a key takes: those of a list, unless a list is what the key wants.
fn axis(key: String, item: Item) -> Axis {
    let wants_list = LISTS.contains(&key.rsplit('.').next().unwrap_or_default());
    match item.value {
        Value::List(items)
            if !items.is_empty()
                && (!wants_list || items.iter().all(|i| matches!(i.value, Value::List(_)))) =>
        {
            (key, items)
        }
        value => (key, vec![Item { place: item.place, value }]),
    }
}

impl Campaign {
    /// A campaign over the seeds of the swarm, each stretched to a duration in microseconds.
    pub fn swarm(seeds: RangeInclusive<u64>, duration: Option<u64>) -> Self {
        let settings = duration.map(|duration| ("duration".into(), format!("{duration}us")));
        let settings = settings.into_iter().collect();
        let point = Point { name: "swarm".into(), settings, source: Source::Swarm(duration) };
        Self { points: vec![point], seeds }
    }

    /// Reads scenario files (name and text) with overrides (`KEY=VALUE`; a list sweeps). `seeds`
    /// beats what the files say; without either there is one seed, 1.
    ///
    /// # Errors
    /// With the place of the first mistake, and the way out.
    pub fn read(
        files: &[(String, String)],
        overrides: &[String],
        seeds: Option<RangeInclusive<u64>>,
    ) -> Result<Self, BadScenario> {
        let mut points = Vec::new();
        let mut said = None;
        for (source, text) in files {
            let mut table = Table::parse(source, text)?;
            if let Some(item) = table.remove("seeds") {
                said = Some(seeds_of(&item, "seeds")?);
            } else if let Some(Item { place, value: Value::Number(number) }) = table.get("seed") {
                let wrong = || place.error(format!("seed is {number}; write a whole number"));
                let seed: u64 = number.parse().map_err(|_| wrong())?;
                said = Some(seed..=seed);
            }
            let mut axes = Vec::new();
            if let Some(item) = table.remove("sweep") {
                for (key, values) in item.table("sweep")?.iter() {
                    axes.push(axis(key.into(), values.clone()));
                }
            }
            for argument in overrides {
                let (key, item) = setting(argument)?;
                axes.retain(|(known, _)| *known != key);
                axes.push(axis(key, item));
            }
            expand(&table, &axes, &mut points)?;
        }
        let seeds = seeds.or(said).unwrap_or(1..=1);
        Ok(Self { points, seeds })
    }

    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.points.len() * (self.seeds.end() - self.seeds.start() + 1) as usize
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every run: its point and its seed. All points of a seed come one after the other, so that a
    /// campaign that is stopped has compared them all on some seeds.
    pub fn runs(&self) -> impl Iterator<Item = (usize, u64)> {
        self.seeds.clone().flat_map(|seed| (0..self.points.len()).map(move |point| (point, seed)))
    }

    /// Does every run that is wanted on so many threads. `done` hears of each as it ends, with what
    /// is needed to tell of a failure; when it returns false, no further run begins.
    pub fn run(
        &self,
        wanted: &[(usize, u64)],
        jobs: usize,
        done: impl FnMut(Run, Option<Failure>) -> bool + Send,
    ) {
        let next = AtomicUsize::new(0);
        let stopped = AtomicBool::new(false);
        let done = Mutex::new(done);
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, wanted.len().max(1)) {
                scope.spawn(|| {
                    while !stopped.load(Ordering::Relaxed) {
                        let Some(&(point, seed)) = wanted.get(next.fetch_add(1, Ordering::Relaxed))
                        else {
                            return;
                        };
                        let scenario = self.points[point].scenario(seed);
                        let (report, world) = run_world(World::new(scenario.clone()));
                        let run = Run::of(point, &report, &scenario);
                        let failure =
                            (run.verdict != Verdict::Ok).then(|| Failure::new(&report, &world));
                        drop(world);
                        let Ok(mut done) = done.lock() else { return };
                        if !done(run, failure) {
                            stopped.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    }
}

/// What all runs reached together.
pub fn reached<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Sometimes {
    let mut all = Sometimes::default();
    for run in runs {
        run.sometimes.iter().for_each(|(what, times)| all.add(what, *times));
    }
    all
}

/// The cartesian product of the axes, each applied to the table.
fn expand(table: &Table, axes: &[Axis], points: &mut Vec<Point>) -> Result<(), BadScenario> {
    let count = axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
    let count = count.filter(|count| points.len() + count <= POINTS_MAX).ok_or_else(|| {
        let place = axes.first().map_or_else(|| Place::of("sweep"), |(_, v)| v[0].place.clone());
        place.error(format!("the sweep has more than {POINTS_MAX} points; sweep over fewer values"))
    })?;
    for number in 0..count {
        let (mut table, mut rest) = (table.clone(), number);
        let mut settings = Vec::new();
        // The last axis moves fastest.
        for (key, values) in axes.iter().rev() {
            let item = &values[rest % values.len()];
            rest /= values.len();
            settings.push((key.clone(), item.value.to_string().trim_matches('"').to_string()));
            table.set(key, item.clone())?;
        }
        settings.reverse();
        let scenario = Scenario::from_table(&table)?;
        let source = Source::Scenario(Box::new(scenario.clone()));
        points.push(Point { name: scenario.name, settings, source });
    }
    Ok(())
}
