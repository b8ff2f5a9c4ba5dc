//! A fresh holder catches up on a database of a million records of 100 bytes while users go on writing
//! to it: how many records a second, and how many bytes go over the connection for them.
//!
//! It prints a table of figures beside their targets, and fails only where the copies do not become the
//! same. It takes a minute, so it runs when it is asked for:
//! `cargo test --release --test catching_up -- --ignored --nocapture`
//! `TIDINGS_RECORDS` is the number of records.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scale;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scale::{Figures, VALUE_BYTES, batch, counted, fill, key, status};
use support::trio::agreed;
use support::{tell, wait_within};
use tidings_core::record::{Payload, Sent};
use tidings_core::rows::stored_key;
use tidings_core::stamp::Time;
use tidings_core::wire;
use tidings_gateway::Client;
use tokio::time::MissedTickBehavior;

const PATH: &str = "large/one";
/// Writes that go on meanwhile: so many each time.
const WRITES_GOING_ON: u64 = 20;
const WRITES_EVERY: Duration = Duration::from_millis(20);
/// How long catching up may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// A user who overwrites records all over the database until told to stop.
async fn user(client: Client, records: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut clock = tokio::time::interval(WRITES_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        // A prime: the records are far apart, and none comes twice.
        let numbers = (0..WRITES_GOING_ON).map(|at| (number + at) * 7_919 % records);
        batch(&client, PATH, numbers, b'y').await;
        number += WRITES_GOING_ON;
        written.fetch_add(WRITES_GOING_ON, Ordering::Relaxed);
    }
}

/// Bytes of one record as it is sent.
fn encoded_bytes(records: u64) -> f64 {
    let time = Time::from_millis(1_800_000_000_000);
    let payload = Payload::Value(vec![b'x'; VALUE_BYTES], None);
    let sent = Sent { key: stored_key(&key(1)), sequence: records, time, payload };
    let mut bytes = Vec::new();
    wire::append(&mut bytes, &sent);
    bytes.len() as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute; run by hand"]
async fn a_fresh_holder_catches_up() {
    let records = scale::number("TIDINGS_RECORDS", 1_000_000);
    let mut figures = Figures::default();
    let directory = tempfile::tempdir().unwrap();
    let secret = scale::secret(directory.path());
    let mut peers = vec![scale::start(&secret, &[])];
    scale::define(&peers, "large", 2, 2);
    let began = Instant::now();
    fill(&peers[0], PATH, records).await;
    tell(&format!("{records} records written in {:.1} s", began.elapsed().as_secs_f64()));

    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let client = Client::new(&peers[0].http).unwrap();
    let user = tokio::spawn(user(client, records, Arc::clone(&stop), Arc::clone(&written)));
    peers.push(scale::start(&secret, &peers));
    let fresh = &peers[1];
    let began = wait_within(PATIENCE, "an invitation to the fresh peer", || {
        (status(fresh)["databases_held"] == 1).then(Instant::now)
    });
    let writes = written.load(Ordering::Relaxed);
    wait_within(PATIENCE, "catching up", || {
        (counted(fresh, &["copies_joined"]) == 1).then_some(())
    });
    let took = began.elapsed().as_secs_f64();
    // All since its start: the greeting, the directory, the records.
    let bytes = counted(fresh, &["frame_bytes_received"]);
    let writes = written.load(Ordering::Relaxed) - writes;
    let received = counted(fresh, &["records_pulled", "records_received"]);

    stop.store(true, Ordering::Relaxed);
    user.await.unwrap();
    wait_within(PATIENCE, "both copies being the same", || {
        let told: Vec<_> = peers.iter().map(|peer| support::trio::status(peer, PATH)).collect();
        let own = |at: usize| told[at]["peer"] == peers[at].ready["peer"];
        (own(0) && own(1) && agreed(&told[0]) == agreed(&told[1])).then_some(())
    });

    let rate = format!("{:.0}/s in {took:.1} s", received as f64 / took);
    figures.add(format!("{received} records taken in by the fresh holder"), rate, ">= 100000/s");
    let ratio = bytes as f64 / (received as f64 * encoded_bytes(records));
    figures.add("bytes received / records as encoded", format!("{ratio:.3}"), "<= 1.25");
    figures.add("writes of users meanwhile", format!("{:.0}/s", writes as f64 / took), "");
    figures.print();
}
