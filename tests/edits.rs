//! Client verbs that change what is there: counters, expiries, deletes of a prefix, filters, and
//! keyspaces.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};
use support::trio::Trio;
use support::{Peer, assert_fails, code, file, said, tidings, wait_for};

fn printed(peer: &Peer, arguments: &[&str]) -> String {
    String::from_utf8(peer.printed(arguments)).unwrap()
}

fn document(peer: &Peer, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(peer, arguments)).unwrap()
}

/// A counter goes up and down, from nothing and from a number that was put, and what is no number stays.
#[test]
fn a_counter_is_counted() {
    let peer = Peer::start();
    let incr = ["incr", "data/a", "n"];
    assert_eq!(printed(&peer, &incr), "1\n");
    assert_eq!(printed(&peer, &[&incr[..], &["41"]].concat()), "42\n");
    assert_eq!(printed(&peer, &[&incr[..], &["-2"]].concat()), "40\n");
    let line = [&["--http", &peer.http], &incr[..], &["--", "-5"]].concat();
    assert_eq!(tidings(&line).output().unwrap().stdout, b"35\n");
    assert_eq!(printed(&peer, &[&incr[..], &["-5", "--acks", "min", "-oraw"]].concat()), "30\n");
    assert_eq!(peer.printed(&["get", "data/a", "n"]), b"30");
    let counted = document(&peer, &[&incr[..], &["--durability", "synced", "-ojson"]].concat());
    let version = counted["version"].as_str().unwrap();
    assert_eq!(counted, json!({ "value": 31, "version": version }));
    assert_eq!(printed(&peer, &[&incr[..], &["--if-version", version]].concat()), "32\n");
    let late = peer.run(&[&incr[..], &["--if-version", version]].concat());
    assert_fails(&late, 6, "the condition does not hold");

    peer.printed(&["put", "data/a", "AP8=", "MTA=", "--base64"]);
    assert_eq!(printed(&peer, &["incr", "data/a", "AP8=", "7", "--base64"]), "17\n");
    peer.printed(&["put", "data/a", "word", "many"]);
    assert_fails(&peer.run(&["incr", "data/a", "word"]), 6, "\"many\" is no whole number");
    assert_eq!(peer.printed(&["get", "data/a", "word"]), b"many");
    let most = i64::MAX.to_string();
    assert_fails(&peer.run(&["incr", "data/a", "n", &most]), 6, "beyond the range");
    assert_eq!(
        printed(&peer, &["incr", "data/a", "low", &i64::MIN.to_string()]),
        "-9223372036854775808\n"
    );
    for wrong in ["1.5", "9223372036854775808", "many", ""] {
        assert_fails(&peer.run(&["incr", "data/a", "n", wrong]), 2, "[N]");
    }
    assert_fails(&peer.run(&["incr", "data/a", ""]), 2, "a key of 0 bytes");
    assert_fails(&peer.run(&["incr", "nowhere/a", "n"]), 6, "no definition matches");
}

/// An expiry is given to an entry that is there, told, and taken away.
#[test]
fn an_expiry_comes_and_goes() {
    let peer = Peer::start();
    let ttl = ["ttl", "data/a", "k"];
    for verb in [&ttl[..], &["persist", "data/a", "k"], &["expire", "data/a", "k", "1h"]] {
        assert_fails(&peer.run(verb), 1, "the key \"k\" is not in the database \"data/a\"");
    }
    peer.printed(&["put", "data/a", "k", "v"]);
    assert_eq!(printed(&peer, &ttl), "stays\n");
    assert_eq!(document(&peer, &[&ttl[..], &["-ojson"]].concat()), json!({ "ttl": null }));

    let version = printed(&peer, &["expire", "data/a", "k", "1h", "--durability", "synced"]);
    let row = document(&peer, &["get", "data/a", "k", "-ojson"]);
    assert_eq!((row["version"].as_str(), &row["value"]), (Some(version.trim()), &json!("v")));
    let left = printed(&peer, &ttl);
    assert!(left == "1h\n" || left.starts_with("35") && left.ends_with("s\n"), "{left}");
    let left = document(&peer, &[&ttl[..], &["-ojsonl"]].concat());
    let millis = left["ttl"].as_u64().unwrap();
    assert!((3_000_000..=3_600_000).contains(&millis), "{left}");
    assert_eq!(left["expires"], row["expires"]);

    peer.printed(&["expire", "data/a", "k", "--at", "2100-01-02T04:04:05.006+01:00"]);
    assert_eq!(printed(&peer, &["get", "data/a", "k", "--expires"]), "2100-01-02T03:04:05.006Z\n");
    let persisted = document(&peer, &["persist", "data/a", "k", "-ojson"]);
    assert!(persisted["version"].is_string(), "{persisted}");
    assert_eq!(printed(&peer, &ttl), "stays\n");
    peer.printed(&["expire", "data/a", "k", "300ms"]);
    wait_for("the expiry", || (code(&peer.run(&ttl)) == 1).then_some(()));
    assert_fails(&peer.run(&["get", "data/a", "k"]), 1, "is not in the database");
    assert_fails(&peer.run(&["persist", "data/a", "k"]), 1, "is not in the database");

    peer.printed(&["put", "data/a", "k", "v"]);
    peer.printed(&["expire", "data/a", "k", "--at", "2001-01-01T00:00:00Z"]);
    assert_fails(&peer.run(&ttl), 1, "is not in the database");
    let expire = |more: &[&str]| peer.run(&[&["expire", "data/a", "k"], more].concat());
    assert_fails(&expire(&[]), 2, "Usage");
    assert_fails(&expire(&["5"]), 2, "a unit");
    assert_fails(&expire(&["0s"]), 2, "a time to live of 0 ms");
    assert_fails(&expire(&["1h", "--at", "2100-01-01T00:00:00Z"]), 2, "cannot be used with");
    assert_fails(
        &expire(&["--at", "tomorrow"]),
        2,
        "'--at <MOMENT>': \"tomorrow\" is not a moment",
    );
    assert_fails(&peer.run(&["ttl", "data/a", ""]), 2, "a key of 0 bytes");
}

