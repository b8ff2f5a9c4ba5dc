//! Three peers that find each other by address, on loopback or each on a host of its own, each of which can
//! be killed and started again on its data. Every database under `data/` has a copy at each of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidings_sim::random::Quick;

use super::lan::{Lan, write_private};
use super::{Peer, found_within, said, tell, wait_for};

/// How many peers there are.
pub const PEERS: usize = 3;

/// The peers; one that was killed leaves its directory.
pub struct Trio {
    peers: [Result<Peer, TempDir>; PEERS],
    arguments: &'static [&'static str],
    /// Their hosts, and one more.
    lan: Option<Lan>,
}

impl Trio {
    /// Starts them, waits until all know all, and tells them what the databases are.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with further arguments of `serve`.
    pub fn start_with(arguments: &'static [&'static str]) -> Self {
        Self::begin(None, arguments)
    }

    /// The same on hosts of their own; where there can be none, on loopback, and it says so.
    pub fn start_apart(arguments: &'static [&'static str]) -> Self {
        let lan = Lan::new(PEERS as u8 + 1);
        if lan.is_none() {
            tell("*** on loopback instead ***");
        }
        Self::begin(lan, arguments)
    }

    fn begin(lan: Option<Lan>, arguments: &'static [&'static str]) -> Self {
        let empty = || Err(tempfile::tempdir().unwrap());
        let mut trio = Self { peers: [empty(), empty(), empty()], arguments, lan };
        for index in 0..PEERS {
            trio.restart(index);
        }
        trio.meet();
        trio.define("data", PEERS);
        trio
    }

    /// Tells every peer that the databases under `name/` have this many copies.
    pub fn define(&self, name: &str, copies: usize) {
        let matcher = format!("glob:{name}/*");
        let definitions = json!({ "definitions": [
            { "name": name, "matcher": matcher, "replication": { "min": copies, "max": copies } },
        ]});
        let body = definitions.to_string();
        let answer = self.peer(0).ask("POST", "/v1/definitions", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        let target = format!("/v1/definitions/{name}");
        for peer in self.peers() {
            wait_for("the definition everywhere", || {
                (peer.ask("GET", &target, &[], b"").status == 200).then_some(())
            });
        }
    }

    /// One that runs.
    #[track_caller]
    pub fn peer(&self, index: usize) -> &Peer {
        self.peers[index].as_ref().unwrap_or_else(|_| panic!("peer {index} does not run"))
    }

    /// Those that run.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter_map(|peer| peer.as_ref().ok())
    }

    /// Kills one in the middle of whatever it does.
    pub fn kill(&mut self, index: usize) {
        let gone = Err(tempfile::tempdir().unwrap());
        let directory = match std::mem::replace(&mut self.peers[index], gone) {
            Ok(peer) => peer.kill(),
            Err(directory) => directory,
        };
        self.peers[index] = Err(directory);
    }

    /// Starts one again that was killed, at another port, and tells it where the others are.
    pub fn restart(&mut self, index: usize) {
        let gone = Err(tempfile::tempdir().unwrap());
        let Err(directory) = std::mem::replace(&mut self.peers[index], gone) else {
            panic!("peer {index} runs already");
        };
        self.peers[index] = Ok(self.begun(index, directory));
    }

    /// Where the data of one that was killed lies.
    #[track_caller]
    pub fn disk(&self, index: usize) -> std::path::PathBuf {
        match &self.peers[index] {
            Ok(_) => panic!("peer {index} runs"),
            Err(directory) => directory.path().join("data"),
        }
    }

    /// Starts a peer beside the others, on a directory whose `data` was prepared.
    pub fn beside(&self, directory: TempDir) -> Peer {
        self.begun(PEERS, directory)
    }

    /// Starts a peer on a host, counted from 0, that knows where the others are.
    fn begun(&self, host: usize, directory: TempDir) -> Peer {
        let mut known: Vec<String> = self.peers().flat_map(addresses).collect();
        let mut arguments = self.arguments.to_vec();
        let Some(lan) = &self.lan else { return begun(directory, &known, &arguments) };
        known.retain(|address| !address.contains("/127."));
        let secret = directory.path().join("secret");
        write_private(&secret, "one for the three of them");
        arguments.extend(["--secret-file", secret.to_str().unwrap()]);
        begun_on(Some(lan.host(host as u8 + 1)), directory, &known, &arguments)
    }

    /// Puts a running peer in the place of one that was killed.
    #[track_caller]
    pub fn seat(&mut self, index: usize, peer: Peer) {
        assert!(self.peers[index].is_err(), "peer {index} runs");
        self.peers[index] = Ok(peer);
    }

    /// Waits until those that run know each other.
    pub fn meet(&self) {
        let all = self.peers().count();
        for peer in self.peers() {
            wait_for("the peers knowing each other", || {
                (peer.ask("GET", "/v1/status", &[], b"").json()["live_peers"] == all).then_some(())
            });
        }
    }

    /// Waits until every peer's own copy is the same: vector, digest, entries and tombstones. Gives
    /// what they say, and how long it took.
    pub fn converge(&self, path: &str, deadline: Duration) -> (Value, Duration) {
        let started = Instant::now();
        let mut last: Vec<Value> = Vec::new();
        let found = found_within(deadline, || {
            last = self.peers().map(|peer| status(peer, path)).collect();
            let own = last.iter().zip(self.peers());
            let own = own.filter(|(status, peer)| status["peer"] == peer.ready["peer"]);
            let same = own.filter(|(status, _)| agreed(status) == agreed(&last[0]));
            (same.count() == PEERS).then(|| last[0].clone())
        });
        let Some(status) = found else {
            let said: Vec<String> = last.iter().map(Value::to_string).collect();
            panic!("no agreement on {path} within {deadline:?}:\n{}", said.join("\n"));
        };
        (status, started.elapsed())
    }
}

