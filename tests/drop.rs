//! A database is dropped while one of its holders is away. Nothing of it comes back: not from that
//! holder's disk, and not under what is written afterwards.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use support::trio::{Trio, encoded, status};
use support::{said, wait_for};

#[test]
fn what_is_dropped_stays_dropped() {
    let mut trio = Trio::start();
    for number in 0..50 {
        let (key, value) = (format!("key{number}"), format!("old {number}"));
        trio.peer(number % 3).printed(&["put", "data/a", &key, &value, "--acks", "3"]);
    }
    trio.peer(0).printed(&["put", "data/b", "key", "value"]);
    trio.kill(2);

    let output = trio.peer(0).run(&["drop", "data/a"]);
    assert_eq!(output.status.code(), Some(2), "nobody is there to ask: {}", said(&output));
    assert!(said(&output).contains("--yes"), "{}", said(&output));
    let output = trio.peer(0).run(&["drop", "data/none", "--yes"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let output = trio.peer(0).run(&["drop", "data/a", "--yes"]);
    assert!(output.status.success(), "{}", said(&output));

    let paths = |trio: &Trio, index: usize| {
        let list = trio.peer(index).ask("GET", "/v1/databases", &[], b"").json();
        let paths = list["databases"].as_array().unwrap().iter();
        paths.map(|known| known["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&trio, 0), ["data/b"]);
    wait_for("the drop at the other peer", || (paths(&trio, 1) == ["data/b"]).then_some(()));
    for index in [0, 1] {
        let output = trio.peer(index).run(&["get", "data/a", "key7"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    }
    trio.peer(1).printed(&["put", "data/a", "key7", "new", "--acks", "2"]);

    trio.restart(2);
    trio.meet();
    wait_for("the new database at the peer that was away", || {
        let status = status(trio.peer(2), "data/a");
        (status["generation"] == 1 && status["entries"] == 1).then_some(())
    });
    for index in 0..3 {
        assert_eq!(trio.peer(index).printed(&["get", "data/a", "key7"]), b"new");
        assert_eq!(trio.peer(index).printed(&["list", "data/a", "-o", "raw"]), b"key7\n");
        assert_eq!(trio.peer(index).printed(&["get", "data/b", "key"]), b"value");
        assert_eq!(status(trio.peer(index), "data/a")["generation"], 1);
    }
    let output = trio.peer(2).run(&["drop", "data/a", "--yes"]);
    assert!(output.status.success(), "{}", said(&output));
    trio.kill(2);
    trio.restart(2);
    let output = trio.peer(2).run(&["get", "data/a", "key7"]);
    assert_eq!(output.status.code(), Some(1), "a drop survives power: {}", said(&output));
}

/// What is written right after the drop is there, also where the peer that is asked has no copy and passes
/// the write on.
#[test]
fn what_is_written_next_stays() {
    let trio = Trio::start();
    trio.define("ones", 1);
    for round in 0..30 {
        let path = format!("ones/{}", round % 6);
        let target = format!("/v1/databases/{}", encoded(&path));
        let asked = trio.peer(round % 3);
        let key = format!("{target}/keys/key");
        wait_for("a write", || (asked.ask("PUT", &key, &[], b"old").status == 200).then_some(()));
        assert_eq!(asked.ask("DELETE", &target, &[], b"").status, 200);
        let mut version = String::new();
        wait_for("the write after the drop", || {
            let answer = asked.ask("PUT", &format!("{target}/keys/other"), &[], b"new");
            version = answer.json()["version"].as_str()?.to_owned();
            Some(())
        });
        for peer in trio.peers() {
            wait_for("what was written", || {
                let other = format!("{target}/keys/other?min_version={version}");
                (peer.ask("GET", &other, &[], b"").body == b"new").then_some(())
            });
            assert_eq!(peer.ask("GET", &key, &[], b"").status, 404, "round {round}");
        }
    }
}
