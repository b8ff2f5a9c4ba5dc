//! Two processes under one identity are found by whoever they take turns at, and by nobody else's
//! mistake: restarts, old disks, wrong clocks and late frames are none.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod common;

use std::collections::{BTreeMap, VecDeque};

use tidings_core::clock::Now;
use tidings_core::definition::Definition;
use tidings_core::error::Error;
use tidings_core::ident::PeerId;
use tidings_core::message::{Change, Reply, Write};
use tidings_core::name::Path;
use tidings_core::node::{Config, Event, Input, Node, Outcome, Output, Place, Submission};
use tidings_core::record::Payload;
use tidings_core::rows::stored_key;
use tidings_core::store::{Batch, MemoryStore, Space, Store, prefix_rows};

const SECOND: u64 = 1_000_000;
/// How often clones take turns at a peer, about as the network driver lets them.
const TURN: u64 = 4;
const PATH: &str = "notes/ann";

/// One process; it runs while it has a node.
struct Process {
    peer: PeerId,
    store: MemoryStore,
    node: Option<Node<MemoryStore>>,
    born: u64,
    /// What its wall clock is ahead, in milliseconds.
    ahead: i64,
    events: Vec<Event>,
    done: BTreeMap<u64, Result<Reply, Error>>,
}

/// Processes whose frames arrive at once.
#[derive(Default)]
struct World {
    now: u64,
    starts: u8,
    processes: Vec<Process>,
    /// The process behind each connection that a process has.
    links: BTreeMap<(usize, PeerId), usize>,
}

