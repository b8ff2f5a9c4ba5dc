//! Processes that are killed lose nothing that they acknowledged. Three peers under load; again and
//! again one of them ends by SIGKILL at a moment that nobody chose, and starts again on what it left.
//! At the end all copies are the same, and every write that was acknowledged is there.
//!
//! `TIDINGS_CRASH_CYCLES` says how often, `TIDINGS_CRASH_SEED` repeats the choices of another run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use support::trio::{PEERS, Trio, encoded, rows, seed};
use support::{tell, try_ask, wait_for};
use tidings_sim::random::Quick;

/// How often a peer is killed, unless the environment says otherwise.
const CYCLES: u64 = 5;
const PATH: &str = "data/crash";
/// One writer for each of the first peers; the last one only receives.
const WRITERS: usize = 2;
/// Every third write is to one of these keys of its writer, over and over.
const LEVELS: u64 = 16;
/// Most acknowledged writes between two kills, and between a kill and the new start.
const PROGRESS: u64 = 400;
/// How long agreement may take at the end.
const AGREEMENT: Duration = Duration::from_mins(2);

/// Where the peers are now. A writer that found nobody waits here for news.
#[derive(Default)]
struct Places {
    addresses: Mutex<[String; PEERS]>,
    news: Condvar,
}

impl Places {
    fn set(&self, index: usize, address: &str) {
        address.clone_into(&mut self.addresses.lock().unwrap()[index]);
        self.news.notify_all();
    }

    fn get(&self, index: usize) -> String {
        self.addresses.lock().unwrap()[index].clone()
    }

    /// Waits until the peer is somewhere else, or for a moment.
    fn wait(&self, index: usize, old: &str) {
        let guard = self.addresses.lock().unwrap();
        let same = |addresses: &mut [String; PEERS]| addresses[index] == old;
        drop(self.news.wait_timeout_while(guard, Duration::from_millis(100), same).unwrap());
    }
}

/// What the peers have acknowledged to one writer.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Keys that are written once.
    once: BTreeMap<String, String>,
    /// Keys that are overwritten: the last number.
    levels: BTreeMap<String, u64>,
    synced: u64,
    failed: u64,
    /// Answers that were neither.
    refused: BTreeMap<String, u64>,
}

/// Writes through one peer until told to stop: half of it synced, a third of it overwriting.
fn write(writer: usize, places: &Places, stop: &AtomicBool, progress: &AtomicU64) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let mut number = 0_u64;
    while !stop.load(Relaxed) {
        number += 1;
        let synced = number.is_multiple_of(2);
        let overwrites = number.is_multiple_of(3);
        let (key, value) = if overwrites {
            (format!("level/{writer}/{}", number % LEVELS), number.to_string())
        } else {
            let key = format!("once/{writer}/{number:07}");
            (key.clone(), format!("{key} was written once"))
        };
        let durability = if synced { "synced" } else { "buffered" };
        let target = format!(
            "/v1/databases/{}/keys/{}?durability={durability}",
            encoded(PATH),
            encoded(&key)
        );
        let address = places.get(writer);
        let host = [format!("Host: {address}")];
        match try_ask(&address, "PUT", &target, &host, value.as_bytes()) {
            Ok(answer) if answer.status == 200 => {
                acknowledged.synced += u64::from(synced);
                if overwrites {
                    acknowledged.levels.insert(key, number);
                } else {
                    acknowledged.once.insert(key, value);
                }
                progress.fetch_add(1, Relaxed);
            }
            Ok(answer) if answer.status != 0 => {
                let why = answer.json()["detail"].to_string();
                *acknowledged.refused.entry(why).or_default() += 1;
            }
            _ => {
                acknowledged.failed += 1;
                places.wait(writer, &address);
            }
        }
    }
    acknowledged
}

/// Waits for this many more acknowledged writes.
fn let_work(progress: &AtomicU64, writes: u64) {
    let goal = progress.load(Relaxed) + writes;
    wait_for("progress of the writers", || (progress.load(Relaxed) >= goal).then_some(()));
}

