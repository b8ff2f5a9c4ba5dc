//! Each kind of fault does what it says, and the peers get over it.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use support::{PATH, fate, holders, settles};
use tidings_core::definition::Definition;
use tidings_core::error::Error;
use tidings_core::name::Path;
use tidings_core::store::Space;
use tidings_sim::checker::Fate;
use tidings_sim::faults::{Change, Fault, FaultKind};
use tidings_sim::scenario::{Class, MILLISECOND, SECOND, Scenario};
use tidings_sim::workload::Terms;
use tidings_sim::world::World;

/// Peers that know each other, and one database of which there are `min` copies.
fn running(seed: u64, peers: usize, min: u32, max: u32) -> World {
    let mut scenario = Scenario::quiet(seed, peers);
    scenario.definitions = vec![Definition::new("some", "**", min, max)];
    scenario.replacement_delay = 2_000;
    scenario.stability_window = 2_000;
    scenario.duration = 1_000 * SECOND;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.put(0, PATH, "first", Terms::default());
    world.run_for(5 * SECOND);
    assert_eq!(holders(&mut world).len(), min as usize);
    world
}

fn change(min: u32, max: u32, size: Option<u64>) -> Change {
    Change { definition: "some".into(), copies: (min, max), size }
}

fn redefine(world: &mut World, peer: usize, change: Change) {
    world.inject(&Fault { change, ..Fault::new(FaultKind::Redefine, peer) });
}

fn runs(world: &World, peer: usize) -> bool {
    world.processes[peer].node.is_some()
}

/// More copies come into being when `min` is raised, and are given back when `max` is lowered; a
/// lower limit of size refuses what was allowed, and takes nothing away.
#[test]
fn a_changed_definition_is_followed() {
    let mut world = running(1, 5, 2, 3);
    redefine(&mut world, 3, change(4, 5, None));
    world.run_for(20 * SECOND);
    assert_eq!(holders(&mut world).len(), 4);
    redefine(&mut world, 1, change(1, 2, Some(60)));
    world.run_for(60 * SECOND);
    assert_eq!(holders(&mut world).len(), 2);
    let one = world.put(0, PATH, "second", Terms::default());
    world.run_for(SECOND);
    let two = world.put(0, PATH, "third", Terms::default());
    world.run_for(SECOND);
    assert!(matches!(fate(&world, one), Fate::Acknowledged(_)), "{:?}", fate(&world, one));
    assert_eq!(fate(&world, two), Fate::Refused);
    settles(world);
}

/// A removed definition closes opens and keeps data; somebody applies it again.
#[test]
fn a_removed_definition_keeps_data() {
    let mut world = running(2, 3, 3, 3);
    let away = Fault::new(FaultKind::Undefine, 1).lasting(20 * SECOND);
    world.inject(&Fault { change: change(1, 1, None), ..away });
    world.run_for(5 * SECOND);
    let path = Path::new(PATH).unwrap();
    for peer in 0..3 {
        let opened = world.call(peer, |node, _| node.open(&path)).unwrap();
        assert!(matches!(opened, Err(Error::NoMatch { .. })), "{opened:?}");
    }
    let new = world.put(0, "new", "key", Terms::default());
    assert_eq!(fate(&world, new), Fate::Refused);
    assert_eq!(holders(&mut world).len(), 3);
    world.run_for(20 * SECOND);
    assert!(world.call(0, |node, _| node.open(&path)).unwrap().is_ok());
    settles(world);
}

/// One removed for good stays removed, also where peers restart that would apply it.
#[test]
fn a_definition_removed_for_good_stays_removed() {
    let mut world = running(3, 3, 3, 3);
    let away = Fault::new(FaultKind::Undefine, 1);
    world.inject(&Fault { change: change(1, 1, None), ..away });
    world.inject(&Fault::new(FaultKind::Kill, 0).lasting(SECOND));
    let mut world = settles(world);
    assert_eq!(world.call(2, |node, _| node.definitions()), Some(Vec::new()));
    assert_eq!(holders(&mut world).len(), 3);
}

/// Changed on both sides of a cut: afterwards all have one of both, and the copies that it wants.
#[test]
fn definitions_changed_on_both_sides_of_a_cut_agree() {
    let mut world = running(4, 6, 3, 4);
    world.partition(&[0, 1, 2], &[3, 4, 5]);
    redefine(&mut world, 0, change(1, 1, None));
    world.run_for(30 * SECOND);
    redefine(&mut world, 5, change(5, 6, Some(9_000)));
    world.run_for(30 * SECOND);
    world.heal();
    let mut world = settles(world);
    assert!(world.sometimes.count("definition changed unseen") > 0);
    let defined = world.call(1, |node, _| node.definitions()).unwrap();
    assert_eq!((defined[0].replication.min, defined[0].size), (5, Some(9_000)), "the later one");
}

