//! The simulated world: it is deterministic, a part of the swarm converges, and each accident that a
//! well-known peer system once had is survived.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

mod support;

use support::{PATH, fate, holders, settles};
use tidings_core::definition::{Definition, Durability};
use tidings_core::name::Path;
use tidings_core::node::Place;
use tidings_core::rows::stored_key;
use tidings_sim::checker::Fate;
use tidings_sim::disk::{Crash, Image};
use tidings_sim::faults::FaultKind;
use tidings_sim::network::Trouble;
use tidings_sim::run::{Report, run};
use tidings_sim::scenario::{MILLISECOND, SECOND, Scenario};
use tidings_sim::workload::Terms;
use tidings_sim::world::World;

/// Peers that know each other, with one database that all of them hold.
fn running(seed: u64, peers: usize) -> World {
    let mut world = World::new(Scenario::quiet(seed, peers));
    world.run_for(5 * SECOND);
    world.put(0, PATH, "first", Terms::default());
    world.run_for(5 * SECOND);
    assert_eq!(holders(&mut world).len(), peers, "everyone joined");
    world
}

fn swarm(seed: u64) -> Report {
    run(Scenario::swarm(seed))
}

/// Seeds of the swarm keep every invariant.
#[test]
fn the_swarm_keeps_the_invariants() {
    for seed in 1..=12 {
        let report = swarm(seed);
        assert!(report.violation.is_none(), "{report}");
    }
}

/// Seeds that once broke something: see `docs/bugs-found.md`.
#[test]
fn what_was_found_stays_fixed() {
    for seed in [2, 4, 13, 22, 46, 70, 133, 190, 445, 672, 788, 938, 979, 1061, 7449] {
        let report = swarm(seed);
        assert!(report.violation.is_none(), "{report}");
    }
}

/// What was shrunk to a few events from seeds that broke stays fixed.
#[test]
fn what_was_shrunk_stays_fixed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/found");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = Scenario::from_toml(&path.display().to_string(), &text).unwrap();
        let report = tidings_sim::run::run(scenario);
        assert!(report.violation.is_none(), "{}: {report}", path.display());
        count += 1;
    }
    assert!(count >= 2, "{folder} has {count} scenarios");
}

/// Three peers and no faults: a write reaches everyone within a moment.
#[test]
fn a_quiet_cluster_converges_at_once() {
    let mut world = running(1, 3);
    let number = world.put(1, PATH, "key", Terms::default());
    world.run_for(50 * MILLISECOND);
    assert!(matches!(fate(&world, number), Fate::Acknowledged(_)));
    assert!(world.unsettled().is_none());
    settles(world);
}

/// Acceptance 1: a peer loses power with a tail that was pushed already; the same key is overwritten
/// under its next epoch, and the lost tail comes back from the others.
#[test]
fn a_pushed_tail_lost_to_a_power_cut_comes_back() {
    let mut world = running(2, 3);
    let synced = Terms { durability: Some(Durability::Synced), acks: 1 };
    world.put(0, PATH, "kept", synced);
    world.run_for(SECOND);
    let lost: Vec<usize> =
        (0..5).map(|n| world.put(0, PATH, &format!("tail{n}"), Terms::default())).collect();
    world.run_for(100 * MILLISECOND);
    world.crash(0, Crash::PowerKeeping(0));
    world.start_later(0, SECOND);
    world.run_for(3 * SECOND);
    world.put(0, PATH, "tail0", Terms::default());
    world.run_for(SECOND);
    let world = settles(world);
    for number in lost {
        assert!(matches!(fate(&world, number), Fate::Acknowledged(_)), "nothing was excused");
    }
}

