//! A peer of three hands over everything that it holds and is then stopped for good: what it had is at
//! the two others. What only it could hold, because every database wants three copies, stays and is
//! waited for.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use serde_json::json;
use support::trio::{Trio, status};
use support::{assert_fails, said};

const DATABASES: usize = 40;

#[test]
fn a_drained_peer_leaves_nothing_behind() {
    let mut trio = Trio::start();
    trio.define("pairs", 2);
    let path = |number: usize| format!("pairs/{number}");
    for number in 0..DATABASES {
        let value = format!("value {number}");
        trio.peer(number % 3).printed(&["put", &path(number), "key", &value, "--acks", "min"]);
    }
    let held = |index: usize| {
        let status = trio.peer(index).ask("GET", "/v1/drain", &[], b"").json();
        status["copies"].as_u64().unwrap()
    };
    assert!(held(1) > 0, "it holds some of the pairs");

    let output = trio.peer(1).run(&["drain"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("the peer can be stopped"), "{}", said(&output));
    assert_eq!(held(1), 0);
    let own = trio.peer(1).ask("GET", "/v1/status", &[], b"").json();
    assert_eq!((&own["draining"], &own["databases_held"]), (&json!(true), &json!(0)));
    assert_eq!(trio.peer(1).printed(&["get", "pairs/7", "key"]), b"value 7", "it still serves");
    trio.peer(1).printed(&["put", "pairs/new", "key", "value"]);
    assert_eq!(held(1), 0, "what it creates is elsewhere");

    trio.kill(1);
    for number in 0..DATABASES {
        let status = status(trio.peer(0), &path(number));
        let holders = status["holders"].as_array().unwrap();
        let active = holders.iter().filter(|holder| holder["state"] == "active");
        assert_eq!(active.count(), 2, "{status}");
        for index in [0, 2] {
            let value = trio.peer(index).printed(&["get", &path(number), "key"]);
            assert_eq!(value, format!("value {number}").as_bytes());
        }
    }
}

#[test]
fn a_peer_that_is_needed_waits_and_may_change_its_mind() {
    let mut trio = Trio::start();
    trio.peer(0).printed(&["put", "data/a", "key", "value", "--acks", "min"]);
    let output = trio.peer(0).run(&["drain", "--no-wait"]);
    assert!(output.status.success() && said(&output).contains("copies left: 1"), "{output:?}");
    let drain = || trio.peer(0).ask("GET", "/v1/drain", &[], b"").json();
    assert_eq!(
        drain(),
        json!({ "draining": true, "copies": 1, "waiting": 1, "behind": 0, "minority": false })
    );
    let output = trio.peer(0).printed(&["status"]);
    let output = String::from_utf8_lossy(&output).into_owned();
    assert!(output.contains("waiting until enough other peers hold one: 1"), "{output}");
    trio.kill(0);
    trio.restart(0);
    trio.meet();
    let drain = || trio.peer(0).ask("GET", "/v1/drain", &[], b"").json();
    assert_eq!(drain()["draining"], json!(true), "a restart changes nothing");
    let output = trio.peer(0).run(&["drain", "--cancel"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        drain(),
        json!({ "draining": false, "copies": 1, "waiting": 0, "behind": 0, "minority": false })
    );
    assert_fails(&trio.peer(0).run(&["drain", "--cancel", "--no-wait"]), 2, "cannot be used with");
}
