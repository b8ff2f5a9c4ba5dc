//! Clients that others wrote, unchanged, against a real process: curl, redis-py and ioredis, each with the
//! tour in `examples/`; those of Redis while another peer is written to. One that is not installed is skipped,
//! and said so; `.ci/prerequisites` installs all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use support::{Peer, ask, said, tell, wait_for};

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

/// A second peer, at which somebody writes to the very database of the tour all the time: other keys, in a
/// keyspace of their own.
struct Busy {
    peer: Peer,
    over: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
}

/// Where it writes.
fn busy_key(number: u64) -> String {
    format!("/v1/databases/redis%2F0/keys/{number}?keyspace=busy")
}

impl Busy {
    fn beside(first: &Peer) -> Self {
        let listen = first.ready["listen"][0].as_str().unwrap();
        let peer = Peer::bare(tempfile::tempdir().unwrap(), &["--peer", listen]);
        wait_for("the peers knowing each other and what databases there are", || {
            let live =
                |peer: &Peer| peer.ask("GET", "/v1/status", &[], b"").json()["live_peers"] == 2;
            let knows = peer.ask("GET", "/v1/definitions/all", &[], b"").status == 200;
            (live(first) && live(&peer) && knows).then_some(())
        });
        let over = Arc::new(AtomicBool::new(false));
        let (http, ends) = (peer.http.clone(), Arc::clone(&over));
        let writer = std::thread::spawn(move || {
            let mut written = 0;
            while !ends.load(Ordering::Relaxed) {
                let host = [format!("Host: {http}")];
                let answer = ask(&http, "PUT", &busy_key(written), &host, b"busy");
                assert_eq!(answer.status, 200, "{answer:?}");
                written += 1;
            }
            written
        });
        Self { peer, over, writer }
    }

    /// Everything that was written meanwhile is at both.
    fn end(self, first: &Peer, toured: bool) {
        self.over.store(true, Ordering::Relaxed);
        let written = self.writer.join().unwrap();
        tell(&format!("{written} writes at another peer meanwhile"));
        assert!(written >= 10 || !toured, "only {written} writes meanwhile");
        for peer in [first, &self.peer] {
            wait_for("the writes of the other peer", || {
                let all = |number| peer.ask("GET", &busy_key(number), &[], b"").status == 200;
                (0..written).rev().all(all).then_some(())
            });
        }
    }
}

/// Runs a tour, unless the check of what it needs fails; whether it ran.
fn tour(what: &str, mut needs: Command, mut tour: Command) -> bool {
    let there = needs.output().is_ok_and(|output| output.status.success());
    if !there {
        tell(&format!("*** SKIPPED: no {what} on this machine ***"));
        return false;
    }
    let output = tour.output().unwrap();
    assert!(output.status.success(), "{what}: {}", said(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.matches("as expected").count() >= 2, "{what}: {printed}");
    true
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
    let busy = Busy::beside(&peer);
    let toured = tour("redis-py", needs, python(&[&example, &redis_port(&peer)]));
    busy.end(&peer, toured);
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
    let busy = Busy::beside(&peer);
    let toured = tour("ioredis", needs, node(&[&example, &redis_port(&peer)]));
    busy.end(&peer, toured);
}