/// Acceptance 2: a directory rolled back to an old image, one put in place of another peer's, one
/// copied for a second process of the same identity, and one wiped.
#[test]
fn old_copied_and_wiped_directories_do_no_harm() {
    let mut world = running(3, 4);
    let image: Image = world.processes[1].disk.image();
    for n in 0..20 {
        world.put(n % 4, PATH, &format!("key{n}"), Terms::default());
    }
    world.run_for(2 * SECOND);
    world.rollback(1, &image);
    world.start_later(1, SECOND);
    world.run_for(5 * SECOND);
    world.put(1, PATH, "key3", Terms::default());
    world.run_for(2 * SECOND);

    let copied = world.processes[1].disk.image();
    world.rollback(2, &copied);
    world.start_later(2, SECOND);
    world.run_for(5 * SECOND);
    world.put(2, PATH, "key4", Terms::default());

    world.wipe(3);
    world.start_later(3, SECOND);
    world.run_for(10 * SECOND);
    assert_eq!(holders(&mut world).len(), 4, "the wiped peer joined again");
    settles(world);
}

/// Acceptance 2: a copied directory runs beside the original, under the same identity; once one of
/// them stops, everything that either accepted is everywhere.
#[test]
fn a_clone_beside_its_original_does_no_harm() {
    let mut world = running(4, 3);
    let image = world.processes[0].disk.image();
    let twin = world.add_process(Some(0));
    world.rollback(twin, &image);
    world.partition(&[0], &[1, 2]);
    world.run_for(20 * SECOND);
    world.start(twin);
    world.run_for(10 * SECOND);
    for n in 0..5 {
        world.put(twin, PATH, &format!("key{n}"), Terms::default());
        world.put(0, PATH, &format!("key{n}"), Terms::default());
        world.run_for(SECOND);
    }
    world.heal();
    world.run_for(20 * SECOND);
    world.crash(twin, Crash::Process);
    world.processes[twin].dead = true;
    settles(world);
}

/// Clones that the others can reach are told of each other, refuse writes while both run, whatever
/// they are connected to, and go on replicating; the one that is left accepts writes again. Nothing that
/// was acknowledged before is lost.
#[test]
fn clones_refuse_writes_until_one_stops() {
    for (peers, seed) in [(2, 11), (3, 12), (4, 13)] {
        let mut world = running(seed, peers);
        let image = world.processes[0].disk.image();
        let twin = world.add_process(Some(0));
        world.rollback(twin, &image);
        world.start(twin);
        for n in 0..5 {
            world.put(n % 2 * twin, PATH, &format!("key{n}"), Terms::default());
            world.run_for(SECOND);
        }
        world.run_for(40 * SECOND);
        for n in 0..60 {
            let clone = n % 2 * twin;
            assert!(world.processes[clone].node.as_ref().unwrap().is_cloned(), "{peers} {n}");
            let number = world.checker.attempts().len();
            world.put(clone, PATH, &format!("refused{n}"), Terms::default());
            assert_eq!(fate(&world, number), Fate::Refused, "{peers} {n}");
            world.put(1, PATH, &format!("other{n}"), Terms::default());
            world.run_for(SECOND);
        }
        let stopped = [0, twin][peers % 2];
        world.crash(stopped, Crash::Process);
        world.processes[stopped].dead = true;
        world.run_for(45 * SECOND);
        let number = world.checker.attempts().len();
        world.put(twin - stopped, PATH, "after", Terms::default());
        world.run_for(SECOND);
        assert!(matches!(fate(&world, number), Fate::Acknowledged(_)), "{peers}");
        settles(world);
    }
}

/// Acceptance 3: 30 % of frames lost, as many doubled and overtaken: no write is lost.
#[test]
fn lost_doubled_and_overtaken_frames_lose_no_write() {
    let mut world = running(5, 4);
    world.network.trouble =
        Trouble { loss: 300_000, duplicate: 300_000, reorder: 300_000, ..Trouble::default() };
    for n in 0..100 {
        world.put(n % 4, PATH, &format!("key{}", n % 30), Terms::default());
        world.run_for(50 * MILLISECOND);
    }
    world.network.trouble = Trouble::default();
    let began = world.now;
    while world.unsettled().is_some() && world.now < began + 60 * SECOND {
        world.run_for(100 * MILLISECOND);
    }
    let took = world.now - began;
    assert!(took < 40 * SECOND, "{} ms until everyone agreed", took / MILLISECOND);
    let world = settles(world);
    let refused = world.checker.attempts().iter().filter(|a| a.fate == Fate::Refused).count();
    assert_eq!(refused, 0);
}