/// A peer with an empty disk joins in the middle of a run.
#[test]
fn a_late_peer_joins() {
    let mut scenario = Scenario::quiet(5, 3);
    scenario.peers = vec![Class::of(2), Class { starts: 20 * SECOND, ..Class::of(1) }];
    scenario.duration = 100 * SECOND;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.put(0, PATH, "first", Terms::default());
    world.run_for(10 * SECOND);
    assert!(!runs(&world, 2));
    world.run_for(20 * SECOND);
    assert_eq!(holders(&mut world), [0, 1, 2]);
    assert_eq!(world.sometimes.count("peer joined late"), 1);
    settles(world);
}

/// A process comes back as another peer with an empty disk, and holds copies again.
#[test]
fn a_new_identity_joins() {
    let mut world = running(6, 3, 3, 3);
    let before = world.processes[1].peer;
    world.inject(&Fault::new(FaultKind::NewIdentity, 1).lasting(SECOND));
    assert!(world.processes[1].disk.look().len(Space::Data) == 0);
    world.run_for(20 * SECOND);
    assert_ne!(world.processes[1].peer, before);
    assert_eq!(holders(&mut world), [0, 1, 2]);
    let number = world.put(1, PATH, "key", Terms::default());
    assert!(matches!(fate(&world, number), Fate::Acknowledged(_)));
    settles(world);
}

/// All but one are stopped, what that one writes is everywhere later.
#[test]
fn one_peer_alone_goes_on() {
    let mut world = running(7, 4, 4, 4);
    world.inject(&Fault::new(FaultKind::OnlyOne, 2).lasting(30 * SECOND));
    assert_eq!((0..4).filter(|peer| runs(&world, *peer)).collect::<Vec<_>>(), [2]);
    world.run_for(10 * SECOND);
    let number = world.put(2, PATH, "key", Terms::default());
    world.run_for(30 * SECOND);
    assert_eq!(holders(&mut world).len(), 4);
    let world = settles(world);
    assert!(matches!(fate(&world, number), Fate::Acknowledged(_)));
}

/// All processes end and start several times within seconds.
#[test]
fn a_storm_passes() {
    let mut world = running(8, 4, 4, 4);
    let before: Vec<u64> = world.processes.iter().map(|process| process.life).collect();
    world.inject(&Fault { amount: 5, ..Fault::new(FaultKind::Storm, 0) });
    world.run_for(10 * SECOND);
    for (process, before) in world.processes.iter().zip(before) {
        assert!(process.life >= before + 4, "{} after {before}", process.life);
    }
    settles(world);
}

/// A drifting clock does not jump, a frozen one stands still and is right again, and one that is
/// set back before a start is off from then on.
#[test]
fn clocks_drift_freeze_and_start_wrong() {
    let mut world = running(9, 3, 3, 3);
    let wall =
        |world: &World, peer: usize| world.processes[peer].clocks(world.now).wall.cast_signed();
    let (before, right) = (wall(&world, 1), wall(&world, 0));
    world.inject(&Fault { amount: 5_000, ..Fault::new(FaultKind::ClockDrift, 1) });
    assert_eq!(wall(&world, 1), before);
    world.run_for(20 * SECOND);
    let gained = (wall(&world, 1) - before) - (wall(&world, 0) - right);
    assert!((95..=105).contains(&gained), "{gained} ms in 20 s");

    let before = wall(&world, 2);
    world.inject(&Fault::new(FaultKind::ClockFreeze, 2).lasting(3 * SECOND));
    world.run_for(2 * SECOND);
    assert_eq!(wall(&world, 2), before);
    let one = world.put(2, PATH, "key", Terms::default());
    let two = world.put(2, PATH, "key", Terms::default());
    world.run_for(2 * SECOND);
    assert!((wall(&world, 2) - before - 4_000).abs() < 10);
    for number in [one, two] {
        assert!(matches!(fate(&world, number), Fate::Acknowledged(_)));
    }

    world.inject(&Fault::new(FaultKind::ClockRestart, 0).lasting(SECOND));
    assert!(!runs(&world, 0));
    world.run_for(5 * SECOND);
    assert!(runs(&world, 0) && wall(&world, 0) < wall(&world, 2) - 3_590_000);
    settles(world);
}

/// A process whose disk is full, or whose commits fail, ends; it comes back when the disk works again,
/// and not before.
#[test]
fn a_disk_that_does_not_work_stops_its_peer() {
    for kind in [FaultKind::DiskFull, FaultKind::CommitsFail] {
        let mut world = running(10, 3, 3, 3);
        world.inject(&Fault::new(kind, 1).lasting(20 * SECOND));
        world.put(1, PATH, "key", Terms::default());
        for _ in 0..15 {
            world.run_for(SECOND);
            assert!(!runs(&world, 1), "{}", kind.word());
        }
        assert!(world.sometimes.count("start failed") > 5);
        world.run_for(10 * SECOND);
        assert!(runs(&world, 1));
        assert_eq!(holders(&mut world).len(), 3);
        settles(world);
    }
}