/// All keys with a prefix go; all keys go only where that is meant.
#[test]
fn a_prefix_is_deleted() {
    let peer = Peer::start();
    for key in ["user", "user:1", "user:2", "user:3", "\u{1}"] {
        peer.printed(&["put", "data/a", key, "v"]);
    }
    let delete = ["delete", "data/a", "--prefix"];
    assert_eq!(printed(&peer, &[&delete[..], &["user:1"]].concat()), "1\n");
    let deleted = document(&peer, &[&delete[..], &["user:", "-ojson"]].concat());
    assert_eq!(deleted, json!({ "deleted": 2 }));
    assert_eq!(printed(&peer, &[&delete[..], &["AQ==", "--base64"]].concat()), "1\n");
    let all = peer.run(&[&delete[..], &[""]].concat());
    assert_fails(&all, 2, "every key of \"data/a\" would be deleted, and nobody is there to ask");
    assert_eq!(printed(&peer, &["list", "data/a"]), "user\n");
    assert_eq!(printed(&peer, &[&delete[..], &["", "--yes"]].concat()), "1\n");
    assert_eq!(printed(&peer, &["list", "data/a"]), "");
    assert_eq!(printed(&peer, &[&delete[..], &["", "--yes"]].concat()), "0\n");
    assert_fails(&peer.run(&["delete", "data/a"]), 2, "Usage");
    assert_fails(&peer.run(&["delete", "data/a", "k", "--prefix", "k"]), 2, "cannot be used with");
    assert_fails(&peer.run(&["delete", "data/a", "k", "--yes"]), 2, "cannot be used with");
    assert_fails(&peer.run(&["delete", "data/a", "--yes"]), 2, "Usage");
}

