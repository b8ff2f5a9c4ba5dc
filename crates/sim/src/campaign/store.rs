//! The directory of a campaign: what was run, so that it can go on, and what came of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Campaign, Point, Run, Source, csv};
use crate::failure::Failure;
use crate::report;

/// What a campaign was, as `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of tidings.
    pub version: String,
    /// A hash over the program, in hexadecimal: another build may run otherwise.
    pub program: String,
    /// First and last seed.
    pub seeds: (u64, u64),
    /// The points.
    pub points: Vec<ManifestPoint>,
}

/// A point in a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPoint {
    /// The name of the scenario.
    pub scenario: String,
    /// What was overridden or swept.
    pub settings: Vec<(String, String)>,
    /// A hash over the whole scenario, seed left out, in hexadecimal.
    pub hash: String,
}

/// Why the directory of a campaign cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{path} cannot be used: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It holds something else.
    #[error("{path} holds {what}; choose another directory, or remove that one")]
    Other {
        /// Where.
        path: PathBuf,
        /// What.
        what: &'static str,
    },
}

/// Names what failed.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |error| StoreError::Io { path, error }
}

/// A directory that a campaign is written to.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    log: BufWriter<File>,
}

impl Manifest {
    /// The manifest of a campaign run by this program.
    pub fn of(campaign: &Campaign) -> Self {
        let point = |point: &Point| {
            let hash = match &point.source {
                Source::Scenario(scenario) => scenario.hash(),
                Source::Swarm(duration) => duration.unwrap_or(0),
            };
            ManifestPoint {
                scenario: point.name.clone(),
                settings: point.settings.clone(),
                hash: format!("{hash:016x}"),
            }
        };
        let program = std::env::current_exe().and_then(fs::read).unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            program: format!("{:016x}", crate::trace::hash(&program)),
            seeds: (*campaign.seeds.start(), *campaign.seeds.end()),
            points: campaign.points.iter().map(point).collect(),
        }
    }

    /// The seeds.
    pub fn seeds(&self) -> RangeInclusive<u64> {
        self.seeds.0..=self.seeds.1
    }

    /// Reads the manifest of a directory; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join("manifest.json");
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| at(&path)(error.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Whether runs of one belong beside those of the other: all but the seeds is the same.
    fn fits(&self, other: &Self) -> bool {
        Self { seeds: other.seeds, ..self.clone() } == *other
    }
}

/// Reads the runs that a directory has; a line that was cut off by the end of a process is left out.
///
/// # Errors
/// When they cannot be read.
pub fn runs(folder: &Path) -> Result<Vec<Run>, StoreError> {
    let path = folder.join("runs.jsonl");
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(at(&path))?,
    };
    let mut runs = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(at(&path))?;
        if let Ok(run) = serde_json::from_str::<Run>(&line) {
            runs.insert((run.point, run.seed), run);
        }
    }
    Ok(runs.into_values().collect())
}

impl Store {
    /// Opens a directory for a campaign; returns what it has of it already.
    ///
    /// # Errors
    /// When it holds something else, or cannot be written.
    pub fn open(folder: &Path, campaign: &Campaign) -> Result<(Self, Vec<Run>), StoreError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let manifest = Manifest::of(campaign);
        let other = |what| Err(StoreError::Other { path: folder.into(), what });
        match Manifest::read(folder)? {
            Some(found) if !found.fits(&manifest) => {
                return other("another campaign, or one of another build of tidings");
            }
            None if fs::read_dir(folder).map_err(at(folder))?.next().is_some() => {
                return other("something, and no manifest.json of a campaign");
            }
            Some(_) | None => {}
        }
        let path = folder.join("manifest.json");
        let text = serde_json::to_string_pretty(&manifest).map_err(io::Error::from);
        text.and_then(|text| fs::write(&path, text + "\n")).map_err(at(&path))?;
        let found = runs(folder)?;
        let path = folder.join("runs.jsonl");
        // Written anew, so that nothing is appended to half a line.
        let mut log = BufWriter::new(File::create(&path).map_err(at(&path))?);
        for run in &found {
            append(&mut log, run).map_err(at(&path))?;
        }
        log.flush().map_err(at(&path))?;
        Ok((Self { folder: folder.into(), log }, found))
    }

    /// Writes a run down.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn add(&mut self, run: &Run) -> Result<(), StoreError> {
        let path = self.folder.join("runs.jsonl");
        append(&mut self.log, run).and_then(|()| self.log.flush()).map_err(at(&path))
    }

    /// Writes the folder of a failed run; returns where.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn fail(&self, run: &Run, failure: &Failure) -> Result<PathBuf, StoreError> {
        let name = format!("{:03}-seed-{}", run.point, run.seed);
        let folder = self.folder.join("failures").join(name);
        failure.write(&folder)?;
        Ok(folder)
    }

    /// Writes the tables and the report.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn finish(&self, campaign: &Campaign, runs: &[Run]) -> Result<(), StoreError> {
        let write = |name: &str, to: &mut dyn FnMut(&mut BufWriter<File>) -> io::Result<()>| {
            let path = self.folder.join(name);
            let file = File::create(&path).map_err(at(&path))?;
            let mut file = BufWriter::new(file);
            to(&mut file).and_then(|()| file.flush()).map_err(at(&path))
        };
        write("summary.csv", &mut |file| csv::summary(file, campaign, runs))?;
        write("series.csv", &mut |file| csv::series(file, campaign, runs))?;
        let page = report::page(campaign, runs);
        write("report.html", &mut |file| file.write_all(page.as_bytes()))
    }
}

fn append(log: &mut impl io::Write, run: &Run) -> io::Result<()> {
    serde_json::to_writer(&mut *log, run)?;
    log.write_all(b"\n")
}
