//! What copies reflect of starts long ago costs next to nothing on the network.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

use tidings_core::definition::Definition;
use tidings_sim::faults::{Fault, FaultKind};
use tidings_sim::measure::KINDS;
use tidings_sim::scenario::{SECOND, Scenario};
use tidings_sim::workload::Terms;
use tidings_sim::world::World;

const PATH: &str = "old/database";
const STARTS: usize = 120;

fn restart(world: &mut World, peer: usize, seconds: u64) {
    world.inject(&Fault::new(FaultKind::Kill, peer).lasting(seconds * SECOND));
}

/// How many epochs each copy has, which are all equal.
fn epochs(world: &mut World) -> usize {
    let mut vectors = (0..3).map(|peer| {
        let vector = world.call(peer, |node, _| {
            let copies = node.copies().filter_map(|(id, _)| node.replica(id));
            let mut copies = copies.filter(|copy| &*copy.path == PATH);
            copies.next().map(|copy| copy.state.progress.vector.clone())
        });
        vector.flatten().unwrap()
    });
    let first = vectors.next().unwrap();
    assert!(vectors.all(|vector| vector == first));
    first.len()
}

fn pull_bytes(world: &World) -> u64 {
    world.measures.bytes[KINDS.iter().position(|kind| *kind == "pull").unwrap()]
}

/// Three holders that were each started many times. One of them is away while the others write, which one
/// of them begins to do under a new epoch: what it pulls then is far shorter than the vector.
#[test]
fn a_pull_leaves_out_what_both_know() {
    let mut scenario = Scenario::quiet(5, 3);
    scenario.definitions = vec![Definition::new("old", "**", 3, 3)];
    let mut world = World::new(scenario);
    world.run_for(10 * SECOND);
    for start in 0..STARTS {
        for peer in 0..3 {
            restart(&mut world, peer, 1);
            world.run_for(2 * SECOND);
            world.put(peer, PATH, &format!("{peer}-{}", start % 10), Terms::default());
            world.run_for(SECOND);
        }
    }
    world.run_for(20 * SECOND);
    let before = epochs(&mut world);
    assert!(before >= 3 * STARTS, "{before} epochs");

    for round in 0..20 {
        let bytes = catch_up(&mut world, &[round % 2], round);
        assert!(bytes < 2_000, "round {round}: {bytes} bytes of pulls");
    }
    assert_eq!(unknown(&mut world), 0);
    // Two new epochs at once cannot be told from a sum: the vector is asked for as a whole.
    let bytes = catch_up(&mut world, &[0, 1], 20);
    assert!(bytes > 4_000, "{bytes} bytes of pulls");
    assert!(unknown(&mut world) > 0);
}

/// One peer is away while the others write, some of which were just started anew; the bytes of the pulls
/// that follow.
fn catch_up(world: &mut World, anew: &[usize], round: usize) -> u64 {
    for peer in anew {
        restart(world, *peer, 1);
    }
    restart(world, 2, 20);
    world.run_for(10 * SECOND);
    for peer in 0..2 {
        world.put(peer, PATH, &format!("late {round}"), Terms::default());
    }
    world.run_for(9 * SECOND);
    let bytes = pull_bytes(world);
    world.run_for(10 * SECOND);
    epochs(world);
    pull_bytes(world) - bytes
}

/// How often a vector could not be told from its outline.
fn unknown(world: &mut World) -> u64 {
    let counts = (0..3).filter_map(|peer| {
        world.call(peer, |node, _| node.counters().get("outlines_unknown").copied().unwrap_or(0))
    });
    counts.sum()
}
