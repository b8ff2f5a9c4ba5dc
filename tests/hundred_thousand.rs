//! 100,000 databases on five real peers: what they cost while nobody uses them, how soon a hundred that
//! are touched are the same at their holders, and how fast a lost peer's copies are restored.
//!
//! It prints a table of figures beside their targets, and fails only where the peers do not come to
//! rest. It takes some minutes and some GB of disk, so it runs when it is asked for:
//! `cargo test --release --test hundred_thousand -- --ignored --nocapture`
//! `TIDINGS_DATABASES` is the number of databases, `TIDINGS_IDLE` how many seconds of idleness are
//! measured, and `TIDINGS_CACHED` how many records fill the caches of the stores before; with 0, the
//! growth of memory is that of the caches, too.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scale;
mod support;

use std::time::{Duration, Instant};

use scale::{Figures, Usage, await_seldom, counted, greatest, stands_still, status};
use serde_json::Value;
use support::trio::encoded;
use support::{Peer, tell, wait_within};
use tidings_gateway::Client;
use tidings_gateway::client::Write;
use tokio::task::JoinSet;

const PEERS: usize = 5;
const MIN: u64 = 2;
const MAX: usize = 3;
/// Connections that write to each peer at once.
const WRITERS: usize = 16;
/// Databases that are touched, and how long they may take.
const TOUCHED: usize = 100;
const PATIENCE: Duration = Duration::from_mins(1);
/// Nothing moves for this long: the peers are at rest.
const QUIET: Duration = Duration::from_secs(5);
/// How long that may take.
const REST_WITHIN: Duration = Duration::from_mins(10);
/// How long a database has fewer copies than `min` before others are invited.
const REPLACEMENT_DELAY: Duration = Duration::from_secs(30);
/// Records of 100 bytes: they fill the caches and memtables of a store with the usual settings.
const CACHED: u64 = 500_000;
const KIB: f64 = 1024.0;

fn path(number: u64) -> String {
    format!("many/{number:06}")
}

