//! The embedded peer beside fjall itself, in one run: each figure is a ratio.
//!
//! Raw fjall and tidings take turns, round by round, on stores of the same million rows of 100 bytes
//! under the same options; the medians are compared. `cargo bench -p tidings --bench database`
//! prints the table; an argument such as `put` runs only what its name contains. Both sides use the
//! system's allocator, as a program does that chooses none. `tidings` itself uses mimalloc, with
//! which both sides are faster by a third.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and may panic")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{CompressionType, Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};
use tidings::{Batch, Database, Definition, Durability, Peer, WriteOptions};
use tokio::runtime::Runtime;

const ROWS: u64 = 1_000_000;
const VALUE: [u8; 100] = [7; 100];
const ROUNDS: usize = 9;
const CALLERS: u64 = 64;

/// Keys in no order, as the store sees them.
fn key(number: u64) -> [u8; 8] {
    (number % ROWS).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// fjall with the three tables of the store and its options.
struct Raw {
    database: Fjall,
    data: Keyspace,
    log: Keyspace,
    meta: Keyspace,
}

impl Raw {
    fn open(path: &Path) -> Self {
        let database = Fjall::builder(path)
            .cache_size(512 << 20)
            .max_journaling_size(256 << 20)
            .journal_compression(CompressionType::None)
            .open()
            .unwrap();
        let open = |name| {
            database
                .keyspace(name, || {
                    KeyspaceCreateOptions::default()
                        .max_memtable_size(16 << 20)
                        .data_block_size_policy(BlockSizePolicy::all(4 * 1024))
                        .data_block_compression_policy(CompressionPolicy::all(
                            CompressionType::None,
                        ))
                })
                .unwrap()
        };
        let (data, log, meta) = (open("data"), open("log"), open("meta"));
        Self { database, data, log, meta }
    }

    fn row(number: u64) -> Vec<u8> {
        [&[0, 0, 0, 1, 0][..], &key(number)].concat()
    }

    fn log_row(sequence: u64) -> Vec<u8> {
        [&[9; 20][..], &sequence.to_be_bytes()].concat()
    }

    fn value(number: u64) -> Vec<u8> {
        [&VALUE[..], &number.to_be_bytes(), &[3; 20]].concat()
    }

    fn fill(&self) {
        for chunk in 0..ROWS / 1_000 {
            let mut batch = self.database.batch();
            for number in chunk * 1_000..(chunk + 1) * 1_000 {
                batch.insert(&self.data, Self::row(number), Self::value(number));
                batch.insert(&self.log, Self::log_row(number), key(number));
            }
            batch.commit().unwrap();
        }
    }

    /// What any last-writer-wins put must do: read, compare, and write three records at once.
    fn put(&self, number: u64) {
        let row = Self::row(number);
        let old = self.data.get(&row).unwrap();
        if old.is_some_and(|old| old[100..108] > number.wrapping_add(ROWS).to_be_bytes()[..]) {
            return;
        }
        let mut batch = self.database.batch();
        batch.insert(&self.data, row, Self::value(number));
        batch.insert(&self.log, Self::log_row(ROWS + number), key(number));
        batch.insert(&self.meta, [1; 5], [5; 100]);
        batch.durability(Some(PersistMode::Buffer)).commit().unwrap();
    }
}

async fn peer(directory: &Path) -> Peer {
    Peer::builder(directory)
        .cache_bytes(512 << 20)
        .definitions(vec![Definition::new("bench", "bench/**", 1, 1)])
        .start()
        .await
        .unwrap()
}

async fn fill(database: &Database) {
    for chunk in 0..ROWS / 1_000 {
        let mut batch = Batch::new();
        for number in chunk * 1_000..(chunk + 1) * 1_000 {
            batch.put(key(number), VALUE);
        }
        database.batch(batch).await.unwrap();
    }
}

/// Operations per second of one round.
fn rate(operations: u64, round: impl FnOnce()) -> f64 {
    let start = Instant::now();
    round();
    operations as f64 / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

struct Bench {
    runtime: Runtime,
    filter: Option<String>,
    raw: Raw,
    database: Database,
}

impl Bench {
    /// Runs both sides in turns and prints the ratio of the medians.
    fn compare(
        &self,
        name: &str,
        target: f64,
        operations: u64,
        mut raw: impl FnMut(u64),
        mut ours: impl FnMut(u64),
    ) {
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            return;
        }
        let (mut theirs_rates, mut ours_rates) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS as u64 {
            let first = round * operations;
            theirs_rates.push(rate(operations, || raw(first)));
            ours_rates.push(rate(operations, || ours(first)));
        }
        let (theirs, ours) = (median(theirs_rates), median(ours_rates));
        let ratio = ours / theirs;
        println!(
            "{name:<44} fjall {:>8.1} k/s   tidings {:>8.1} k/s   ratio {ratio:.2} (wanted {target:.2})",
            theirs / 1e3,
            ours / 1e3,
        );
    }

    fn gets(&self, name: &str) {
        let operations = 200_000;
        self.compare(
            name,
            0.8,
            operations,
            |first| {
                for number in first..first + operations {
                    black_box(self.raw.data.get(Raw::row(number * 7_919)).unwrap().unwrap());
                }
            },
            |first| {
                self.runtime.block_on(async {
                    for number in first..first + operations {
                        let found = self.database.get(key(number * 7_919)).await;
                        black_box(found.unwrap().unwrap());
                    }
                });
            },
        );
    }

    fn puts(&self) {
        let operations = 40_000;
        let raw = |first| {
            for number in first..first + operations {
                self.raw.put(number * 7_919);
            }
        };
        self.compare("put, buffered, one caller", 0.7, operations, raw, |first| {
            self.runtime.block_on(async {
                for number in first..first + operations {
                    self.database.put(key(number * 7_919), VALUE).await.unwrap();
                }
            });
        });
        self.compare("put, buffered, 64 callers", 1.5, operations, raw, |first| {
            self.callers(first, operations, None);
        });
    }

    fn callers(&self, first: u64, operations: u64, durability: Option<Durability>) {
        let options = Arc::new(WriteOptions { durability, ..WriteOptions::default() });
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (database, options) = (self.database.clone(), options.clone());
                    tokio::spawn(async move {
                        let mut number = first + caller;
                        while number < first + operations {
                            let key = key(number * 7_919);
                            database.put_with(key, VALUE, &options).await.unwrap();
                            number += CALLERS;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }

    fn synced(&self) {
        let operations = 20_000;
        self.compare(
            "put, synced, 64 callers",
            0.5,
            operations,
            |first| {
                for number in first..first + operations {
                    let mut batch = self.raw.database.batch();
                    let mixed = number * 7_919;
                    batch.insert(&self.raw.data, Raw::row(mixed), Raw::value(mixed));
                    batch.insert(&self.raw.log, Raw::log_row(mixed), key(mixed));
                    batch.insert(&self.raw.meta, [1; 5], [5; 100]);
                    batch.durability(Some(PersistMode::Buffer)).commit().unwrap();
                    if number % CALLERS == CALLERS - 1 {
                        self.raw.database.persist(PersistMode::SyncData).unwrap();
                    }
                }
            },
            |first| self.callers(first, operations, Some(Durability::Synced)),
        );
    }

    fn opens(&self, peer: &Peer) {
        if self.filter.as_ref().is_some_and(|filter| !"open".contains(filter.as_str())) {
            return;
        }
        let count = 10_000;
        let start = Instant::now();
        self.runtime.block_on(async {
            for number in 0..count {
                black_box(peer.database(&format!("bench/open/{number}")).await.unwrap());
            }
        });
        println!(
            "open a new database: {:.1} µs (wanted 100)",
            start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
        );
        let start = Instant::now();
        self.runtime.block_on(async {
            for number in 0..count {
                let database = peer.database(&format!("bench/open/{number}")).await.unwrap();
                database.put("k", "v").await.unwrap();
            }
        });
        println!(
            "open and first write: {:.1} µs",
            start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
        );
    }
}

/// What a database occupies in memory that is there and idle: fresh processes open a peer with many
/// of them, and one with none.
fn memory(runtime: &Runtime) {
    let (none, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime.block_on(async {
        small_peer(none.path()).await.shutdown().await.unwrap();
        let peer = small_peer(many.path()).await;
        for number in 0..IDLE {
            let database = peer.database(&format!("bench/open/{number}")).await.unwrap();
            database.put("k", "v").await.unwrap();
        }
        peer.shutdown().await.unwrap();
    });
    let resident = |path: &Path| {
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program).arg(RESIDENT).arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().unwrap()
    };
    let bytes = (resident(many.path()) - resident(none.path())) / f64::from(IDLE);
    println!("memory of an idle database: {bytes:.0} bytes (wanted 1024)");
}

/// Databases whose memory is measured.
const IDLE: u32 = 50_000;

/// A peer that keeps next to nothing of its rows in memory.
async fn small_peer(directory: &Path) -> Peer {
    Peer::builder(directory)
        .cache_bytes(1 << 20)
        .memtable_bytes(1 << 20)
        .definitions(vec![Definition::new("bench", "bench/**", 1, 1)])
        .start()
        .await
        .unwrap()
}

/// Opens every database that is there, and says what that occupies.
fn print_resident(path: &Path) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let peer = small_peer(path).await;
        let mut handles = Vec::new();
        if !peer.databases(None, 1).unwrap().is_empty() {
            for number in 0..IDLE {
                handles.push(peer.database(&format!("bench/open/{number}")).await.unwrap());
            }
        }
        println!("{}", resident_bytes());
        peer.shutdown().await.unwrap();
    });
}

/// The argument of the processes that open a peer and print what they occupy.
const RESIDENT: &str = "--resident";

/// Bytes of memory that this process occupies.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

/// Put acknowledged at one peer to watch event at another, over loopback, in one process.
fn propagation(runtime: &Runtime) {
    runtime.block_on(async {
        let secret = b"a secret for a benchmark";
        let definitions = vec![Definition::new("bench", "bench/**", 2, 2)];
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let listen = "/ip4/127.0.0.1/tcp/0";
        let builder = |path: &Path| Peer::builder(path).secret(secret).listen(listen).mdns(false);
        let a = builder(one.path()).definitions(definitions).start().await.unwrap();
        let b = builder(two.path()).bootstrap(a.listen_addresses().remove(0)).start().await.unwrap();
        while a.status().live_peers < 2 || b.definitions().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let at_a = a.database("bench/propagation").await.unwrap();
        at_a.put("first", VALUE).await.unwrap();
        let at_b = b.database("bench/propagation").await.unwrap();
        while at_b.get("first").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut watch = at_b.watch("").await.unwrap();
        let mut delays = Vec::new();
        for number in 0..2_000_u64 {
            at_a.put(key(number), VALUE).await.unwrap();
            let start = Instant::now();
            watch.next().await.unwrap().unwrap();
            delays.push(start.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        delays.sort();
        println!(
            "put acknowledged to watch event, idle: median {:?}, p99 {:?} (wanted < 500 µs, < 3 ms)",
            delays[delays.len() / 2],
            delays[delays.len() * 99 / 100]
        );
        a.shutdown().await.unwrap();
        b.shutdown().await.unwrap();
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, argument, path] = &*arguments
        && argument == RESIDENT
    {
        print_resident(Path::new(path));
        return;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let runtime = Runtime::new().unwrap();
    let raw = Raw::open(one.path());
    raw.fill();
    let peer = runtime.block_on(peer(two.path()));
    let database = runtime.block_on(peer.database("bench/rows")).unwrap();
    runtime.block_on(fill(&database));
    let bench = Bench { runtime, filter, raw, database };
    bench.gets("get, rows written lately");
    bench.puts();
    bench.synced();
    bench.opens(&peer);
    // A new start has nothing in memory.
    bench.runtime.block_on(peer.shutdown()).unwrap();
    let Bench { runtime, filter, raw, database } = bench;
    // Every handle keeps the directory locked.
    drop((peer, database));
    let peer = runtime.block_on(self::peer(two.path()));
    let database = runtime.block_on(peer.database("bench/rows")).unwrap();
    let bench = Bench { runtime, filter, raw, database };
    bench.gets("get, after a restart");
    let wants = |name: &str| bench.filter.as_ref().is_none_or(|filter| name.contains(&**filter));
    if wants("propagation") {
        propagation(&bench.runtime);
    }
    bench.runtime.block_on(peer.shutdown()).unwrap();
    if wants("memory") {
        memory(&bench.runtime);
    }
}
