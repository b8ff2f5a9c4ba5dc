//! A peer that was drained changes its mind and takes its share of the copies again.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use support::trio::{Trio, status};
use support::{said, wait_for};

const DATABASES: usize = 30;

#[test]
fn copies_move_to_whoever_is_preferred_for_them() {
    let trio = Trio::start_with(&["--rebalance-delay", "2s"]);
    trio.define("pairs", 2);
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
        let status = status(trio.peer(0), &path(number));
        let holders = status["holders"].as_array().unwrap();
        holders.iter().filter(|holder| holder["state"] == "active").count()
    };
    for number in 0..DATABASES {
        wait_for("two copies, no more", || (active(number) == 2).then_some(()));
        let value = trio.peer(1).printed(&["get", &path(number), "key"]);
        assert_eq!(value, format!("value {number}").as_bytes());
    }
}