/// Kills and restarts on and on, and gives how long the starts took.
fn rage(
    trio: &mut Trio,
    places: &Places,
    progress: &AtomicU64,
    random: &mut Quick,
    cycles: u64,
) -> Vec<u128> {
    let mut starts = Vec::new();
    for _ in 0..cycles {
        let_work(progress, random.below(PROGRESS));
        let victim = random.below(PEERS as u64) as usize;
        trio.kill(victim);
        let_work(progress, random.below(PROGRESS));
        let started = Instant::now();
        trio.restart(victim);
        starts.push(started.elapsed().as_millis());
        places.set(victim, &trio.peer(victim).http);
    }
    starts
}

/// What was acknowledged and is not there.
fn missing(
    acknowledged: &[Acknowledged],
    rows: &BTreeMap<String, (String, String)>,
) -> Vec<String> {
    let value = |key: &String| rows.get(key).map(|(value, _)| value.clone());
    let mut missing = Vec::new();
    for writer in acknowledged {
        let once =
            writer.once.iter().filter(|(key, written)| value(key).as_ref() != Some(*written));
        missing.extend(once.map(|(key, _)| format!("{key}: {:?}", value(key))));
        for (key, last) in &writer.levels {
            let found = value(key).and_then(|value| value.parse::<u64>().ok());
            if found.is_none_or(|found| found < *last) {
                missing.push(format!("{key}: {last} was acknowledged, {found:?} is there"));
            }
        }
    }
    missing
}

/// See above.
#[test]
fn killed_peers_lose_nothing_that_they_acknowledged() {
    let cycles = std::env::var("TIDINGS_CRASH_CYCLES").map_or(CYCLES, |n| n.parse().unwrap());
    let seed = seed("TIDINGS_CRASH_SEED");
    tell(&format!("crash: {cycles} cycles, TIDINGS_CRASH_SEED={seed}"));
    let mut random = Quick::new(seed, &[]);
    let mut trio = Trio::start();
    let places = Places::default();
    for index in 0..PEERS {
        places.set(index, &trio.peer(index).http);
    }
    let (stop, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    let (starts, acknowledged) = std::thread::scope(|scope| {
        let (places, stop, progress) = (&places, &stop, &progress);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(writer, places, stop, progress)))
            .collect();
        let raged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rage(&mut trio, places, progress, &mut random, cycles)
        }));
        // Also when something failed: the writers must end for this to end.
        stop.store(true, Relaxed);
        let acknowledged: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        (raged.unwrap_or_else(|why| std::panic::resume_unwind(why)), acknowledged)
    });
    let raged = started.elapsed();

    let stopped = Instant::now();
    trio.meet();
    let (status, _) = trio.converge(PATH, AGREEMENT);
    let took = stopped.elapsed();
    let first = rows(trio.peer(0), PATH);
    for index in 1..PEERS {
        let other = rows(trio.peer(index), PATH);
        let differ: Vec<_> = first
            .keys()
            .chain(other.keys())
            .filter(|key| first.get(*key) != other.get(*key))
            .map(|key| format!("{key}: {:?}, {:?}", first.get(key), other.get(key)))
            .collect();
        assert!(differ.is_empty(), "seed {seed}: peers 0 and {index} differ in {differ:#?}");
    }
    let missing = missing(&acknowledged, &first);
    assert!(
        missing.is_empty(),
        "seed {seed}: {} acknowledged writes are not there: {missing:#?}",
        missing.len()
    );
    assert_eq!(status["entries"], first.len());
    for peer in trio.peers() {
        let log = peer.log();
        assert!(!log.contains("panicked"), "seed {seed}: {log}");
    }
    let sum = |count: fn(&Acknowledged) -> u64| acknowledged.iter().map(count).sum::<u64>();
    tell(&format!(
        "crash: {} writes acknowledged ({} synced), {} without answer, refused {:?}; {} rows; \
         {cycles} kills in {raged:?}, starts took {starts:?} ms, agreement {took:?}",
        progress.load(Relaxed),
        sum(|a| a.synced),
        sum(|a| a.failed),
        acknowledged.iter().map(|a| &a.refused).collect::<Vec<_>>(),
        first.len(),
    ));
}
