//! The folder of a failed run: everything that is needed to see what happened, and to see it again.
//!
//! `scenario.toml` is the run with every operation and fault said outright, `operations.jsonl` is
//! what was asked and what became of it, and `failure.json` says what broke and how to replay it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::campaign::store::{StoreError, at};
use crate::checker::{Attempt, Fate};
use crate::run::Report;
use crate::scenario::Scenario;
use crate::world::World;

/// What `failure.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// The invariant that broke, or `expectation`.
    pub invariant: String,
    /// What was seen.
    pub what: String,
    /// Virtual time when it was, in microseconds.
    pub time: u64,
    /// The hash over everything that happened, in hexadecimal.
    pub trace: String,
    /// The version of tidings.
    pub version: String,
    /// The line that replays it.
    pub replay: String,
}

/// A failed run.
#[derive(Clone, Debug)]
pub struct Failure {
    scenario: Scenario,
    attempts: Vec<Attempt>,
    verdict: Verdict,
}

/// One write in `operations.jsonl`.
#[derive(Serialize)]
struct Line {
    number: usize,
    time_us: u64,
    peer: usize,
    database: String,
    key: String,
    /// Length of the value; none: a delete.
    bytes: Option<usize>,
    synced: bool,
    acks: u32,
    fate: &'static str,
    version: Option<String>,
    accepted_by: Option<usize>,
}

impl Failure {
    pub(crate) fn new(report: &Report, world: &World) -> Self {
        let (invariant, what) = match &report.violation {
            Some(violation) => (violation.invariant.to_string(), violation.what.clone()),
            None => ("expectation".to_string(), report.missed.join("; ")),
        };
        let verdict = Verdict {
            seed: report.seed,
            invariant,
            what,
            time: report.time,
            trace: format!("{:016x}", report.trace),
            version: env!("CARGO_PKG_VERSION").into(),
            replay: String::new(),
        };
        let attempts = world.checker.attempts().to_vec();
        Self { scenario: world.scenario.clone(), attempts, verdict }
    }

    /// The run, every event of it said outright.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Writes the folder.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let path = folder.join("scenario.toml");
        fs::write(&path, self.scenario.to_toml()).map_err(at(&path))?;
        let path = folder.join("operations.jsonl");
        let mut lines = Vec::new();
        for (number, attempt) in self.attempts.iter().enumerate() {
            let line = serde_json::to_string(&line(number, attempt));
            let line = line.map_err(|error| at(&path)(error.into()))?;
            writeln!(lines, "{line}").map_err(at(&path))?;
        }
        fs::write(&path, lines).map_err(at(&path))?;
        let path = folder.join("failure.json");
        let replay = format!("tidings simulate replay {}", folder.display());
        let verdict = Verdict { replay, ..self.verdict.clone() };
        let text = serde_json::to_string_pretty(&verdict).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(&path, text + "\n")).map_err(at(&path))
    }
}

fn line(number: usize, attempt: &Attempt) -> Line {
    let (fate, version) = match attempt.fate {
        Fate::Open => ("open", None),
        Fate::Acknowledged(version) => ("acknowledged", Some(version.to_string())),
        Fate::Excused(version) => ("lost", Some(version.to_string())),
        Fate::Refused => ("refused", None),
        Fate::Unknown => ("unknown", None),
    };
    Line {
        number,
        time_us: attempt.at,
        peer: attempt.process,
        database: format!("{:?}", attempt.database),
        // Stored keys of the default keyspace begin with a zero.
        key: String::from_utf8_lossy(attempt.key.get(1..).unwrap_or_default()).into_owned(),
        bytes: attempt.value.as_ref().map(Vec::len),
        synced: attempt.synced,
        acks: attempt.acks,
        fate,
        version,
        accepted_by: attempt.accepted.map(|(process, _)| process),
    }
}

/// The scenario file of a folder of a failed run, or the file itself.
pub fn scenario_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("scenario.toml") } else { path.into() }
}

/// What a folder says about its failure; `None` when it says nothing.
pub fn verdict(folder: &Path) -> Option<Verdict> {
    let bytes = fs::read(folder.join("failure.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}
