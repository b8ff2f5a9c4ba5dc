//! Every file of the committed corpora goes through the very function that the fuzzer calls, with the
//! compiler that everything else is built with. What a fuzzer once found stays found.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "the targets fail by panics")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../fuzz/src/lib.rs"]
pub mod targets;

/// Fewest files of a corpus: fewer are no corpus any more, and most likely lost.
const FILES_MIN: usize = 20;
/// Most files and bytes: a corpus is minimised before it is committed.
const FILES_MAX: usize = 1_000;
const BYTES_MAX: u64 = 1 << 20;
/// Longest run of one file: no bytes keep a target busy for longer, with this build on any machine.
const TIME_MAX: Duration = Duration::from_secs(20);

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Each of the corpora belongs to a target, and each target to a binary and a corpus.
#[test]
fn every_target_has_a_binary_and_a_corpus() {
    let named: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    let found = |folder: &Path| -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        files(folder).iter().map(stem).collect()
    };
    assert_eq!(found(&corpora()), named);
    assert_eq!(found(&corpora().join("../fuzz_targets")), named);
    let bytes: u64 = files(&corpora())
        .iter()
        .flat_map(|folder| files(folder))
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(bytes < BYTES_MAX, "{bytes} bytes: minimise the corpora with `cargo fuzz cmin`");
}

/// All files of the corpus of a target, and no fewer than there have to be.
fn run(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(own, _)| *own == name).unwrap();
    let files = files(&corpora().join(name));
    let count = files.len();
    assert!((FILES_MIN..=FILES_MAX).contains(&count), "{count} files in the corpus of {name}");
    let mut failed = Vec::new();
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let start = Instant::now();
        if catch_unwind(|| target(&bytes)).is_err() || start.elapsed() > TIME_MAX {
            failed.push(file);
        }
    }
    assert!(failed.is_empty(), "{name} fails, or takes too long, for {failed:#?}");
}

#[test]
#[ignore = "writes files, to begin corpora anew"]
fn seeds() {
    let folder = std::env::var_os("TIDINGS_SEEDS").expect("TIDINGS_SEEDS names a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    targets::seeds::write_all(root, Path::new(&folder));
}

#[test]
fn config() {
    run("config");
}

#[test]
fn matchers() {
    run("matchers");
}

#[test]
fn peer() {
    run("peer");
}

#[test]
fn redis() {
    run("redis");
}

#[test]
fn stored() {
    run("stored");
}
