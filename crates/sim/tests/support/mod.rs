//! What the tests of whole worlds share.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

use tidings_core::name::Path;
use tidings_core::node::Place;
use tidings_sim::checker::Fate;
use tidings_sim::world::World;

/// The database that these tests use.
pub(crate) const PATH: &str = "a";

/// The peers that hold a usable copy of it.
pub(crate) fn holders(world: &mut World) -> Vec<usize> {
    let path = Path::new(PATH).unwrap();
    let all = 0..world.processes.len();
    all.filter(|index| {
        let place = world.call(*index, |node, now| node.place(&path, now));
        matches!(place, Some(Place::Here(_)))
    })
    .collect()
}

/// What became of the n-th write.
pub(crate) fn fate(world: &World, number: usize) -> Fate {
    world.checker.attempts()[number].fate
}

/// Everyone gets well, agrees, and has everything acknowledged.
pub(crate) fn settles(mut world: World) -> World {
    world.settle();
    if let Some(violation) = &world.checker.violation {
        world.describe();
        panic!("{violation}");
    }
    world
}
