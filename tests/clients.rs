//! Clients that others wrote, unchanged, against a real process: curl, redis-py and ioredis, each with the
//! tour in `examples/`. One that is not installed is skipped, and said so; `.ci/prerequisites` installs all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Peer, said, tell};

/// Where `.ci/prerequisites` puts the clients that are no programs.
fn clients() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tidings"));
    program.ancestors().nth(2).unwrap().join("clients")
}

fn peer() -> Peer {
    let directory = tempfile::tempdir().unwrap();
    let yaml = "definitions:\n  - { name: all, matcher: '*/*', replication: { min: 1, max: 3 } }\n";
    let definitions = support::file(directory.path(), "definitions.yaml", yaml);
    Peer::bare(directory, &["--redis", "127.0.0.1:0", "--definitions", &definitions])
}

/// Runs a tour, unless the check of what it needs fails.
fn tour(what: &str, mut needs: Command, mut tour: Command) {
    let there = needs.output().is_ok_and(|output| output.status.success());
    if !there {
        tell(&format!("*** SKIPPED: no {what} on this machine ***"));
        return;
    }
    let output = tour.output().unwrap();
    assert!(output.status.success(), "{what}: {}", said(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.matches("as expected").count() >= 2, "{what}: {printed}");
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn redis_port(peer: &Peer) -> String {
    peer.ready["redis"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned()
}

#[test]
fn curl_takes_the_tour() {
    let peer = peer();
    let mut needs = Command::new("curl");
    needs.arg("--version");
    let mut curl = Command::new(example("curl.sh"));
    curl.args([&format!("http://{}", peer.http), "notes/tour"]);
    tour("curl", needs, curl);
}

#[test]
fn redis_py_takes_the_tour() {
    let peer = peer();
    let python = |arguments: &[&str]| {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", clients().join("python")).args(arguments);
        python
    };
    let example = example("redis_py.py").display().to_string();
    let needs = python(&["-c", "import redis"]);
    tour("redis-py", needs, python(&[&example, &redis_port(&peer)]));
}

#[test]
fn ioredis_takes_the_tour() {
    let peer = peer();
    let node = |arguments: &[&str]| {
        let mut node = Command::new("node");
        node.env("NODE_PATH", clients().join("node_modules")).args(arguments);
        node
    };
    let example = example("ioredis.mjs").display().to_string();
    let needs = node(&["-e", "require('ioredis')"]);
    tour("ioredis", needs, node(&[&example, &redis_port(&peer)]));
}
