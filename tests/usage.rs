//! Client verbs about what is in a database: how much, and for how long.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::{Value, json};
use support::{Peer, assert_fails};

fn printed(peer: &Peer, arguments: &[&str]) -> String {
    String::from_utf8(peer.printed(arguments)).unwrap()
}

fn document(peer: &Peer, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(peer, arguments)).unwrap()
}

/// Usage is told of one database and of all, with a limit and without, and follows what is written.
#[test]
fn usage_follows_what_is_written() {
    let peer = Peer::start();
    for (path, key, value) in
        [("data/a", "k", "four"), ("data/a", "gone", "x"), ("small/b", "key", "1234567")]
    {
        peer.printed(&["put", path, key, value]);
    }
    peer.printed(&["delete", "data/a", "gone"]);
    let usage = document(&peer, &["usage", "small/b", "-ojson"]);
    let expected = json!({
        "path": "small/b", "entries": 1, "tombstones": 0, "bytes": 10, "limit": 1000,
        "remaining": 990,
    });
    assert_eq!(usage, expected);
    let usage = document(&peer, &["usage", "data/a", "-ojson"]);
    let expected =
        json!({ "path": "data/a", "entries": 1, "tombstones": 1, "bytes": 5, "limit": null });
    assert_eq!(usage, expected);

    let all = document(&peer, &["usage", "-ojson"]);
    let expected = json!([
        { "path": "data/a", "entries": 1, "bytes": 5, "limit": null },
        { "path": "small/b", "entries": 1, "bytes": 10, "limit": 1000, "remaining": 990 },
    ]);
    assert_eq!(all, expected);
    let table = printed(&peer, &["usage"]);
    let last: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last, ["small/b", "1", "-", "10", "1", "000", "990"], "{table}");
    assert_fails(&peer.run(&["usage", "no/such"]), 6, "no definition matches");
}

/// A put names the moment from which on the entry is hidden, in any zone; a get tells it.
#[test]
fn a_put_names_a_moment_and_a_get_tells_it() {
    let peer = Peer::start();
    let put = ["put", "data/a", "k", "v", "--expires"];
    peer.printed(&[&put[..], &["2100-01-02T04:04:05.006+01:00"]].concat());
    let get = ["get", "data/a", "k", "--expires"];
    assert_eq!(printed(&peer, &get), "2100-01-02T03:04:05.006Z\n");
    let row = document(&peer, &[&get[..], &["-ojson"]].concat());
    assert_eq!(row["expires"], "2100-01-02T03:04:05.006Z");
    assert_eq!(printed(&peer, &["get", "data/a", "k"]), "v");

    peer.printed(&put[..4]);
    assert_eq!(printed(&peer, &get), "never\n");
    peer.printed(&[&put[..], &["2001-01-01T00:00:00Z"]].concat());
    assert_fails(&peer.run(&get), 1, "is not in the database");

    let wrong = peer.run(&[&put[..], &["tomorrow"]].concat());
    assert_fails(&wrong, 2, "'--expires <MOMENT>': \"tomorrow\" is not a moment");
    let both = peer.run(&[&put[..], &["2100-01-01T00:00:00Z", "--ttl", "1h"]].concat());
    assert_fails(&both, 2, "cannot be used with");
}
