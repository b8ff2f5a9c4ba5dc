//! Real input: everything that the machine's package manager knows, a few ten thousand records of a
//! kilobyte each, in UTF-8 and in whatever else maintainers' names were typed. It goes in at one
//! peer, all of them agree, and what comes out at another one is the same bytes, sorted.
//!
//! Needs `apt-cache` and its lists; where there are none, it says loudly that it is skipped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use support::trio::{Trio, encoded, seed};
use support::{code, file, said, tell};
use tidings_gateway::json::Row;
use tidings_sim::random::Quick;

const PATH: &str = "data/packages";
/// Fewer packages are no real input.
const ENOUGH: usize = 1_000;
/// How many records are looked at one by one.
const LOOKS: usize = 100;
/// How long agreement may take after the import.
const AGREEMENT: Duration = Duration::from_mins(5);

/// Every package by name and version, with its stanza; a version that is listed twice counts once.
fn packages() -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let output = Command::new("apt-cache").arg("dumpavail").output();
    let output = output.map_err(|error| format!("apt-cache does not run: {error}"))?;
    let mut packages = BTreeMap::new();
    let mut stanza = Vec::new();
    for line in output.stdout.split_inclusive(|byte| *byte == b'\n').chain([&b"\n"[..]]) {
        if line != b"\n" {
            stanza.extend_from_slice(line);
        } else if let Some(key) = key_of(&stanza) {
            packages.insert(key, std::mem::take(&mut stanza));
        }
    }
    if packages.len() < ENOUGH {
        return Err(format!("it lists only {} packages; run apt-get update", packages.len()));
    }
    Ok(packages)
}

/// `package/version` of a stanza.
fn key_of(stanza: &[u8]) -> Option<Vec<u8>> {
    let field = |name: &[u8]| {
        let mut lines = stanza.split(|byte| *byte == b'\n');
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim_ascii()))
    };
    Some([field(b"Package:")?, b"/", field(b"Version:")?].concat())
}

/// JSON Lines of these packages.
fn lines<'a>(packages: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (key, stanza) in packages {
        serde_json::to_writer(&mut lines, &Row::new(key.clone(), stanza.clone())).unwrap();
        lines.push(b'\n');
    }
    lines
}

/// See above.
#[test]
fn what_the_package_manager_knows_comes_back_as_it_went_in() {
    let packages = match packages() {
        Ok(packages) => packages,
        Err(why) => return tell(&format!("*** SKIPPED: the import of real input: {why} ***")),
    };
    let seed = seed("TIDINGS_IMPORT_SEED");
    let mut random = Quick::new(seed, &[]);
    // In an order that nobody sorted.
    let mut shuffled: Vec<_> = packages.iter().map(|entry| (random.any(), entry)).collect();
    shuffled.sort_unstable_by_key(|(place, _)| *place);
    let directory = tempfile::tempdir().unwrap();
    let input = lines(shuffled.iter().map(|(_, entry)| *entry));
    let input = file(directory.path(), "input", input);

    let trio = Trio::start();
    let started = Instant::now();
    let output = trio.peer(0).run(&["import", PATH, &input]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let imported = started.elapsed();
    let (status, agreed) = trio.converge(PATH, AGREEMENT);
    assert_eq!(status["entries"], packages.len());
    assert_eq!(status["tombstones"], 0);

    for peer in [trio.peer(1), trio.peer(2)] {
        for _ in 0..LOOKS {
            let (_, (key, stanza)) = shuffled[random.below(shuffled.len() as u64) as usize];
            let name = encoded(&String::from_utf8_lossy(key));
            let target = format!("/v1/databases/{}/keys/{name}", encoded(PATH));
            let answer = peer.ask("GET", &target, &[], b"");
            assert_eq!((answer.status, &answer.body), (200, stanza), "seed {seed}: {name}");
        }
    }

    let started = Instant::now();
    let exported = trio.peer(2).printed(&["export", PATH]);
    let took = started.elapsed();
    let expected = lines(packages.iter());
    let place = exported.iter().zip(&expected).position(|(one, other)| one != other);
    assert!(
        exported == expected,
        "seed {seed}: {} bytes came out, {} went in; they differ first at {place:?}",
        exported.len(),
        expected.len()
    );
    tell(&format!(
        "import: {} records, {} bytes of keys and values; import {imported:?}, agreement {agreed:?} \
         later, export of {} bytes {took:?}",
        packages.len(),
        status["bytes"],
        exported.len()
    ));
}