impl World {
    fn add(&mut self, peer: u8, store: MemoryStore) -> usize {
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

    fn start(&mut self, index: usize) {
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
    fn kill(&mut self, index: usize) {
        self.processes[index].node = None;
        let peers: Vec<PeerId> = self.processes.iter().map(|process| process.peer).collect();
        for peer in peers {
            self.part(index, peer);
        }
    }

    /// Ends what connection a process has with this peer.
    fn part(&mut self, index: usize, peer: PeerId) {
        if let Some(other) = self.links.remove(&(index, peer)) {
            let own = self.processes[index].peer;
            self.links.remove(&(other, own));
            self.feed(index, Input::Disconnected(peer));
            self.feed(other, Input::Disconnected(own));
        }
    }

    /// Connects two processes, in the place of those under the same identities.
    fn join(&mut self, one: usize, other: usize) {
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

    fn feed(&mut self, index: usize, input: Input) {
        let now = self.processes[index].clocks(self.now);
        if let Some(node) = &mut self.processes[index].node {
            node.handle(input, now);
        }
        self.pump();
    }

    /// Carries out everything that the nodes want.
    fn pump(&mut self) {
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

    fn run(&mut self, seconds: u64) {
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

    /// The two processes take turns at the others for so many turns.
    fn take_turns(&mut self, clones: [usize; 2], others: &[usize], turns: usize) {
        for turn in 0..turns {
            // Not all of them change sides at once.
            for (shift, other) in others.iter().enumerate() {
                self.join(clones[(turn + shift) % 2], *other);
            }
            self.run(TURN);
        }
    }

    fn node(&mut self, index: usize) -> &mut Node<MemoryStore> {
        self.processes[index].node.as_mut().unwrap()
    }

    /// Writes, and waits for the answer.
    fn write(&mut self, index: usize, path: &str, key: &str) -> Result<(), Error> {
        let change = Change::Set(Payload::Value(b"value".to_vec(), None));
        let writes = vec![Write { key: stored_key(key.as_bytes()), change }];
        let path = Path::new(path).unwrap();
        let (durability, acks, timeout, condition) = (None, 1, 5_000, None);
        let submission = Submission { path, writes, durability, acks, timeout, condition };
        let now = self.processes[index].clocks(self.now);
        let token = match self.node(index).write(vec![submission], now).remove(0) {
            Outcome::Done(result) => return result.map(drop),
            Outcome::Later(token) => token,
        };
        self.pump();
        self.processes[index].done.remove(&token).unwrap().map(drop)
    }

    fn entries(&mut self, index: usize, path: &str) -> u64 {
        let now = self.processes[index].clocks(self.now);
        let path = Path::new(path).unwrap();
        self.node(index).database_status(&path, now).map_or(0, |status| status.entries)
    }

    /// How often a process was told that it has a clone, and that another one has.
    fn alarms(&self, index: usize) -> (usize, usize) {
        let events = &self.processes[index].events;
        let own = events.iter().filter(|event| **event == Event::Cloned).count();
        let others = events.iter().filter(|event| matches!(event, Event::ClonesSeen(_))).count();
        (own, others)
    }

    #[track_caller]
    fn assert_no_clones(&self, when: &str) {
        for (index, process) in self.processes.iter().enumerate() {
            assert_eq!(self.alarms(index), (0, 0), "{when}: process {index}");
            let node = process.node.as_ref();
            assert!(!node.is_some_and(Node::is_cloned), "{when}: process {index}");
        }
    }
}

impl Process {
    fn clocks(&self, now: u64) -> Now {
        let wall = 1_750_000_000_000 + (now / 1_000).cast_signed() + self.ahead;
        Now { monotonic: now - self.born, wall: wall.cast_unsigned() }
    }
}

/// A copy of a whole disk.
fn copy(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    let mut batch = Batch::default();
    for space in [Space::Data, Space::Log, Space::Meta] {
        for row in prefix_rows(store, space, b"") {
            let (key, value) = row.unwrap();
            batch.put(space, key, value);
        }
    }
    copy.commit(batch).unwrap();
    copy
}

/// Three peers that know each other, and a database at all of them.
fn three() -> World {
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

#[test]
fn both_clones_refuse_writes_until_one_stops() {
    let mut world = three();
    let twin = world.add(2, copy(&world.processes[0].store));
    world.take_turns([0, twin], &[1, 2], 5);
    for clone in [0, twin] {
        assert_eq!(world.write(clone, PATH, "refused"), Err(Error::Cloned));
        assert_eq!(world.alarms(clone), (1, 0), "once, though it is told again and again");
        let status = world.node(clone).status("1");
        assert!(status.cloned && status.verdict.concat().contains("under this peer's identity"));
        let now = world.processes[clone].clocks(world.now);
        let definition = Definition::new("more", "more/*", 1, 1);
        assert_eq!(world.node(clone).apply(&[definition], now), Err(Error::Cloned));
        assert_eq!(world.node(clone).remove_definition("one", now), Err(Error::Cloned));
        let path = Path::new(PATH).unwrap();
        assert_eq!(world.node(clone).drop_database(&path, now), Err(Error::Cloned));
    }
    for other in [1, 2] {
        assert_eq!(world.alarms(other), (0, 1));
        world.write(other, PATH, &format!("of {other}")).unwrap();
    }
    // They go on replicating, and refuse for as long as both run.
    for _ in 0..5 {
        world.take_turns([0, twin], &[1, 2], 3);
        for clone in [0, twin] {
            assert_eq!(world.entries(clone, PATH), 3);
            assert_eq!(world.write(clone, PATH, "refused"), Err(Error::Cloned));
        }
    }

    world.kill(twin);
    let ended = world.now;
    for other in [1, 2] {
        world.join(0, other);
    }
    assert_eq!(world.write(0, PATH, "refused"), Err(Error::Cloned));
    while world.write(0, PATH, "last").is_err() {
        world.run(1);
        assert!(world.now < ended + 35 * SECOND, "it does not accept writes again");
    }
    world.run(5);
    assert_eq!(world.entries(1, PATH), 4);
    assert!(!world.node(0).status("1").cloned);
    assert_eq!(world.alarms(0), (1, 0));
    // Nor is it told again, whatever becomes of its connections.
    for _ in 0..10 {
        world.join(0, 1);
        world.run(3);
        world.write(0, PATH, "last").unwrap();
    }
}

#[test]
fn one_third_peer_is_enough_and_either_may_be_the_one_that_stops() {
    let mut world = three();
    world.kill(2);
    let twin = world.add(2, copy(&world.processes[0].store));
    world.take_turns([0, twin], &[1], 5);
    assert_eq!([0, twin].map(|clone| world.node(clone).is_cloned()), [true, true]);
    world.kill(0);
    world.join(twin, 1);
    world.run(40);
    world.write(twin, PATH, "last").unwrap();
    // The one that was stopped may come back, and is found again.
    world.start(0);
    world.take_turns([twin, 0], &[1], 5);
    assert_eq!([0, twin].map(|clone| world.node(clone).is_cloned()), [true, true]);
}

#[test]
fn a_write_for_another_peer_is_refused_too() {
    let mut world = three();
    let here = |world: &mut World, index: usize, path: &str| {
        let now = world.processes[index].clocks(world.now);
        matches!(world.node(index).place(&Path::new(path).unwrap(), now), Place::Here(_))
    };
    let mut path = String::new();
    for number in 0..100 {
        path = format!("one/{number}");
        world.write(1, &path, "first").unwrap();
        world.run(1);
        if here(&mut world, 0, &path) {
            break;
        }
    }
    assert!(here(&mut world, 0, &path) && !here(&mut world, 1, &path));
    let twin = world.add(2, copy(&world.processes[0].store));
    world.take_turns([0, twin], &[1, 2], 5);
    assert_eq!(world.write(1, &path, "forwarded"), Err(Error::Cloned));
    assert_eq!(world.entries(0, &path), 1);
}

#[test]
fn restarts_and_old_disks_are_no_clones() {
    let mut world = three();
    let old = copy(&world.processes[0].store);
    for round in 0..12 {
        match round % 4 {
            // A kill, and a clean stop.
            0 => {}
            1 => {
                let now = world.processes[0].clocks(world.now);
                world.node(0).stop(now).unwrap();
                world.pump();
            }
            // A disk that was rolled back, and one that is empty.
            2 => world.processes[0].store = copy(&old),
            _ => world.processes[0].store = MemoryStore::new(),
        }
        world.kill(0);
        // Its clock is set back by an hour each time.
        world.processes[0].ahead -= if round < 8 { 3_600_000 } else { 0 };
        world.run(round % 3 * 5);
        world.start(0);
        for other in [1, 2] {
            world.join(0, other);
        }
        world.run(10);
        world.assert_no_clones(&format!("start {round}"));
    }
}

#[test]
fn connections_that_flap_and_a_peer_that_drains_are_no_clones() {
    let mut world = three();
    for round in 0..30 {
        world.join(0, 1 + round % 2);
        if round % 3 == 0 {
            world.run(1);
        }
        if round % 10 == 0 {
            let now = world.processes[0].clocks(world.now);
            let drains = round % 20 == 0;
            world.node(0).drain(drains, now).unwrap();
            world.run(10);
        }
    }
    world.assert_no_clones("flapping");
}

/// What a process said on its connections before it ended arrives after what the next one said, again
/// and again, in every order.
#[test]
fn late_frames_of_the_dead_are_no_clones() {
    let mut world = three();
    let peer = world.processes[0].peer;
    let mut hellos = Vec::new();
    for round in 0..8 {
        // Says hello to nobody who hears it.
        let now = world.processes[0].clocks(world.now);
        world.part(0, PeerId([1; 32]));
        let node = world.node(0);
        node.handle(Input::Connected(PeerId([1; 32])), now);
        while let Some(output) = node.poll_output() {
            if let Output::Send(_, frame) = output {
                hellos.push(frame);
            }
        }
        node.handle(Input::Disconnected(PeerId([1; 32])), now);
        world.kill(0);
        world.start(0);
        for late in 0..2 * hellos.len() {
            let at = (late * 7 + round) % hellos.len();
            world.part(1, peer);
            world.feed(1, Input::Connected(peer));
            world.feed(1, Input::Frames(peer, vec![hellos[at].clone()]));
            world.run(1);
            world.feed(1, Input::Disconnected(peer));
            world.join(0, 1);
            world.run(1);
            world.assert_no_clones(&format!("round {round}, late {late}"));
        }
    }
    assert!(world.node(1).counters().get("clones_seen").is_none());
}
