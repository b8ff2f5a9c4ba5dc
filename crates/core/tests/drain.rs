//! A peer that drains says why copies are still there.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod processes;

use processes::{PATH, World, three};
use tidings_core::node::{Input, Output};
use tidings_core::status::DrainStatus;

fn drain(world: &mut World, index: usize) {
    let now = world.processes[index].clocks(world.now);
    world.node(index).drain(true, now).unwrap();
    world.pump();
    world.run(5);
}

fn status(world: &mut World, index: usize) -> (DrainStatus, Vec<String>) {
    let status = world.node(index).drain_status();
    (status, status.why())
}

#[test]
fn copies_wait_for_others_that_hold_them() {
    let mut world = three();
    drain(&mut world, 0);
    let (three, why) = status(&mut world, 0);
    let waiting = DrainStatus { draining: true, copies: 1, waiting: 1, behind: 0, minority: false };
    assert_eq!(three, waiting);
    assert_eq!(why, ["waiting until enough other peers hold one: 1"]);

    world.kill(1);
    world.kill(2);
    world.run(30);
    let (alone, why) = status(&mut world, 0);
    assert_eq!(alone, DrainStatus { minority: true, ..waiting });
    assert_eq!(why.len(), 2);
    assert!(why[0].contains("half of the peers of the last hour"), "{why:?}");
    assert!(world.node(0).status("").verdict.iter().any(|sentence| sentence.contains(&why[0])));

    let now = world.processes[0].clocks(world.now);
    world.node(0).drain(false, now).unwrap();
    let (ended, why) = status(&mut world, 0);
    assert_eq!((ended.draining, ended.waiting, ended.minority), (false, 0, false));
    assert!(why.is_empty());
}

/// Of two writes the second arrives, and their peer dies before it can be asked for the first.
#[test]
fn a_copy_with_a_gap_says_so() {
    let mut world = three();
    let mut frames = Vec::new();
    for key in ["lost", "received"] {
        frames.clear();
        world.submit(0, PATH, key);
        let now = world.processes[0].clocks(world.now);
        let receiver = world.processes[1].peer;
        while let Some(output) = world.node(0).poll_output() {
            match output {
                Output::Send(peer, frame) if peer == receiver => frames.push(frame),
                Output::Sync(ticket) => {
                    world.node(0).handle(Input::Synced(ticket), now);
                }
                _ => {}
            }
        }
    }
    assert!(!frames.is_empty());
    let writer = world.processes[0].peer;
    world.processes[0].node = None;
    world.feed(1, Input::Frames(writer, frames));
    world.part(1, writer);
    world.part(2, writer);
    assert_eq!(world.entries(1, PATH), 2, "the first one ever, and what was received");

    drain(&mut world, 1);
    let (gap, why) = status(&mut world, 1);
    assert_eq!((gap.copies, gap.behind), (1, 1), "{gap:?}");
    let waits = "waiting until all the writes that they know of have arrived: 1";
    assert!(why.iter().any(|why| why == waits), "{why:?}");
    drain(&mut world, 2);
    let (told, _) = status(&mut world, 2);
    assert_eq!((told.copies, told.behind), (1, 1), "{told:?}");
}
