//! `tidings simulate` as a user meets it: scenario files in, verdicts, tables, reports and exit codes
//! out. What the runs themselves prove is tested beside the simulator; here it is the program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::{assert_fails, code, file, said, tidings};
use tempfile::TempDir;

/// A scenario that takes a moment.
const TINY: &str = r#"
name = "tiny"
seeds = "1..2"
duration = "3s"

[peers]
count = 2

[workload]
rate = 10
"#;

/// Two peers whose engine keeps a part of a batch now and then, which the checkers notice.
const BREAKING: &str = r#"
name = "breaking"
seed = 3
duration = "6s"
check_every = "500ms"

[peers]
count = 3

[workload]
rate = 60
mix = { put = 10, batch = 60 }

[[timeline]]
at = "3s"
fault = "torn-within"
peer = 0
for = "500ms"

[[timeline]]
at = "4s"
fault = "torn-within"
peer = 1
for = "500ms"
"#;

/// A directory to work in.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> String {
        file(self.0.path(), name, content)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `tidings simulate` in this directory.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tidings(&["simulate"]);
        command.args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// The same, where it must succeed; gives what it printed.
    #[track_caller]
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{}", said(&output));
        text(&output)
    }

    /// The documents of `-o json`.
    #[track_caller]
    fn documents(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        serde_json::from_str(&self.printed(&all)).unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn traces(runs: &Value) -> Vec<&str> {
    runs.as_array().unwrap().iter().map(|run| run["trace"].as_str().unwrap()).collect()
}

/// A scenario that is shipped runs, meets its own expectations, and is summed up in one line.
#[test]
fn a_shipped_scenario_runs() {
    let desk = Desk::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/simulations/home-lan.toml");
    let printed = desk.printed(&[shipped, "--seeds", "1", "--set", "duration=105s"]);
    let line = printed.lines().find(|line| line.starts_with("home-lan")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[words.len() - 1], "0", "writes were lost: {printed}");
    assert!(printed.contains("1 runs on 1 threads"), "{printed}");
    assert!(std::fs::read_dir(desk.0.path()).unwrap().next().is_none(), "nothing is written");
}

/// With `--out` everything is written; the same command runs nothing twice, what an interrupted
/// campaign lacks is run, and another campaign leaves the directory alone.
#[test]
fn a_campaign_is_written_and_resumed() {
    let desk = Desk::new();
    let (tiny, out) = (desk.file("tiny.toml", TINY), desk.path("out"));
    desk.printed(&[&tiny, "--out", "out"]);
    let runs = read(&out.join("runs.jsonl"));
    assert_eq!(runs.lines().count(), 2);
    for line in runs.lines() {
        let run: Value = serde_json::from_str(line).unwrap();
        assert_eq!(run["verdict"], "ok");
        assert!(run["bytes"].as_array().unwrap().iter().any(|bytes| bytes.as_u64() > Some(0)));
    }
    let summary = read(&out.join("summary.csv"));
    assert_eq!(summary.lines().count(), 3, "a heading and a row per run: {summary}");
    assert!(summary.starts_with("scenario,seed,verdict"), "{summary}");
    let series = read(&out.join("series.csv"));
    assert!(series.contains("equal_share") && series.contains("bytes_push"), "{series}");
    let manifest: Value = serde_json::from_str(&read(&out.join("manifest.json"))).unwrap();
    assert_eq!(manifest["points"][0]["scenario"], "tiny");
    let report = read(&out.join("report.html"));
    assert!(report.contains("tiny") && report.contains("<svg"));

    assert!(desk.printed(&[&tiny, "--out", "out"]).contains("0 runs now, 2 were there already"));
    let first = runs.lines().next().unwrap().to_owned() + "\n";
    std::fs::write(out.join("runs.jsonl"), first).unwrap();
    assert!(desk.printed(&[&tiny, "--out", "out"]).contains("1 runs now, 1 were there already"));
    let mut again: Vec<String> = read(&out.join("runs.jsonl")).lines().map(Into::into).collect();
    let mut before: Vec<String> = runs.lines().map(Into::into).collect();
    again.sort();
    before.sort();
    assert_eq!(again, before, "a run that is made up for is the same run");
    assert_eq!(read(&out.join("summary.csv")), summary);

    let other = desk.run(&[&tiny, "--out", "out", "--set", "peers.count=3"]);
    assert_fails(&other, 2, "another campaign");
    assert_eq!(read(&out.join("summary.csv")), summary);
}

/// Every combination of what `--set` lists is run with every seed, and named in the results.
#[test]
fn lists_sweep() {
    let desk = Desk::new();
    let tiny = desk.file("tiny.toml", TINY);
    let sets = ["--set", "links.loss=[0, 0.01]", "--set", "peers.count=[2,3]"];
    let printed = desk.printed(&[&[tiny.as_str(), "--seeds", "7"], &sets[..]].concat());
    for point in [
        "links.loss=0 peers.count=2",
        "links.loss=0 peers.count=3",
        "links.loss=0.01 peers.count=2",
        "links.loss=0.01 peers.count=3",
    ] {
        assert!(printed.lines().any(|line| line.contains(&format!("tiny {point} "))), "{printed}");
    }
    let runs = desk.documents(&[&[tiny.as_str()], &sets[..]].concat());
    assert_eq!(runs.as_array().unwrap().len(), 8);
}

/// What is wrong in a file is named with line and column and what would be right; a wrong flag says
/// what to write. Nothing runs and nothing is written.
#[test]
fn mistakes_are_named_with_their_place() {
    let desk = Desk::new();
    let tiny = desk.file("tiny.toml", TINY);
    let bad = |from: &str, to: &str| desk.file("bad.toml", &TINY.replace(from, to));
    let refused = |arguments: &[&str], parts: &[&str]| {
        let output = desk.run(arguments);
        assert_eq!(code(&output), 2, "{}", said(&output));
        for part in parts {
            assert!(said(&output).contains(part), "{part:?} is not in: {}", said(&output));
        }
        assert!(output.stdout.is_empty() && !said(&output).contains("panicked"));
    };
    let unknown = bad("rate = 10", "raet = 10");
    refused(&[&unknown], &["bad.toml:10:1", "\"raet\"", "rate"]);
    let wrong = bad("duration = \"3s\"", "duration = 3");
    refused(&[&wrong, "--out", "out"], &["bad.toml:4:12", "duration"]);
    let broken = bad("[peers]", "[peers");
    refused(&[&broken], &["bad.toml:6:"]);
    refused(&[&tiny, "--set", "links.los=0.1"], &["--set links.los=0.1", "\"los\"", "loss"]);
    refused(&[&tiny, "--set", "nonsense"], &["KEY=VALUE"]);
    for seeds in ["", "x", "3..1", "1..99999999999", "1.5", "1..2..3"] {
        refused(&[&tiny, "--seeds", seeds], &["--seeds", "1..200"]);
    }
    refused(&["missing.toml"], &["missing.toml"]);
    refused(&[], &["FILE"]);
    refused(&["replay", "missing"], &["missing"]);
    assert!(!desk.path("out").exists());
}

/// A run that breaks an invariant fails the command and leaves a folder; `replay` of it meets the same
/// end by the same trace, and `shrink` brings it to a few events that still break the same thing.
#[test]
fn a_failure_is_kept_replayed_and_shrunk() {
    let desk = Desk::new();
    let breaking = desk.file("breaking.toml", BREAKING);
    assert_fails(&desk.run(&[&breaking, "--out", "out"]), 7, "1 of 1 runs failed");
    let folder = desk.path("out/failures/000-seed-3");
    let failure: Value = serde_json::from_str(&read(&folder.join("failure.json"))).unwrap();
    assert!(read(&folder.join("operations.jsonl")).lines().count() > 100);
    assert!(read(&folder.join("scenario.toml")).contains("torn-within"));
    let command = failure["replay"].as_str().unwrap();
    assert_eq!(command, "tidings simulate replay out/failures/000-seed-3");
    let words: Vec<&str> = command.split(' ').skip(2).collect();

    assert_fails(&desk.run(&words), 7, failure["invariant"].as_str().unwrap());
    let again = desk.run(&[&words[..], &["-o", "json"]].concat());
    let again: Value = serde_json::from_str(&text(&again)).unwrap();
    assert_eq!((&again["trace"], &again["same"]), (&failure["trace"], &Value::Bool(true)));

    let printed = desk.printed(&["shrink", words[1], "--within", "30s"]);
    assert!(printed.contains("shrunk.toml"), "{printed}");
    let shrunk = folder.join("shrunk.toml");
    let events = read(&shrunk).lines().filter(|line| line.contains("{ at = ")).count();
    assert!((1..=30).contains(&events), "{events} events are left");
    let shrunk = desk.run(&["replay", shrunk.to_str().unwrap()]);
    assert_fails(&shrunk, 7, failure["invariant"].as_str().unwrap());

    let well = desk.file("well.toml", &TINY.replace("seeds = \"1..2\"", "seed = 1"));
    assert_fails(&desk.run(&["shrink", &well]), 6, "nothing to shrink");
    desk.printed(&["replay", &well]);
}

/// A campaign compared with itself has not changed; one on slower links is worse, up to a threshold
/// that is told.
#[test]
fn campaigns_are_compared() {
    let desk = Desk::new();
    let quick = desk.file("quick.toml", TINY);
    let slow = desk.file("slow.toml", &(TINY.to_owned() + "\n[links]\nlatency = \"20ms\"\n"));
    desk.printed(&[&quick, "--out", "quick", "--seeds", "1..3"]);
    desk.printed(&[&slow, "--out", "slow", "--seeds", "1..3"]);
    desk.printed(&["compare", "quick", "quick"]);
    assert_fails(&desk.run(&["compare", "quick", "slow"]), 7, "got worse by more than 10 %");
    desk.printed(&["compare", "slow", "quick"]);
    let lines = desk.documents(&["compare", "quick", "slow", "--threshold", "1000000"]);
    let worse = |line: &Value| line["after"].as_f64() > line["before"].as_f64();
    let p99 = lines
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["measure"].as_str().unwrap().contains("p99"));
    assert!(worse(p99.unwrap()), "{lines}");
    assert_fails(&desk.run(&["compare", "quick", "nowhere"]), 2, "nowhere");
    assert_fails(
        &desk.run(&["compare", "quick", "slow", "--threshold=-1"]),
        2,
        "0 percent or more",
    );
}

