//! Two processes under one identity are found by whoever they take turns at, and by nobody else's
//! mistake: restarts, old disks, wrong clocks and late frames are none.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod processes;

use processes::{PATH, SECOND, World, three};
use tidings_core::definition::Definition;
use tidings_core::error::Error;
use tidings_core::ident::PeerId;
use tidings_core::name::Path;
use tidings_core::node::{Event, Input, Node, Output, Place};
use tidings_core::store::{Batch, MemoryStore, Space, Store, prefix_rows};

/// How often clones take turns at a peer, about as the network driver lets them.
const TURN: u64 = 4;

impl World {
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
