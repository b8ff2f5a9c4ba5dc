//! What becomes of disks: one is set back to an older image, one is copied and run twice, one is wiped,
//! and from one rows vanish behind the engine. Nothing that anybody acknowledged is lost by it, and all
//! copies are the same in the end.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use support::trio::{Trio, batch, rows, status};
use support::{Peer, assert_fails, code, copy, found_within, said, wait_for, wait_within};

const PATH: &str = "data/disks";
const DEADLINE: Duration = Duration::from_mins(1);

/// What every key has to say.
type Expected = BTreeMap<String, String>;

/// Writes one value under many keys, and notes it.
fn fill(peer: &Peer, value: &str, keys: Range<usize>, expected: &mut Expected) {
    batch(peer, PATH, &lines(value, keys.clone()));
    expected.extend(keys.map(|number| (key(number), value.to_owned())));
}

/// The same at a peer that has a clone, and refuses once it was told of it.
fn fill_a_clone(peer: &Peer, value: &str, keys: Range<usize>, expected: &mut Expected) -> bool {
    let output = peer.piped(&["batch", PATH, "-"], lines(value, keys.clone()).as_bytes());
    if code(&output) == 0 {
        expected.extend(keys.map(|number| (key(number), value.to_owned())));
        return true;
    }
    assert_fails(&output, 6, "share one peer's identity");
    false
}

fn key(number: usize) -> String {
    format!("key{number:06}")
}