/// Creates the databases with one small key each, spread over all peers.
async fn create(peers: &[Peer], databases: u64) {
    let mut writers = JoinSet::new();
    let step = PEERS * WRITERS;
    for (peer, writer) in (0..PEERS).flat_map(|peer| (0..WRITERS).map(move |w| (peer, w))) {
        let client = Client::new(&peers[peer].http).unwrap();
        let first = (writer * PEERS + peer) as u64;
        writers.spawn(async move {
            for number in (first..databases).step_by(step) {
                let written = client.put(&path(number), b"key", "first", &Write::default()).await;
                written.unwrap();
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
}

/// The databases of which a peer knows fewer live copies than `min`.
async fn lacking(peer: &Peer) -> u64 {
    let client = Client::new(&peer.http).unwrap();
    let (mut lacking, mut cursor) = (0, None);
    loop {
        let page = client.databases(cursor.as_deref()).await.unwrap();
        lacking += page.databases.iter().filter(|one| u64::from(one.copies) < MIN).count() as u64;
        cursor = page.cursor;
        if cursor.is_none() {
            return lacking;
        }
    }
}

/// Everything that peers count which moves when records or copies do.
fn movement(peers: &[Peer]) -> Vec<u64> {
    let names = ["records_pushed", "records_received", "records_pulled", "pulls", "copies_joined"];
    peers.iter().map(|peer| counted(peer, &names)).collect()
}

/// Waits until every peer knows every database, each has its copies, and nothing moves. When it last did.
async fn rest(peers: &[Peer], databases: u64) -> Instant {
    await_seldom(REST_WITHIN, "every peer knowing every database", || {
        let all = |peer| status(peer)["databases_known"] == databases;
        peers.iter().all(all).then_some(())
    });
    let at = stands_still(REST_WITHIN, QUIET, || movement(peers));
    for peer in peers {
        assert_eq!(lacking(peer).await, 0, "databases have too few copies");
    }
    at
}

/// What the peers cost while nothing is asked of them.
fn idle(peers: &[Peer], figures: &mut Figures) {
    let seconds = scale::number("TIDINGS_IDLE", 60);
    let sent = || -> u64 {
        peers.iter().map(|peer| counted(peer, &["frame_bytes_sent", "probe_bytes_sent"])).sum()
    };
    let usage = || -> Vec<Usage> { peers.iter().map(Usage::of).collect() };
    let (bytes, before) = (sent(), usage());
    let began = Instant::now();
    let span = Duration::from_secs(seconds);
    await_seldom(span * 2, "the end of idleness", || (began.elapsed() >= span).then_some(()));
    let (after, took) = (usage(), began.elapsed().as_secs_f64());
    let pairs = (PEERS * (PEERS - 1) / 2) as f64;
    let rate = (sent() - bytes) as f64 / KIB / took / pairs;
    figures.add(
        "idle traffic of a pair, both ways, frames and probes",
        format!("{rate:.2} KiB/s"),
        "<= 1",
    );
    let cores = before.iter().zip(&after).map(|(before, after)| after.core - before.core);
    let most = greatest(cores.map(|core| core / took * 100.0));
    figures.add("idle processor time, the busiest process", format!("{most:.2} %"), "<= 1");
}

/// What a process needs more than it did before there were databases.
fn memory(peers: &[Peer], before: &[Usage], databases: u64, figures: &mut Figures) {
    let after: Vec<Usage> = peers.iter().map(Usage::of).collect();
    let held = peers.iter().map(|peer| status(peer)["databases_held"].as_u64().unwrap());
    let grown = |(before, after): (&Usage, &Usage)| {
        after.resident.saturating_sub(before.resident) as f64 / KIB
    };
    let grown: Vec<f64> = before.iter().zip(&after).map(grown).collect();
    let most = greatest(grown.iter().copied());
    let copies = greatest(grown.iter().zip(held).map(|(grown, held)| grown / held as f64));
    figures.add("growth of memory, the largest process", format!("{:.0} MiB", most / KIB), "");
    let known = most / databases as f64;
    figures.add("the same for each database known", format!("{known:.2} KiB"), "<= 2 KiB");
    figures.add("the same for each copy held", format!("{copies:.2} KiB"), "");
    let range = |numbers: &dyn Fn(&Usage) -> u64, usage: &[Usage]| {
        let (least, most) = (usage.iter().map(numbers).min(), usage.iter().map(numbers).max());
        format!("{}-{}", least.unwrap(), most.unwrap())
    };
    let moved = |numbers: &dyn Fn(&Usage) -> u64| {
        format!("{} -> {}", range(numbers, before), range(numbers, &after))
    };
    figures.add(
        "threads of a process, before and after",
        moved(&|usage| usage.threads),
        "the same",
    );
    figures.add(
        "open files of a process, before and after",
        moved(&|usage| usage.files),
        "not by database",
    );
}

/// A copy as its own holder tells of it.
fn copy(peer: &Peer, path: &str) -> Option<Value> {
    let target = format!("/v1/databases/{}/status", encoded(path));
    let status = peer.ask("GET", &target, &[], b"").json();
    (status["peer"] == peer.ready["peer"]).then_some(status)
}

/// Writes to some databases at once, and waits until all copies of each are the same.
async fn touch(peers: &[Peer], databases: u64, figures: &mut Figures) {
    let mut copies: Vec<(String, Vec<usize>)> = Vec::new();
    for number in (0..databases).step_by((databases as usize).div_ceil(TOUCHED)) {
        let path = path(number);
        let holders = (0..PEERS).filter(|at| copy(&peers[*at], &path).is_some()).collect();
        copies.push((path, holders));
    }
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for (path, holders) in &copies {
        let client = Client::new(&peers[holders[0]].http).unwrap();
        let path = path.clone();
        writers.spawn(async move {
            client.put(&path, b"key", "touched", &Write::default()).await.unwrap();
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let wrote = began.elapsed();
    wait_within(PATIENCE, "the touched databases being the same", || {
        copies.retain(|(path, holders)| {
            let told: Vec<_> = holders.iter().map(|at| copy(&peers[*at], path).unwrap()).collect();
            let same = |one: &Value| one["digest"] == told[0]["digest"] && one["entries"] == 1;
            let news = |one: &Value| one["vector"] == told[0]["vector"];
            !told.iter().all(|one| same(one) && news(one))
        });
        copies.is_empty().then_some(())
    });
    let took = began.elapsed();
    figures.add(
        format!("{TOUCHED} touched databases the same at their holders"),
        format!("{:.0} ms, {:.0} of it writing", millis(took), millis(wrote)),
        "< 1 s",
    );
}

/// Milliseconds.
fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Kills a peer for good, and waits until every database has `min` copies elsewhere.
async fn lose(peers: &mut Vec<Peer>, figures: &mut Figures) {
    let lost = peers.pop().unwrap();
    let joined = |peers: &[Peer]| -> u64 {
        peers.iter().map(|peer| counted(peer, &["copies_joined"])).sum()
    };
    let before = joined(peers);
    let killed = Instant::now();
    drop(lost.kill());
    wait_within(PATIENCE, "all noticing that a peer is gone", || {
        peers.iter().all(|peer| status(peer)["live_peers"] == PEERS - 1).then_some(())
    });
    let noticed = killed.elapsed();
    let missing = lacking(&peers[0]).await;
    tell(&format!("{missing} databases have fewer copies than {MIN}"));
    await_seldom(REST_WITHIN, "the copies being restored", || {
        (joined(peers) - before >= missing).then_some(())
    });
    let restored = killed.elapsed();
    await_seldom(PATIENCE, "all knowing of it", || {
        let client = tokio::runtime::Handle::current();
        let lacking = tokio::task::block_in_place(|| client.block_on(lacking(&peers[0])));
        (lacking == 0).then_some(())
    });
    let took = restored.saturating_sub(noticed + REPLACEMENT_DELAY);
    figures.add(
        "a killed peer is noticed, and its copies are restored, after",
        format!("{:.1} s, {:.1} s", noticed.as_secs_f64(), restored.as_secs_f64()),
        "",
    );
    figures.add(
        format!("{missing} copies restored, not counting the delay of 30 s"),
        format!("{:.0}/s", missing as f64 / took.as_secs_f64()),
        ">= 5000/s",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "some minutes; run by hand"]
async fn a_hundred_thousand_databases() {
    let databases = scale::number("TIDINGS_DATABASES", 100_000);
    let mut figures = Figures::default();
    let directory = tempfile::tempdir().unwrap();
    let secret = scale::secret(directory.path());
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(scale::start(&secret, &peers));
    }
    scale::meet(&peers);
    scale::define(&peers, "many", MIN as usize, MAX);
    // What grows from then on is for databases, and not what any store keeps of rows lately written.
    scale::define(&peers, "large", PEERS, PEERS);
    let records = scale::number("TIDINGS_CACHED", CACHED);
    scale::fill(&peers[0], "large/one", records).await;
    stands_still(REST_WITHIN, QUIET, || movement(&peers));
    let before: Vec<Usage> = peers.iter().map(Usage::of).collect();
    let others = status(&peers[0])["databases_known"].as_u64().unwrap();

    let began = Instant::now();
    create(&peers, databases).await;
    let created = began.elapsed().as_secs_f64();
    figures.add(
        format!("{databases} databases created over HTTP"),
        format!("{:.0}/s", databases as f64 / created),
        "",
    );
    let at = rest(&peers, others + databases).await;
    let rested = at.saturating_duration_since(began).as_secs_f64() - created;
    figures.add("at rest after the last was created", format!("{rested:.1} s"), "");
    idle(&peers, &mut figures);
    memory(&peers, &before, databases, &mut figures);
    touch(&peers, databases, &mut figures).await;
    lose(&mut peers, &mut figures).await;
    figures.print();
}
