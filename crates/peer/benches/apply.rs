//! Local puts at one node on disk, and the same records applied at another one.
//!
//! `cargo bench -p tidings --bench apply`. Both nodes run in one thread, without sockets: what is
//! measured is the protocol and the store. A million rows of 100 bytes are there before.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and may panic")]

use std::time::{Duration, Instant};

use tidings::Definition;
use tidings::store::{AnyStore, Directory, FjallStore, StoreConfig};
use tidings_core::clock::Now;
use tidings_core::ident::PeerId;
use tidings_core::message::{Change, Write};
use tidings_core::name::Path;
use tidings_core::node::{Config, Input, Node, Output, Submission};
use tidings_core::record::Payload;
use tidings_core::rows::stored_key;
use tidings_core::store::Store;

const ROWS: u64 = 1_000_000;
const VALUE: [u8; 100] = [7; 100];
const ROUNDS: usize = 9;
/// Records in a commit: as many as callers share one.
const COMMIT: u64 = 64;

/// Keys in no order, as the store sees them.
fn key(number: u64) -> [u8; 8] {
    (number % ROWS).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Two nodes on disk in one thread, one writing and the other one applying what arrives.
struct Pair {
    nodes: [Node<AnyStore>; 2],
    frames: [Vec<Vec<u8>>; 2],
    now: Now,
    _directories: [tempfile::TempDir; 2],
}

impl Pair {
    const PEERS: [PeerId; 2] = [PeerId([1; 32]), PeerId([2; 32])];

    fn new() -> Self {
        let now = Now { monotonic: 10_000_000, wall: 1_800_000_000_000 };
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let nodes = [0, 1].map(|index| {
            let config = Config {
                peer: Self::PEERS[index],
                name: index.to_string(),
                zone: String::new(),
                weight: 100,
                cluster_key: [7; 32],
                expects_peers: false,
                max_clock_skew: tidings_core::node::MAX_CLOCK_SKEW,
                replacement_delay: tidings_core::node::REPLACEMENT_DELAY,
                stability_window: tidings_core::node::STABILITY_WINDOW,
                rebalance_delay: tidings_core::node::REBALANCE_DELAY,
                trash: tidings_core::node::TRASH,
                tombstone_grace: tidings_core::node::TOMBSTONE_GRACE,
                holder_ttl: tidings_core::node::HOLDER_TTL,
                sweep_interval: tidings_core::node::SWEEP_INTERVAL,
            };
            let directory = Directory::open(directories[index].path()).unwrap();
            let cache = StoreConfig { cache_bytes: 512 << 20, ..StoreConfig::default() };
            let store = AnyStore::Fjall(FjallStore::open(&directory, &cache).unwrap());
            Node::new(config, store, [index as u8; 32], now).unwrap()
        });
        let mut pair =
            Self { nodes, frames: [Vec::new(), Vec::new()], now, _directories: directories };
        pair.nodes[0].apply(&[Definition::new("bench", "bench/**", 2, 2)], now).unwrap();
        for index in [0, 1] {
            pair.nodes[index].handle(Input::Connected(Self::PEERS[1 - index]), now);
        }
        // They greet, compare their directories, and each takes the other one for live.
        for _ in 0..40 {
            pair.now.monotonic += 250_000;
            pair.now.wall += 250;
            for index in [0, 1] {
                pair.nodes[index].handle(Input::Timer, pair.now);
            }
            while pair.exchange() {}
        }
        pair
    }

    /// Takes what a node says: frames for the other one wait, probes are delivered, syncs are done.
    fn drain(&mut self, index: usize) {
        let other = 1 - index;
        while let Some(output) = self.nodes[index].poll_output() {
            match output {
                Output::Send(_, frame) => self.frames[other].push(frame),
                Output::Probe(_, packet) => {
                    let from = Self::PEERS[index];
                    self.nodes[other].handle(Input::Probe(from, packet), self.now);
                }
                Output::Sync(ticket) => {
                    self.nodes[index].store().sync().unwrap();
                    self.nodes[index].handle(Input::Synced(ticket), self.now);
                }
                Output::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
    }

    /// Delivers what waits; false when that is nothing.
    fn exchange(&mut self) -> bool {
        self.drain(0);
        self.drain(1);
        let mut any = false;
        for index in [0, 1] {
            any |= self.deliver(index);
        }
        any
    }

    fn deliver(&mut self, index: usize) -> bool {
        let frames = std::mem::take(&mut self.frames[index]);
        if frames.is_empty() {
            return false;
        }
        self.nodes[index].handle(Input::Frames(Self::PEERS[1 - index], frames), self.now);
        true
    }

    /// One commit of local puts.
    fn write(&mut self, first: u64, count: u64) {
        let submissions = (first..first + count)
            .map(|number| Submission {
                path: Path::new("bench/rows").unwrap(),
                writes: vec![Write {
                    key: stored_key(&key(number)),
                    change: Change::Set(Payload::Value(VALUE.to_vec(), None)),
                }],
                durability: None,
                acks: 1,
                timeout: 0,
                condition: None,
            })
            .collect();
        self.nodes[0].write(submissions, self.now);
    }
}

fn main() {
    let mut pair = Pair::new();
    for chunk in 0..ROWS / 1_000 {
        pair.write(chunk * 1_000, 1_000);
        while pair.exchange() {}
    }
    let count = 40_000;
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        let (mut writing, mut applying) = (Duration::ZERO, Duration::ZERO);
        for chunk in 0..count / COMMIT {
            let start = Instant::now();
            pair.write((round * count + chunk * COMMIT) * 7_919, COMMIT);
            writing += start.elapsed();
            pair.drain(0);
            let start = Instant::now();
            assert!(pair.deliver(1), "puts are pushed at once");
            applying += start.elapsed();
            while pair.exchange() {}
        }
        local.push(count as f64 / writing.as_secs_f64());
        remote.push(count as f64 / applying.as_secs_f64());
    }
    let received = pair.nodes[1].counters().get("records_received").copied().unwrap_or(0);
    assert!(received >= ROWS + count * ROUNDS as u64, "the other node applied {received} records");
    let (local, remote) = (median(local), median(remote));
    println!(
        "apply remote records, 64 in a commit         local {:>8.1} k/s   remote  {:>8.1} k/s   ratio {:.2} (wanted 0.80)",
        local / 1e3,
        remote / 1e3,
        remote / local,
    );
}
