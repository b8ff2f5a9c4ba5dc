//! A status counts the databases that have too few copies, or none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

use tidings_core::definition::Definition;
use tidings_core::name::Path;
use tidings_core::node::Place;
use tidings_core::status::Health;
use tidings_sim::faults::{Fault, FaultKind};
use tidings_sim::scenario::{SECOND, Scenario};
use tidings_sim::workload::Terms;
use tidings_sim::world::World;

/// What the living peers say.
fn healths(world: &mut World) -> Vec<Health> {
    (0..3).filter_map(|peer| world.call(peer, |node, _| node.status("").health)).collect()
}

fn holder(world: &mut World, path: &str) -> usize {
    let path = Path::new(path).unwrap();
    let is_here = |place| matches!(place, Some(Place::Here(_)));
    (0..3).find(|peer| is_here(world.call(*peer, |node, now| node.place(&path, now)))).unwrap()
}

#[test]
fn databases_that_lack_copies_are_counted() {
    let mut scenario = Scenario::quiet(1, 3);
    scenario.definitions =
        vec![Definition::new("one", "one/*", 1, 1), Definition::new("three", "three/*", 3, 3)];
    let mut world = World::new(scenario);
    world.run_for(10 * SECOND);
    for database in ["one/a", "three/a", "three/b"] {
        world.put(0, database, "key", Terms::default());
    }
    world.run_for(20 * SECOND);
    assert_eq!(healths(&mut world), [Health::default(); 3]);

    let victim = holder(&mut world, "one/a");
    world.inject(&Fault::new(FaultKind::Kill, victim).lasting(30 * SECOND));
    world.run_for(20 * SECOND);
    let alive = healths(&mut world);
    assert_eq!(alive.len(), 2);
    assert!(alive.iter().all(|health| health.unavailable == 1), "{alive:?}");
    // Each is counted by one of the two.
    assert_eq!(alive.iter().map(|health| health.under_replicated).sum::<u64>(), 2, "{alive:?}");

    world.run_for(40 * SECOND);
    assert_eq!(healths(&mut world), [Health::default(); 3]);

    // Three copies are more than one, for as long as the stability window lasts.
    let lowered = [Definition::new("three", "three/*", 1, 1)];
    world.call(0, |node, now| node.apply(&lowered, now)).unwrap().unwrap();
    world.run_for(5 * SECOND);
    let all = healths(&mut world);
    assert_eq!(all.iter().map(|health| health.over_replicated).sum::<u64>(), 2, "{all:?}");
    world.run_for(300 * SECOND);
    assert_eq!(healths(&mut world), [Health::default(); 3]);
}