/// A sync or a read that fails ends the process, as does a kill in the middle of an operation; each
/// starts again.
#[test]
fn a_failed_operation_ends_the_process() {
    for (kind, name) in [
        (FaultKind::SyncFails, "sync failed"),
        (FaultKind::ReadFails, "read failed"),
        (FaultKind::KillAt, "killed in an operation"),
    ] {
        let mut world = running(11, 3, 3, 3);
        let life = world.processes[1].life;
        let fault = Fault::new(kind, 1);
        world.inject(&if kind.has_time() { fault.lasting(SECOND) } else { fault });
        for n in 0..5 {
            world.put(1, PATH, &format!("key{n}"), Terms::default());
            world.run_for(2 * SECOND);
        }
        assert!(world.processes[1].life > life, "{}", kind.word());
        assert_eq!(world.sometimes.count(name), 1, "{name}");
        settles(world);
    }
}

/// Copies are given back although a peer that holds none comes and goes more often than the stability
/// window.
#[test]
fn a_restless_stranger_keeps_nobody_from_leaving() {
    let mut world = running(15, 6, 4, 4);
    let held = holders(&mut world);
    let stranger = (0..6).rfind(|peer| !held.contains(peer)).unwrap();
    redefine(&mut world, held[0], change(1, 2, None));
    for _ in 0..40 {
        world.inject(&Fault::new(FaultKind::CleanStop, stranger).lasting(200 * MILLISECOND));
        world.run_for(1_500 * MILLISECOND);
    }
    assert_eq!(holders(&mut world).len(), 2);
    settles(world);
}

/// A directory that was copied from another peer is used under the own identity.
#[test]
fn a_copied_directory_is_used() {
    let mut world = running(12, 3, 3, 3);
    world.put(1, PATH, "key", Terms::default());
    world.inject(&Fault { other: 1, ..Fault::new(FaultKind::Clone, 2) }.lasting(SECOND));
    assert_eq!(world.processes[1].disk.image(), world.processes[2].disk.image());
    world.run_for(5 * SECOND);
    assert!(runs(&world, 2));
    world.put(2, PATH, "key", Terms::default());
    settles(world);
}

/// Two groups meet through one peer: what one writes is with the other at once, and no direct
/// connection is left.
#[test]
fn a_bridge_carries_everything() {
    let mut world = running(13, 5, 5, 5);
    let bridge = Fault { side: vec![0, 1], ..Fault::new(FaultKind::Bridge, 2) };
    world.inject(&bridge.lasting(60 * SECOND));
    world.run_for(30 * SECOND);
    assert!(world.network.between(0, 3).is_none() && world.network.between(1, 4).is_none());
    assert!(world.network.between(0, 2).is_some() && world.network.between(2, 4).is_some());
    let number = world.put(0, PATH, "key", Terms::default());
    world.run_for(2 * SECOND);
    let (id, key, stamp) = world.checker.stamp_of(number).unwrap();
    let key = key.to_vec();
    let node = world.processes[4].node.as_ref().unwrap();
    let prefix = node.replica(id).unwrap().prefix;
    let record = tidings_core::read::read_record(node.store(), prefix, &key).unwrap().unwrap();
    assert_eq!(record.stamp(), stamp);
    settles(world);
}

/// A connection breaks in the middle of what is on its way, and the rest comes over the next one.
#[test]
fn a_cut_off_connection_is_made_again() {
    let mut world = running(14, 2, 2, 2);
    for _ in 0..20 {
        for n in 0..10 {
            world.put(0, PATH, &format!("key{n}"), Terms::default());
        }
        let before = world.network.between(0, 1);
        world.inject(&Fault { other: 1, ..Fault::new(FaultKind::Truncate, 0) });
        world.run_for(50 * MILLISECOND);
        assert_ne!(world.network.between(0, 1), before);
        world.run_for(3 * SECOND);
    }
    assert!(world.sometimes.count("frame cut off") > 0);
    settles(world);
}

const HOSTILE: &str = r#"
duration = "20s"
peers = { count = 4 }
definitions = [{ name = "some", matcher = "**", replication = { min = 3, max = 3 } }]
workload = { rate = 20, databases = 2, path = "hostile/{}", keys = 10 }
timeline = [{ at = "5s", fault = "hostile", peer = 1, for = "10s" }]
"#;

/// A peer with the secret does harm: it is noticed, its writes are in, and nobody else is worse off.
#[test]
fn a_hostile_peer_harms_nobody() {
    let scenario = Scenario::from_toml("here", HOSTILE).unwrap();
    let report = tidings_sim::run::run(scenario);
    assert!(report.violation.is_none(), "{report}");
    for what in ["fault hostile", "hostile write", "hostile peer noticed", "core peer_mistakes"] {
        assert!(report.sometimes.count(what) > 0, "{what}");
    }
}
