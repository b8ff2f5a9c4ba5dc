//! Processes whose frames arrive at once, for tests of what peers do with each other.

#![allow(dead_code, reason = "each test needs some of it")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, VecDeque};

use tidings_core::clock::Now;
use tidings_core::definition::Definition;
use tidings_core::error::Error;
use tidings_core::ident::PeerId;
use tidings_core::message::{Change, Reply, Write, Written};
use tidings_core::name::Path;
use tidings_core::node::{Config, Event, Input, Node, Outcome, Output, Submission};
use tidings_core::record::Payload;
use tidings_core::rows::stored_key;
use tidings_core::store::MemoryStore;

pub(crate) const SECOND: u64 = 1_000_000;
/// A database with a copy at each of [`three`].
pub(crate) const PATH: &str = "notes/ann";

/// One process; it runs while it has a node.
pub(crate) struct Process {
    pub(crate) peer: PeerId,
    pub(crate) store: MemoryStore,
    pub(crate) node: Option<Node<MemoryStore>>,
    pub(crate) born: u64,
    /// What its wall clock is ahead, in milliseconds.
    pub(crate) ahead: i64,
    pub(crate) events: Vec<Event>,
    pub(crate) done: BTreeMap<u64, Result<Reply, Error>>,
}

/// Processes whose frames arrive at once.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) starts: u8,
    pub(crate) processes: Vec<Process>,
    /// The process behind each connection that a process has.
    pub(crate) links: BTreeMap<(usize, PeerId), usize>,
}

impl World {
    pub(crate) fn add(&mut self, peer: u8, store: MemoryStore) -> usize {
        self.processes.push(Process {
            peer: PeerId([peer; 32]),
            store,
            node: None,
            born: 0,
            ahead: 0,
            events: Vec::new(),
            done: BTreeMap::new(),
        });
        let index = self.processes.len() - 1;
        self.start(index);
        index
    }

    pub(crate) fn start(&mut self, index: usize) {
        self.starts += 1;
        let process = &mut self.processes[index];
        process.born = self.now;
        let config = Config { expects_peers: true, ..common::config(process.peer) };
        let now = process.clocks(self.now);
        let node = Node::new(config, process.store.clone(), [self.starts; 32], now).unwrap();
        process.node = Some(node);
        self.pump();
    }

    /// Ends a process without a word.
    pub(crate) fn kill(&mut self, index: usize) {
        self.processes[index].node = None;
        let peers: Vec<PeerId> = self.processes.iter().map(|process| process.peer).collect();
        for peer in peers {
            self.part(index, peer);
        }
    }

    /// Ends what connection a process has with this peer.
    pub(crate) fn part(&mut self, index: usize, peer: PeerId) {
        if let Some(other) = self.links.remove(&(index, peer)) {
            let own = self.processes[index].peer;
            self.links.remove(&(other, own));
            self.feed(index, Input::Disconnected(peer));
            self.feed(other, Input::Disconnected(own));
        }
    }

    /// Connects two processes, in the place of those under the same identities.
    pub(crate) fn join(&mut self, one: usize, other: usize) {
        let (a, b) = (self.processes[one].peer, self.processes[other].peer);
        self.part(one, b);
        self.part(other, a);
        self.links.insert((one, b), other);
        self.links.insert((other, a), one);
        for (index, peer) in [(one, b), (other, a)] {
            let now = self.processes[index].clocks(self.now);
            if let Some(node) = &mut self.processes[index].node {
                node.handle(Input::Connected(peer), now);
            }
        }
        self.pump();
    }

    pub(crate) fn feed(&mut self, index: usize, input: Input) {
        let now = self.processes[index].clocks(self.now);
        if let Some(node) = &mut self.processes[index].node {
            node.handle(input, now);
        }
        self.pump();
    }