/// What a peer says of a database.
pub fn status(peer: &Peer, path: &str) -> Value {
    peer.ask("GET", &format!("/v1/databases/{}/status", encoded(path)), &[], b"").json()
}

/// Writes a batch through a peer: one write a line, in JSON.
#[track_caller]
pub fn batch(peer: &Peer, path: &str, lines: &str) {
    let output = peer.piped(&["batch", path, "-"], lines.as_bytes());
    assert!(output.status.success(), "{}", said(&output));
}

/// What has to be the same of two copies.
pub fn agreed(status: &Value) -> [&Value; 6] {
    ["vector", "digest", "entries", "tombstones", "bytes", "generation"].map(|name| &status[name])
}

/// Starts a peer that knows where others are.
pub fn begun(directory: TempDir, known: &[String], arguments: &[&str]) -> Peer {
    begun_on(None, directory, known, arguments)
}

fn begun_on(host: Option<&str>, directory: TempDir, known: &[String], arguments: &[&str]) -> Peer {
    let peers = known.iter().flat_map(|address| ["--peer", address.as_str()]);
    let arguments: Vec<&str> = peers.chain(arguments.iter().copied()).collect();
    Peer::on(host, directory, &arguments)
}

/// Where a peer listens.
pub fn addresses(peer: &Peer) -> Vec<String> {
    let listen = peer.ready["listen"].as_array().unwrap();
    listen.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

/// A path or a key for a URL.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Every row of a peer's copy, key to value and version, as a scan tells it.
pub fn rows(peer: &Peer, path: &str) -> BTreeMap<String, (String, String)> {
    let target = format!("/v1/databases/{}/scan", encoded(path));
    let answer = peer.ask("GET", &target, &[], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = String::from_utf8(answer.body).unwrap();
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            assert!(row["error"].is_null(), "the scan broke off: {line}");
            (field("key"), (field("value"), field("version")))
        })
        .collect()
}

/// The seed that an environment variable names, or one that is new each time.
pub fn seed(variable: &str) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or_else(
        || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Quick::new(now.unwrap().as_nanos() as u64, &[]).any() % 1_000_000
        },
        |text| text.parse().unwrap(),
    )
}