/// Two processes that run the same seeds of the swarm see the same events, whatever the threads.
#[test]
fn the_swarm_is_the_same_everywhere() {
    let desk = Desk::new();
    let one = desk.documents(&["swarm", "--seeds", "1..5"]);
    let other = desk.documents(&["swarm", "--seeds", "1..5", "--jobs", "1"]);
    assert_eq!(traces(&one).len(), 5);
    assert_eq!(traces(&one), traces(&other));
    let printed = desk.printed(&["swarm", "--seeds", "4"]);
    assert!(printed.contains("acknowledged"), "what was reached is told: {printed}");
}

/// A seed of the swarm can be stretched to a longer time, and a time that is none is refused.
#[test]
fn the_swarm_can_be_stretched() {
    let desk = Desk::new();
    let runs = desk.documents(&["swarm", "--seeds", "2", "--duration", "2m"]);
    assert_eq!(runs[0]["verdict"], "ok");
    assert!(runs[0]["time"].as_u64() >= Some(120_000_000), "{}", runs[0]["time"]);
    for (duration, why) in [
        ("0s", "more than nothing"),
        ("400d", "at most 365 days"),
        ("x", "--duration"),
        ("5", "--duration"),
        ("", "--duration"),
        ("99999999999999999999h", "--duration"),
    ] {
        assert_fails(&desk.run(&["swarm", "--seeds", "2", "--duration", duration]), 2, why);
    }
}