/// Every verb about keys keeps to its keyspace, and each keyspace is exported and imported for itself.
#[test]
fn keyspaces_are_apart() {
    let peer = Peer::start();
    let one = ["--keyspace", "one"];
    let within = |verb: &[&str]| printed(&peer, &[verb, &one[..]].concat());
    let mut watch = tidings(&["watch", "data/a", "--count", "2", "-ojsonl", "--http", &peer.http])
        .args(one)
        .spawn()
        .unwrap();
    let mut begun = String::new();
    BufReader::new(watch.stderr.take().unwrap()).read_line(&mut begun).unwrap();
    peer.printed(&["put", "data/a", "k", "default"]);
    within(&["put", "data/a", "k", "other"]);
    assert_eq!(peer.printed(&["get", "data/a", "k"]), b"default");
    assert_eq!(within(&["get", "data/a", "k"]), "other");
    assert_eq!(within(&["incr", "data/a", "n", "3"]), "3\n");
    wait_for("the end of the watch", || watch.try_wait().unwrap());
    let changes = String::from_utf8(watch.wait_with_output().unwrap().stdout).unwrap();
    let changes: Vec<Value> =
        changes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> =
        changes.iter().map(|change| (&change["put"]["key"], &change["put"]["value"])).collect();
    assert_eq!(seen, [(&json!("k"), &json!("other")), (&json!("n"), &json!("3"))]);

    within(&["expire", "data/a", "k", "1h"]);
    assert_ne!(within(&["ttl", "data/a", "k"]), "stays\n");
    assert_eq!(printed(&peer, &["ttl", "data/a", "k"]), "stays\n");
    within(&["persist", "data/a", "k"]);
    assert_eq!(within(&["ttl", "data/a", "k"]), "stays\n");
    let batch = file(peer.directory.path(), "batch", r#"{"put":{"key":"b","value":"x"}}"#);
    assert_eq!(within(&["batch", "data/a", &batch]), "1 writes\n");
    assert_eq!(within(&["list", "data/a"]), "b\nk\nn\n");
    assert_eq!(printed(&peer, &["list", "data/a", "--keyspace", ""]), "k\n");
    assert_eq!(within(&["scan", "data/a", "c", "-oraw"]), "k\tother\nn\t3\n");

    let export = peer.directory.path().join("export").display().to_string();
    within(&["export", "data/a", &export]);
    let lines = std::fs::read_to_string(&export).unwrap();
    assert_eq!(lines.lines().count(), 3);
    let output = peer.run(&["import", "data/a", &export, "--keyspace", "two"]);
    assert_eq!((code(&output), said(&output).trim()), (0, "3 records"));
    let again = printed(&peer, &["export", "data/a", "--keyspace", "two"]);
    assert_eq!(again, lines, "a counter is exported as its digits");

    within(&["delete", "data/a", "b"]);
    let all = peer.run(&[&["delete", "data/a", "--prefix", ""], &one[..]].concat());
    assert_fails(&all, 2, "every key of \"data/a\" in the keyspace \"one\" would be deleted");
    assert_eq!(within(&["delete", "data/a", "--prefix", "", "--yes"]), "2\n");
    assert_eq!(within(&["list", "data/a"]), "");
    assert_eq!(printed(&peer, &["list", "data/a"]), "k\n");
    assert_eq!(document(&peer, &["status", "data/a", "-ojson"])["entries"], 4);
    let long = "x".repeat(129);
    assert_fails(&peer.run(&["list", "data/a", "--keyspace", &long]), 2, "at most 128");
}

/// What a filter matches is listed, scanned and exported, however many keys there are beside it; keyspaces
/// are told.
#[test]
fn keys_are_filtered_and_keyspaces_told() {
    let peer = Peer::start();
    let lines: Vec<String> = (0..12_000)
        .map(|n| json!({ "key": format!("{n:05}"), "value": "v" }).to_string())
        .collect();
    let import = file(peer.directory.path(), "import", lines.join("\n"));
    peer.printed(&["import", "data/a", &import]);
    for (what, values) in [("list", ""), ("scan", "\tv")] {
        let filtered = |more: &[&str]| printed(&peer, &[&[what, "data/a"], more].concat());
        let last = format!("11997{values}\n11998{values}\n11999{values}\n");
        assert_eq!(filtered(&["--regex", "1199[7-9]"]), last);
        assert_eq!(filtered(&["--regex", ".*199[7-9]"]).lines().count(), 6);
        assert_eq!(filtered(&["--glob", "*1999"]).lines().count(), 2);
        assert_eq!(filtered(&["--glob", "none"]), "");
    }
    let exported = printed(&peer, &["export", "data/a", "--glob", "*1999"]);
    assert_eq!(
        exported,
        "{\"key\":\"01999\",\"value\":\"v\"}\n{\"key\":\"11999\",\"value\":\"v\"}\n"
    );
    let page = document(&peer, &["list", "data/a", "11", "--glob", "*9", "--limit", "2", "-ojson"]);
    assert_eq!((&page["entries"][1]["key"], &page["truncated"]), (&json!("11019"), &json!(true)));
    let bad = peer.run(&["list", "data/a", "--regex", "a("]);
    assert_fails(&bad, 2, "the regex \"a(\" is refused at character 2: unclosed group");
    assert_fails(&peer.run(&["scan", "data/a", "--glob", "a***"]), 2, "`***` means nothing");
    let both = peer.run(&["list", "data/a", "--glob", "a", "--regex", "a"]);
    assert_fails(&both, 2, "cannot be used with");

    assert_eq!(printed(&peer, &["keyspaces", "data/a"]), "(default)\n");
    for name in ["drafts", "b\n"] {
        peer.printed(&["put", "data/a", "k", "v", "--keyspace", name]);
    }
    assert_eq!(printed(&peer, &["keyspaces", "data/a"]), "(default)\nb\\n\ndrafts\n");
    let told = document(&peer, &["keyspaces", "data/a", "-ojson"]);
    assert_eq!(told, json!(["", "b\n", "drafts"]));
    assert_eq!(printed(&peer, &["keyspaces", "data/none"]), "");
    assert_fails(&peer.run(&["keyspaces", "nowhere/a"]), 6, "no definition matches");
}

/// Three peers count at once, each for itself, and all of it counts. What only one of them holds is
/// changed through the others in the same way, down to what is refused.
#[test]
fn every_peer_counts() {
    let trio = Trio::start();
    let one = json!({ "definitions": [
        { "name": "one", "matcher": "glob:one/*", "replication": { "min": 1, "max": 1 } },
    ]});
    let answer = trio.peer(0).ask("POST", "/v1/definitions", &[], one.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    for peer in trio.peers() {
        wait_for("the definition everywhere", || {
            (peer.ask("GET", "/v1/definitions/one", &[], b"").status == 200).then_some(())
        });
    }
    let visits = ["incr", "data/a", "visits", "--keyspace", "counters"];
    std::thread::scope(|scope| {
        for peer in trio.peers() {
            scope.spawn(|| (0..10).for_each(|_| drop(peer.printed(&visits))));
        }
    });
    for peer in trio.peers() {
        let get = ["get", "data/a", "visits", "--keyspace", "counters"];
        wait_for("all visits", || (peer.printed(&get) == b"30").then_some(()));
    }

    trio.peer(0).printed(&["put", "one/a", "n", "5"]);
    let verb = |index: usize, verb: &[&str]| printed(trio.peer(index), verb);
    assert_eq!([1, 2, 0].map(|at| verb(at, &["incr", "one/a", "n"])), ["6\n", "7\n", "8\n"]);
    let holders = document(trio.peer(0), &["status", "one/a", "-ojson"])["holders"].clone();
    assert_eq!(holders.as_array().unwrap().len(), 1, "{holders}");
    for index in 0..3 {
        let peer = trio.peer(index);
        verb(index, &["expire", "one/a", "n", "1h"]);
        assert_ne!(verb((index + 1) % 3, &["ttl", "one/a", "n"]), "stays\n");
        verb(index, &["persist", "one/a", "n"]);
        assert_eq!(verb((index + 1) % 3, &["ttl", "one/a", "n"]), "stays\n");
        assert_fails(&peer.run(&["persist", "one/a", "none"]), 1, "is not in the database");
        verb(index, &["put", "one/a", "word", "many"]);
        assert_fails(&peer.run(&["incr", "one/a", "word"]), 6, "\"many\" is no whole number");
        for space in ["", "x"] {
            let within = ["--keyspace", space];
            verb(index, &[&["put", "one/a", "user:1", "v"], &within[..]].concat());
            verb(index, &[&["put", "one/a", "user:2", "v"], &within[..]].concat());
        }
        assert_eq!(verb(index, &["delete", "one/a", "--prefix", "user:"]), "2\n");
        assert_eq!(verb(index, &["list", "one/a", "--keyspace", "x"]), "user:1\nuser:2\n");
    }
}

/// The verbs are in the completions, with their options, and have manual pages.
#[test]
fn completions_and_manual_pages_have_them() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tidings(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["incr", "expire", "persist", "ttl", "keyspace", "prefix"] {
            assert!(script.contains(word), "{shell} has no {word}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let output = tidings(&["man", "--dir"]).arg(directory.path()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    for (verb, names) in [
        ("incr", "keyspace"),
        ("expire", "\\-\\-at"),
        ("persist", "keyspace"),
        ("ttl", "keyspace"),
        ("delete", "prefix"),
        ("import", "keyspace"),
        ("list", "regex"),
        ("keyspaces", "database"),
    ] {
        let page = directory.path().join(format!("tidings-{verb}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(names), "{verb}: {page}");
    }
}

/// An export keeps the mode of the file that it replaces, follows a link, and writes into a pipe.
#[test]
fn an_export_leaves_what_is_there() {
    let peer = Peer::start();
    peer.printed(&["put", "data/a", "key", "value"]);
    let exported = String::from_utf8(peer.printed(&["export", "data/a"])).unwrap();
    let place = |name: &str| peer.directory.path().join(name).display().to_string();
    let (file, link, pipe) = (place("private"), place("link"), place("pipe"));
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    peer.printed(&["export", "data/a", &link]);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), exported);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    peer.printed(&["export", "data/a", &pipe]);
    // One that was replaced is never written to.
    assert!(!std::fs::metadata(&pipe).unwrap().is_file());
    assert_eq!(reader.join().unwrap(), exported);
}