    /// Carries out everything that the nodes want.
    pub(crate) fn pump(&mut self) {
        loop {
            let mut arrived = VecDeque::new();
            for index in 0..self.processes.len() {
                let process = &mut self.processes[index];
                while let Some(output) = process.node.as_mut().and_then(Node::poll_output) {
                    let (peer, input) = match output {
                        Output::Send(peer, frame) => {
                            (peer, Input::Frames(process.peer, vec![frame]))
                        }
                        Output::Probe(peer, packet) => (peer, Input::Probe(process.peer, packet)),
                        Output::Sync(ticket) => {
                            arrived.push_back((index, Input::Synced(ticket)));
                            continue;
                        }
                        Output::Done(token, result) => {
                            process.done.insert(token, result);
                            continue;
                        }
                        Output::Event(event) => {
                            process.events.push(event);
                            continue;
                        }
                        _ => continue,
                    };
                    if let Some(to) = self.links.get(&(index, peer)) {
                        arrived.push_back((*to, input));
                    }
                }
            }
            if arrived.is_empty() {
                return;
            }
            for (index, input) in arrived {
                let now = self.processes[index].clocks(self.now);
                if let Some(node) = &mut self.processes[index].node {
                    node.handle(input, now);
                }
            }
        }
    }

    pub(crate) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 20 {
            self.now += SECOND / 20;
            for process in &mut self.processes {
                let now = process.clocks(self.now);
                if let Some(node) = &mut process.node
                    && node.poll_timeout() <= now.monotonic
                {
                    node.handle(Input::Timer, now);
                }
            }
            self.pump();
        }
    }

    pub(crate) fn node(&mut self, index: usize) -> &mut Node<MemoryStore> {
        self.processes[index].node.as_mut().unwrap()
    }

    /// Writes, and carries out nothing of what the node then wants.
    pub(crate) fn submit(&mut self, index: usize, path: &str, key: &str) -> Outcome<Vec<Written>> {
        let change = Change::Set(Payload::Value(b"value".to_vec(), None));
        let writes = vec![Write { key: stored_key(key.as_bytes()), change }];
        let path = Path::new(path).unwrap();
        let (durability, acks, timeout, condition) = (None, 1, 5_000, None);
        let submission = Submission { path, writes, durability, acks, timeout, condition };
        let now = self.processes[index].clocks(self.now);
        self.node(index).write(vec![submission], now).remove(0)
    }

    /// Writes, and waits for the answer.
    pub(crate) fn write(&mut self, index: usize, path: &str, key: &str) -> Result<(), Error> {
        let token = match self.submit(index, path, key) {
            Outcome::Done(result) => return result.map(drop),
            Outcome::Later(token) => token,
        };
        self.pump();
        self.processes[index].done.remove(&token).unwrap().map(drop)
    }

    pub(crate) fn entries(&mut self, index: usize, path: &str) -> u64 {
        let now = self.processes[index].clocks(self.now);
        let path = Path::new(path).unwrap();
        self.node(index).database_status(&path, now).map_or(0, |status| status.entries)
    }
}

impl Process {
    pub(crate) fn clocks(&self, now: u64) -> Now {
        let wall = 1_750_000_000_000 + (now / 1_000).cast_signed() + self.ahead;
        Now { monotonic: now - self.born, wall: wall.cast_unsigned() }
    }
}

/// Three peers that know each other, and a database at all of them.
pub(crate) fn three() -> World {
    let mut world = World::default();
    for peer in [2, 1, 3] {
        world.add(peer, MemoryStore::new());
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        world.join(one, other);
    }
    world.run(5);
    let now = world.processes[0].clocks(world.now);
    let all = Definition::new("notes", "notes/*", 3, 3);
    world.node(0).apply(&[all, Definition::new("one", "one/*", 1, 1)], now).unwrap();
    world.pump();
    world.run(5);
    world.write(1, PATH, "first").unwrap();
    world.run(5);
    for index in 0..3 {
        assert_eq!(world.entries(index, PATH), 1, "process {index}");
    }
    world
}
