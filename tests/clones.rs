//! Clones: a data directory is copied with its key, and both are run beside another peer. Both refuse
//! writes and say why, until one of them ends; then the other one accepts them again by itself.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::trio::{addresses, begun};
use support::{Peer, assert_fails, copy, tell, wait_for, wait_within};

const PATH: &str = "data/clones";
/// They are found within some 20 s; the rest is for a busy machine.
const FOUND: Duration = Duration::from_mins(2);
/// Writes are refused for 30 s after the last sign of the other one.
const FREED: Duration = Duration::from_mins(1);

/// The one with the lower identity decides which of several connections is used: either way.
#[test]
fn clones_of_the_lower_identity() {
    clones(|own, other| own < other);
}

#[test]
fn clones_of_the_higher_identity() {
    clones(|own, other| own > other);
}

fn clones(is_cloned: impl Fn(&str, &str) -> bool) {
    let one = Peer::bare(tempfile::tempdir().unwrap(), &[]);
    let two = begun(tempfile::tempdir().unwrap(), &addresses(&one), &[]);
    let id = |peer: &Peer| peer.ready["peer"].as_str().unwrap().to_owned();
    // Text of one length, in an alphabet in the order of its bytes.
    let (original, other) = if is_cloned(&id(&one), &id(&two)) { (one, two) } else { (two, one) };
    let definitions = json!({ "definitions": [
        { "name": "any", "matcher": "glob:data/*", "replication": { "min": 2, "max": 3 } },
    ]});
    let answer = other.ask("POST", "/v1/definitions", &[], definitions.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_for("the first write at both", || {
        let written = original.run(&["put", PATH, "before", "value", "--acks", "2"]);
        written.status.success().then_some(())
    });

    let original = original.stop();
    let copied = tempfile::tempdir().unwrap();
    copy(&original.path().join("data"), &copied.path().join("data"));
    let original = begun(original, &addresses(&other), &[]);
    let copied = begun(copied, &addresses(&other), &[]);
    assert_eq!(id(&original), id(&copied), "they share an identity");

    let started = Instant::now();
    let refused = |peer: &Peer| {
        let output = peer.run(&["put", PATH, "refused", "value"]);
        (!output.status.success()).then_some(output)
    };
    wait_within(FOUND, "both refusing writes", || {
        refused(&original).and(refused(&copied)).map(drop)
    });
    tell(&format!("clones were found after {:?}", started.elapsed()));
    for peer in [&original, &copied] {
        let output = refused(peer).unwrap();
        assert_fails(&output, 6, "two running processes share one peer's identity");
        assert_fails(&output, 6, "start that one with an empty directory");
        let status = peer.ask("GET", "/v1/status", &[], b"").json();
        assert_eq!(status["cloned"], json!(true));
        let printed = peer.printed(&["status"]);
        let printed = String::from_utf8_lossy(&printed);
        assert!(printed.contains("another process runs under this peer's identity"), "{printed}");
        let metrics = String::from_utf8(peer.ask("GET", "/metrics", &[], b"").body).unwrap();
        assert!(metrics.contains("\ntidings_cloned 1\n"), "{metrics}");
        let alarm = "another process runs under this peer's identity";
        wait_for("the alarm", || peer.log().contains(alarm).then_some(()));
    }
    wait_for("the alarm", || other.log().contains("two processes run under").then_some(()));

    // They still replicate, turn by turn, and refuse all the while.
    other.printed(&["put", PATH, "meanwhile", "value"]);
    let since = Instant::now();
    let mut both = 0;
    wait_within(FOUND, "the write at both", || {
        for peer in [&original, &copied] {
            assert!(refused(peer).is_some(), "it accepts writes again though both run");
        }
        let has = |peer: &Peer| peer.run(&["get", PATH, "meanwhile"]).status.success();
        both += u32::from(has(&original) && has(&copied));
        (both > 0 && since.elapsed() > Duration::from_secs(40)).then_some(())
    });

    drop(copied);
    let ended = Instant::now();
    wait_within(FREED, "the one that is left accepting writes", || {
        let written = original.run(&["put", PATH, "after", "value"]);
        written.status.success().then_some(())
    });
    tell(&format!("the one that was left wrote again after {:?}", ended.elapsed()));
    wait_for("its write at the other one", || {
        other.run(&["get", PATH, "after"]).status.success().then_some(())
    });
    let status = original.ask("GET", "/v1/status", &[], b"").json();
    assert_eq!(status["cloned"], json!(false));
}
