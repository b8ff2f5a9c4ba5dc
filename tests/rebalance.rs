//! A peer that was drained changes its mind and takes its share of the copies again.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use serde_json::json;
use support::trio::{Trio, encoded};
use support::{said, wait_for};

const DATABASES: usize = 30;

#[test]
fn copies_move_to_whoever_is_preferred_for_them() {
    let trio = Trio::start_with(&["--rebalance-delay", "2s"]);
    let pairs = json!({ "definitions": [
        { "name": "pairs", "matcher": "glob:pairs/*", "replication": { "min": 2, "max": 2 } },
    ]});
    let answer = trio.peer(0).ask("POST", "/v1/definitions", &[], pairs.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    for peer in trio.peers() {
        wait_for("the definition everywhere", || {
            (peer.ask("GET", "/v1/definitions/pairs", &[], b"").status == 200).then_some(())
        });
    }
    let output = trio.peer(1).run(&["drain"]);
    assert!(output.status.success(), "{}", said(&output));
    let path = |number: usize| format!("pairs/{number}");
    for number in 0..DATABASES {
        let value = format!("value {number}");
        trio.peer(0).printed(&["put", &path(number), "key", &value, "--acks", "min"]);
    }
    let held = || {
        let status = trio.peer(1).ask("GET", "/v1/drain", &[], b"").json();
        status["copies"].as_u64().unwrap() as usize
    };
    assert_eq!(held(), 0);

    let output = trio.peer(1).run(&["drain", "--cancel"]);
    assert!(output.status.success(), "{}", said(&output));
    // Two thirds of the databases, give or take.
    wait_for("its share", || (held() >= DATABASES / 3).then_some(()));
    let active = |number: usize| {
        let target = format!("/v1/databases/{}/status", encoded(&path(number)));
        let status = trio.peer(0).ask("GET", &target, &[], b"").json();
        let holders = status["holders"].as_array().unwrap();
        holders.iter().filter(|holder| holder["state"] == "active").count()
    };
    for number in 0..DATABASES {
        wait_for("two copies, no more", || (active(number) == 2).then_some(()));
        let value = trio.peer(1).printed(&["get", &path(number), "key"]);
        assert_eq!(value, format!("value {number}").as_bytes());
    }
}
