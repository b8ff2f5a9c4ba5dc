//! The size limit of a database is shared out: holders that see each other never exceed it together.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

use tidings_core::definition::Definition;
use tidings_core::ident::DatabaseId;
use tidings_core::rows::stored_key;
use tidings_sim::checker::Fate;
use tidings_sim::faults::{Fault, FaultKind};
use tidings_sim::scenario::{Links, SECOND, Scenario};
use tidings_sim::workload::Terms;
use tidings_sim::world::World;

const LIMIT: u64 = 20_000;
const PATH: &str = "small/database";

/// Three holders of a database with a limit, far from each other, and a peer without a copy.
fn world(seed: u64, links: &str) -> World {
    let mut scenario = Scenario::quiet(seed, 4);
    scenario.links = Links::preset(links).unwrap();
    let mut definition = Definition::new("small", "**", 3, 3);
    definition.size = Some(LIMIT);
    scenario.definitions = vec![definition];
    let mut world = World::new(scenario);
    world.run_for(10 * SECOND);
    put(&mut world, 0, "first", 10);
    world.run_for(10 * SECOND);
    world
}

fn put(world: &mut World, peer: usize, key: &str, bytes: usize) -> usize {
    let write = vec![vec![(stored_key(key.as_bytes()), Some(bytes))]];
    world.write(peer, PATH, write, Terms::default())[0]
}

/// The bytes of every copy.
fn sizes(world: &mut World) -> Vec<u64> {
    let mut sizes = Vec::new();
    for peer in 0..4 {
        let size = world.call(peer, |node, _| {
            let ids: Vec<DatabaseId> = node.copies().map(|(id, _)| id).collect();
            let copies = ids.into_iter().filter_map(|id| node.replica(id));
            copies.filter(|copy| &*copy.path == PATH).map(|copy| copy.state.counts.bytes).next()
        });
        sizes.extend(size.flatten());
    }
    sizes
}

fn is_written(world: &World, number: usize) -> bool {
    matches!(world.checker.attempts()[number].fate, Fate::Acknowledged(_))
}

/// All four write at the same time, as fast as they can, until nothing fits: the copies hold what the limit
/// allows, nearly all of it, and no more.
#[test]
fn holders_that_write_at_the_same_time_stay_within_the_limit() {
    for seed in 1..=40 {
        for links in ["lan", "wan"] {
            let mut world = world(seed, links);
            let mut numbers = Vec::new();
            for round in 0..60 {
                for peer in 0..4 {
                    numbers.push(put(&mut world, peer, &format!("{peer}-{round}"), 200));
                }
                world.run_for(SECOND / 20);
            }
            world.run_for(30 * SECOND);
            let sizes = sizes(&mut world);
            assert_eq!(sizes.len(), 3, "seed {seed}, {links}");
            let fits = |size: &u64| (LIMIT - 600..=LIMIT).contains(size);
            assert!(sizes.iter().all(fits), "seed {seed}, {links}: {sizes:?}");
            let written = numbers.iter().filter(|number| is_written(&world, **number)).count();
            assert!((80..=100).contains(&written), "seed {seed}, {links}: {written} written");
        }
    }
}

/// What one holder needs is given to it, though each had a third of the limit; a delete passes when it is
/// full, and makes room.
#[test]
fn what_is_left_goes_to_who_needs_it() {
    let mut world = world(7, "lan");
    let holder = (0..4).find(|peer| held(&mut world, *peer)).unwrap();
    let large = put(&mut world, holder, "large", 19_000);
    world.run_for(2 * SECOND);
    assert!(is_written(&world, large));
    let more = put(&mut world, holder, "more", 2_000);
    world.run_for(5 * SECOND);
    let fate = &world.checker.attempts()[more].fate;
    assert!(matches!(fate, Fate::Refused), "{fate:?}");

    let delete = vec![vec![(stored_key(b"large"), None)]];
    let delete = world.write(holder, PATH, delete, Terms::default())[0];
    let again = put(&mut world, holder, "more", 2_000);
    world.run_for(5 * SECOND);
    assert!(is_written(&world, delete) && is_written(&world, again));
}

/// A holder that died is not waited for; with it, its share is given to the others.
#[test]
fn a_dead_holder_takes_no_share_along() {
    let mut world = world(3, "lan");
    let holders: Vec<usize> = (0..4).filter(|peer| held(&mut world, *peer)).collect();
    world.inject(&Fault::new(FaultKind::Kill, holders[0]).lasting(600 * SECOND));
    world.run_for(SECOND / 10);
    let large = put(&mut world, holders[1], "large", 19_000);
    world.run_for(3 * SECOND);
    assert!(is_written(&world, large));
}

fn held(world: &mut World, peer: usize) -> bool {
    let held = world.call(peer, |node, _| {
        node.copies().any(|(id, _)| node.replica(id).is_some_and(|copy| &*copy.path == PATH))
    });
    held == Some(true)
}