/// Acceptance 6: rows vanish behind the engine of one holder: it heals, and the others keep theirs.
#[test]
fn vanished_rows_come_back() {
    let mut world = running(6, 3);
    for n in 0..60 {
        world.put(n % 3, PATH, &format!("key{n}"), Terms::default());
    }
    world.run_for(2 * SECOND);
    world.vanish(1, 20);
    world.start_later(1, SECOND);
    world.run_for(20 * SECOND);
    let world = settles(world);
    let excused = world.checker.attempts().iter().any(|a| matches!(a.fate, Fate::Excused(_)));
    assert!(!excused, "the others had everything");
}

/// Acceptance 7: one clock jumps an hour ahead and one an hour back: what they wrote can still be
/// overwritten by whoever saw it, and they go on replicating.
#[test]
fn wrong_clocks_keep_no_value_for_ever() {
    let mut world = running(7, 4);
    for jump in [3_600_000, -3_600_000] {
        world.processes[1].wall_offset = jump;
        world.put(1, PATH, "key", Terms::default());
        world.run_for(200 * MILLISECOND);
        let after = world.put(2, PATH, "key", Terms::default());
        assert!(matches!(fate(&world, after), Fate::Acknowledged(_)));
        world.run_for(10 * SECOND);
        let refused = world.put(1, PATH, "key", Terms::default());
        assert_eq!(fate(&world, refused), Fate::Refused, "it knows that its clock is off");
    }
    world.processes[1].wall_offset = 0;
    world.run_for(10 * SECOND);
    let number = world.put(1, PATH, "key", Terms::default());
    assert!(matches!(fate(&world, number), Fate::Acknowledged(_)), "the clock is right again");
    settles(world);
}

/// Acceptance 8: six peers cut in half; both sides replace copies, write and create; nothing is lost
/// once they meet again. (Copies beyond `max` are given back by a later feature.)
#[test]
fn both_halves_of_a_cut_write_and_meet_again() {
    let mut scenario = Scenario::quiet(8, 6);
    scenario.definitions = vec![Definition::new("some", "**", 3, 4)];
    scenario.replacement_delay = 3_000;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.put(0, PATH, "first", Terms::default());
    world.run_for(5 * SECOND);
    world.partition(&[0, 1, 2], &[3, 4, 5]);
    world.run_for(30 * SECOND);
    for n in 0..30 {
        world.put(n % 6, PATH, &format!("key{}", n % 10), Terms::default());
        world.put(n % 6, "created/on both sides", &format!("key{n}"), Terms::default());
        world.run_for(500 * MILLISECOND);
    }
    world.heal();
    world.run_for(5 * SECOND);
    let world = settles(world);
    let kept =
        world.checker.attempts().iter().filter(|a| matches!(a.fate, Fate::Acknowledged(_))).count();
    assert!(kept > 40, "both sides wrote: {kept}");
}

