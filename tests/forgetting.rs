//! Deletes are forgotten, also without a holder that was killed and is away; and when it comes back with
//! its rows, nothing that was deleted rises, and what only it had is everywhere.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use support::trio::{PEERS, Trio, batch, rows, status};
use support::{wait_for, wait_within};

const PATH: &str = "data/forgetting";
const KEYS: usize = 500;

#[test]
fn what_was_deleted_does_not_rise_with_a_peer_that_was_away() {
    let mut trio = Trio::start_apart(&["--tombstone-grace", "1s", "--holder-ttl", "6s"]);
    let mut puts = String::new();
    for number in 0..KEYS {
        writeln!(puts, r#"{{"put": {{"key": "key{number:03}", "value": "v"}}}}"#).unwrap();
    }
    batch(trio.peer(0), PATH, &puts);
    trio.converge(PATH, Duration::from_secs(20));
    for peer in trio.peers() {
        wait_for("everybody knowing the holders", || {
            (status(peer, PATH)["holders"].to_string().matches("\"active\"").count() == PEERS)
                .then_some(())
        });
    }

    trio.kill(2);
    let mut deletes = String::new();
    for number in 0..KEYS / 2 {
        writeln!(deletes, r#"{{"delete": {{"key": "key{number:03}"}}}}"#).unwrap();
    }
    batch(trio.peer(0), PATH, &deletes);
    let waits = status(trio.peer(0), PATH);
    assert_eq!(waits["tombstones"], KEYS / 2, "they wait for the holder that is away: {waits}");
    wait_for("the status saying what is waited for", || {
        let verdict = status(trio.peer(0), PATH)["verdict"].to_string();
        verdict.contains("tombstones are not collected yet").then_some(())
    });

    for peer in trio.peers() {
        wait_within(Duration::from_mins(1), "tombstones being collected", || {
            (status(peer, PATH)["tombstones"] == 0).then_some(())
        });
    }
    let holders = status(trio.peer(0), PATH)["holders"].clone();
    let gone = holders.as_array().unwrap().iter().filter(|holder| holder["state"] == "gone");
    assert_eq!(gone.count(), 1, "{holders}");

    trio.restart(2);
    trio.meet();
    wait_for("the one that was away dropping what was deleted", || {
        trio.peer(2).log().contains("that were deleted while this peer was away").then_some(())
    });
    trio.converge(PATH, Duration::from_secs(30));
    assert_eq!(trio.peers().count(), PEERS);
    for peer in trio.peers() {
        let rows = rows(peer, PATH);
        assert_eq!(rows.len(), KEYS - KEYS / 2);
        assert!(rows.keys().all(|key| key.as_str() >= "key250"), "{:?}", rows.keys().next());
    }
    trio.peer(2).printed(&["put", PATH, "key000", "again", "--acks", "3"]);
    assert_eq!(trio.peer(0).printed(&["get", PATH, "key000"]), b"again");
}
