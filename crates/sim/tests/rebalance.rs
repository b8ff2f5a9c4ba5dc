//! Copies move to a peer that comes later, and to nobody else; those that are used stay.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

use tidings_core::definition::Definition;
use tidings_core::name::Path;
use tidings_core::node::Place;
use tidings_core::rows::stored_key;
use tidings_sim::scenario::{Class, SECOND, Scenario};
use tidings_sim::workload::Terms;
use tidings_sim::world::World;

const DATABASES: usize = 60;
const DELAY: u64 = 10;

fn path(n: usize) -> String {
    format!("rebalanced/{n}")
}

fn holds(world: &mut World, peer: usize, n: usize) -> bool {
    let path = Path::new(&path(n)).unwrap();
    matches!(world.call(peer, |node, now| node.place(&path, now)), Some(Place::Here(_)))
}

fn held(world: &mut World, peer: usize) -> usize {
    (0..DATABASES).filter(|n| holds(world, peer, *n)).count()
}

/// Four peers with sixty databases of two copies each, and a fifth one that comes after a minute.
fn joined_by_a_fifth(seed: u64, max: u32, weight: u32) -> World {
    let mut scenario = Scenario::quiet(seed, 4);
    let late = Class { count: 1, starts: 60 * SECOND, weight, ..scenario.peers[0].clone() };
    scenario.peers.push(late);
    scenario.definitions = vec![Definition::new("two", "**", 2, max)];
    scenario.rebalance_delay = DELAY * 1_000;
    scenario.stability_window = 2_000;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    for n in 0..DATABASES {
        world.put(n % 4, &path(n), "key", Terms::default());
    }
    world.run_for(50 * SECOND);
    world
}

fn assert_two_of_each(world: &mut World) {
    for n in 0..DATABASES {
        let holders = (0..5).filter(|peer| holds(world, *peer, n)).count();
        assert_eq!(holders, 2, "copies of {}", path(n));
    }
}

/// A peer that comes later takes its share, whether there may be a third copy or not.
#[test]
fn a_peer_that_comes_later_takes_its_share() {
    for max in [2, 3] {
        let mut world = joined_by_a_fifth(1, max, 100);
        assert_two_of_each(&mut world);
        let before: Vec<Vec<usize>> = (0..DATABASES)
            .map(|n| (0..4).filter(|peer| holds(&mut world, *peer, n)).collect())
            .collect();
        world.run_for(200 * SECOND);
        assert_two_of_each(&mut world);
        // A fifth of the copies, give or take.
        let taken = held(&mut world, 4);
        assert!((12..=36).contains(&taken), "{taken} of {} copies", 2 * DATABASES);
        for (n, before) in before.iter().enumerate() {
            let now: Vec<usize> = (0..4).filter(|peer| holds(&mut world, *peer, n)).collect();
            assert!(now.iter().all(|peer| before.contains(peer)), "{}: {now:?}", path(n));
        }
        let settled = (0..5).map(|peer| held(&mut world, peer)).collect::<Vec<_>>();
        world.run_for(100 * SECOND);
        let later = (0..5).map(|peer| held(&mut world, peer)).collect::<Vec<_>>();
        assert_eq!(settled, later, "nothing moves for ever");
        world.settle();
        assert!(world.checker.violation.is_none(), "{:?}", world.checker.violation);
    }
}

/// A copy that its peer uses stays with it.
#[test]
fn what_is_used_stays() {
    let mut world = joined_by_a_fifth(2, 3, 100);
    let before: Vec<(usize, usize)> = (0..4)
        .flat_map(|peer| (0..DATABASES).map(move |n| (peer, n)))
        .filter(|(peer, n)| holds(&mut world, *peer, *n))
        .collect();
    for _ in 0..40 {
        for (peer, n) in &before {
            world.read(*peer, &path(*n), &stored_key(b"key"));
        }
        world.run_for(5 * SECOND);
    }
    for (peer, n) in before {
        assert!(holds(&mut world, peer, n), "peer {peer} uses {}", path(n));
    }
    assert_eq!(held(&mut world, 4), 0);
}

/// A peer of three times the weight takes three times the share.
#[test]
fn weight_counts() {
    let mut world = joined_by_a_fifth(3, 2, 300);
    world.run_for(300 * SECOND);
    assert_two_of_each(&mut world);
    let (heavy, light) =
        (held(&mut world, 4), (0..4).map(|peer| held(&mut world, peer)).sum::<usize>());
    assert_eq!(heavy + light, 2 * DATABASES);
    assert!(heavy > light / 4, "the heavy one has {heavy}, the other four {light}");
}