/// Acceptance 14, small: a holder that joins a large database while others write to it ends with
/// the same rows, and counts only then.
#[test]
fn a_joiner_under_load_ends_equal() {
    let mut scenario = Scenario::quiet(14, 3);
    scenario.definitions = vec![Definition::new("two", "**", 2, 3)];
    scenario.replacement_delay = 2_000;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    for n in 0..3_000 {
        let key = stored_key(format!("key{n}").as_bytes());
        world.write(0, PATH, vec![vec![(key, Some(300))]], Terms::default());
        if n % 200 == 0 {
            world.run_for(50 * MILLISECOND);
        }
    }
    world.run_for(5 * SECOND);
    let holder = (1..3).find(|i| {
        let path = Path::new(PATH).unwrap();
        matches!(world.call(*i, |node, now| node.place(&path, now)), Some(Place::Here(_)))
    });
    world.crash(holder.unwrap(), Crash::Process);
    for n in 0..400 {
        world.put(0, PATH, &format!("more{n}"), Terms::default());
        world.run_for(50 * MILLISECOND);
    }
    assert_eq!(holders(&mut world).len(), 2, "somebody took the place of the dead one");
    settles(world);
}

/// A stop that lasts a while refuses writes, so that the next start issues no stamp twice.
#[test]
fn a_stopping_peer_refuses_writes() {
    let mut world = running(15, 2);
    world.stop(0);
    let number = world.put(0, PATH, "key", Terms::default());
    assert_eq!(fate(&world, number), Fate::Refused);
    settles(world);
}

/// Every kind of fault by itself, many times: the world survives each.
#[test]
fn every_fault_alone_is_survived() {
    for kind in FaultKind::ALL {
        let mut scenario = Scenario::quiet(100, 4);
        scenario.faults.kinds.insert(kind);
        scenario.faults.every = 2 * SECOND;
        scenario.load.rate = 30_000;
        scenario.duration = 30 * SECOND;
        let report = run(scenario);
        assert!(report.violation.is_none(), "{}: {report}", kind.name());
        assert!(report.sometimes.count(&kind.name()) > 0, "{} never happened", kind.name());
    }
}

/// A wiped holder of large values pulls more than a queue of the driver holds: it joins all the same.
#[test]
fn large_values_pass_through_a_bounded_queue() {
    let mut world = running(16, 2);
    for n in 0..12 {
        let key = stored_key(format!("large{n}").as_bytes());
        world.write(0, PATH, vec![vec![(key, Some(4 << 20))]], Terms::default());
        world.run_for(SECOND);
    }
    world.wipe(1);
    world.start_later(1, SECOND);
    world.run_for(60 * SECOND);
    assert_eq!(holders(&mut world).len(), 2, "the wiped peer joined again");
    settles(world);
}

/// A tombstone vanishes from the disk of one holder. Another one, that still has the value, meets only
/// that one, and nobody else is left who knows of the delete: the damaged copy has heard of it again
/// before.
#[test]
fn a_vanished_tombstone_lets_nothing_rise() {
    let mut tried = 0;
    for seed in 1..=6 {
        let mut world = running(seed, 3);
        world.partition(&[2], &[0, 1]);
        let delete = world.delete(0, PATH, "first");
        world.run_for(2 * SECOND);
        assert!(matches!(fate(&world, delete), Fate::Acknowledged(_)));
        world.vanish(1, 50);
        world.start_later(1, SECOND);
        world.run_for(10 * SECOND);
        world.crash(0, Crash::Process);
        world.heal();
        world.run_for(30 * SECOND);
        let key = stored_key(b"first");
        let holds = |world: &World, peer: usize| {
            let node = world.processes[peer].node.as_ref().unwrap();
            let path = Path::new(PATH).unwrap();
            let now = tidings_core::clock::Now { monotonic: u64::MAX, wall: 0 };
            let prefix = match node.place(&path, now) {
                Place::Here(prefix) => prefix,
                place => panic!("peer {peer} has {PATH} at {place:?}"),
            };
            let record = tidings_core::read::read_record(node.store(), prefix, &key).unwrap();
            record.is_some_and(|record| record.is_live())
        };
        tried += usize::from(world.sometimes.count("alarm damaged") > 0);
        assert!(!holds(&world, 1) && !holds(&world, 2), "it rose with seed {seed}");
    }
    assert!(tried > 0, "no tombstone vanished");
}
