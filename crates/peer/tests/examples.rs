//! The examples are run as the programs that they are, and each is told of in the list of them.
//!
//! `cargo test -p tidings` builds them first. To run this file alone, build them yourself:
//! `cargo build -p tidings --examples`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the sources are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Runs an example, which ends with success only where what it shows held.
#[track_caller]
fn run(name: &str) {
    // This test lies in the folder `deps`, beside the folder of the examples.
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let built = program.metadata().and_then(|data| data.modified()).ok();
    let written = sources().join(format!("{name}.rs")).metadata().unwrap().modified().unwrap();
    assert!(
        built.is_some_and(|built| built >= written),
        "{} is not built, or older than its source: run `cargo build -p tidings --examples`",
        program.display()
    );
    // What it keeps on disk goes with this folder.
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(&program)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}:\n{out}{err}", output.status);
    assert!(!out.is_empty(), "{name} said nothing");
}

/// A test for each, so that one that fails is named.
macro_rules! examples {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

examples! {
    acks
    batch_and_list
    conditions
    counters
    definitions
    durability
    events
    expiry
    export
    hello
    read_your_writes
    scan_range
    sessions
    settings
    shutdown
    two_peers
    unit_test
    watch
}

/// Every example is run here, listed for readers, and short enough to be read at once.
#[test]
fn every_example_is_listed_and_short() {
    let list = std::fs::read_to_string(sources().join("README.md")).unwrap();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(sources()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!((30..=90).contains(&lines), "{name} has {lines} lines");
        assert!(list.contains(&format!("[`{name}`]({name}.rs)")), "{name} is not in the list");
        found.insert(name);
    }
    assert_eq!(found, NAMES.iter().map(|name| (*name).to_owned()).collect());
}