fn lines(value: &str, keys: Range<usize>) -> String {
    let mut lines = String::new();
    for number in keys {
        let key = key(number);
        writeln!(lines, r#"{{"put": {{"key": "{key}", "value": "{value}"}}}}"#).unwrap();
    }
    lines
}

/// All copies are the same, and say what was written.
fn assert_all_have(trio: &Trio, expected: &Expected) {
    trio.converge(PATH, DEADLINE);
    for peer in trio.peers() {
        let rows = rows(peer, PATH);
        let found: Expected = rows.into_iter().map(|(key, (value, _))| (key, value)).collect();
        let wrong = expected.iter().find(|(key, value)| found.get(*key) != Some(value));
        let has = wrong.map(|(key, _)| found.get(key));
        assert!(wrong.is_none(), "{} does not have {wrong:?}, but {has:?}", peer.http);
        assert_eq!(found.len(), expected.len());
    }
}

/// A peer loses what it wrote and others have heard of, and writes to the same keys again.
#[test]
fn an_older_disk_does_no_harm() {
    let (mut trio, mut expected) = (Trio::start_apart(&[]), Expected::new());
    fill(trio.peer(1), "first", 0..200, &mut expected);
    trio.converge(PATH, DEADLINE);
    trio.kill(1);
    let image = tempfile::tempdir().unwrap();
    copy(&trio.disk(1), image.path());
    trio.restart(1);
    trio.meet();
    fill(trio.peer(1), "lost", 100..300, &mut expected);
    trio.converge(PATH, DEADLINE);

    trio.kill(1);
    std::fs::remove_dir_all(trio.disk(1)).unwrap();
    copy(image.path(), &trio.disk(1));
    fill(trio.peer(0), "meanwhile", 250..400, &mut expected);
    trio.restart(1);
    // It does not know yet what it lost, nor the stamps of that.
    fill(trio.peer(1), "new", 400..450, &mut expected);
    trio.meet();
    trio.converge(PATH, DEADLINE);
    fill(trio.peer(1), "last", 150..200, &mut expected);
    assert_all_have(&trio, &expected);
}

/// Two processes run on copies of one disk, and both take writes until they are told of each other.
#[test]
fn a_copied_disk_does_no_harm() {
    let (mut trio, mut expected) = (Trio::start_apart(&[]), Expected::new());
    fill(trio.peer(1), "before", 0..100, &mut expected);
    trio.converge(PATH, DEADLINE);
    trio.kill(1);
    let twin = tempfile::tempdir().unwrap();
    copy(&trio.disk(1), &twin.path().join("data"));
    trio.restart(1);
    trio.meet();
    let twin = trio.beside(twin);
    assert_eq!(twin.ready["peer"], trio.peer(1).ready["peer"], "they share an identity");
    fill_a_clone(trio.peer(1), "one", 100..200, &mut expected);
    fill_a_clone(&twin, "other", 200..300, &mut expected);
    fill(trio.peer(0), "meanwhile", 50..60, &mut expected);
    trio.kill(1);
    trio.seat(1, twin);
    trio.meet();
    wait_within(DEADLINE, "the one that is left taking writes", || {
        fill_a_clone(trio.peer(1), "after", 300..320, &mut expected).then_some(())
    });
    assert_all_have(&trio, &expected);
}

/// A peer loses its disk but for its identity, and fills a large copy anew while others write. Until it
/// has all of it, nobody counts it.
#[test]
fn a_wiped_disk_is_filled_under_load() {
    let (mut trio, mut expected) = (Trio::start_apart(&[]), Expected::new());
    let mut lines = String::new();
    for number in 0..100_000 {
        let (key, value) = (format!("key{number:06}"), format!("{number:0100}"));
        writeln!(lines, r#"{{"key": "{key}", "value": "{value}"}}"#).unwrap();
        expected.insert(key, value);
    }
    let output = trio.peer(0).piped(&["import", PATH, "-"], lines.as_bytes());
    assert!(output.status.success(), "{}", said(&output));
    trio.converge(PATH, DEADLINE);

    trio.kill(2);
    for entry in std::fs::read_dir(trio.disk(2)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.file_name().is_some_and(|name| name != "identity.key") {
            std::fs::remove_file(path).unwrap();
        }
    }
    trio.restart(2);
    let own = trio.peer(2).ready["peer"].clone();
    let mut round = 0;
    let mut unfinished = 0;
    let filled = found_within(DEADLINE, || {
        fill(trio.peer(0), &format!("round {round}"), round * 10..round * 10 + 20, &mut expected);
        round += 1;
        let status = status(trio.peer(0), PATH);
        let holders = status["holders"].as_array().unwrap();
        let state = holders.iter().find(|holder| holder["peer"] == own).unwrap()["state"].clone();
        if state == "joining" {
            unfinished += 1;
            let verdict = status["verdict"].to_string();
            assert!(verdict.contains("under-replicated"), "{verdict}");
        }
        (state == "active" && unfinished > 0).then_some(())
    });
    assert!(
        filled.is_some(),
        "after {unfinished} looks while it was joining: {}",
        status(trio.peer(0), PATH)
    );
    assert_all_have(&trio, &expected);
}

/// Rows vanish behind the engine from the disk of a peer that was killed: it finds out, gets them back,
/// and nobody else loses any.
#[test]
fn vanished_rows_come_back() {
    let (mut trio, mut expected) = (Trio::start_apart(&[]), Expected::new());
    fill(trio.peer(0), "value", 0..5_000, &mut expected);
    trio.converge(PATH, DEADLINE);
    trio.kill(1);
    let engine = fjall::Database::builder(trio.disk(1).join("store"));
    let engine = engine.journal_compression(fjall::CompressionType::None).open().unwrap();
    let data = engine.keyspace("data", fjall::KeyspaceCreateOptions::default).unwrap();
    let mut gone = 0;
    for row in data.iter() {
        let key = row.key().unwrap();
        if key.windows(8).any(|part| part == b"key00123") {
            data.remove(key).unwrap();
            gone += 1;
        }
    }
    assert_eq!(gone, 10);
    engine.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((data, engine));

    trio.restart(1);
    trio.meet();
    let noticed = "were not what its digest says";
    wait_for("the damage being noticed", || trio.peer(1).log().contains(noticed).then_some(()));
    assert_all_have(&trio, &expected);
}
