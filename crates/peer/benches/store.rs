//! The store on disk beside fjall itself: what the trait costs.
//!
//! Both sides hold the same million rows of 100 bytes under the same options; `Keyspace` calls are
//! fjall's own, `FjallStore` calls go through the trait and copy into a `Vec`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros generate public functions, and a bench may panic"
)]

use std::{hint::black_box, path::Path};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fjall::{Database, Keyspace, PersistMode};
use tidings::store::{Directory, FjallStore, StoreConfig};
use tidings_core::store::{Batch, Read, Space, Store};

const ROWS: u64 = 1_000_000;
const VALUE: [u8; 100] = [7; 100];

fn key(number: u64) -> Vec<u8> {
    // A database's prefix, then a key in no order.
    let mut key = vec![1; 16];
    key.extend(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

fn config() -> StoreConfig {
    StoreConfig { cache_bytes: 512 * 1024 * 1024, ..StoreConfig::default() }
}

fn open(path: &Path) -> FjallStore {
    FjallStore::open(&Directory::open(path).unwrap(), &config()).unwrap()
}

/// A directory with every row, created through the store and closed again.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for chunk in 0..ROWS / 1_000 {
        let mut batch = Batch::default();
        for number in chunk * 1_000..(chunk + 1) * 1_000 {
            batch.put(Space::Data, key(number), VALUE.to_vec());
        }
        store.commit(batch).unwrap();
    }
    store.sync().unwrap();
    directory
}

/// The same files without the trait.
fn raw(path: &Path) -> (Database, Keyspace) {
    let database = Database::builder(path.join("store"))
        .cache_size(config().cache_bytes)
        .journal_compression(fjall::CompressionType::None)
        .open()
        .unwrap();
    let data = database.keyspace("data", fjall::KeyspaceCreateOptions::default).unwrap();
    (database, data)
}

fn gets(criterion: &mut Criterion) {
    let directory = filled();
    let mut group = criterion.benchmark_group("get, 1 M rows");
    group.throughput(Throughput::Elements(1));
    {
        let (_database, data) = raw(directory.path());
        let mut number = 0_u64;
        group.bench_function("fjall", |bencher| {
            bencher.iter(|| {
                number = (number + 7_919) % ROWS;
                black_box(data.get(key(number)).unwrap().unwrap());
            });
        });
    }
    {
        let store = open(directory.path());
        let mut number = 0_u64;
        group.bench_function("FjallStore", |bencher| {
            bencher.iter(|| {
                number = (number + 7_919) % ROWS;
                black_box(store.get(Space::Data, &key(number)).unwrap().unwrap());
            });
        });
        let snapshot = store.snapshot();
        group.bench_function("FjallSnapshot", |bencher| {
            bencher.iter(|| {
                number = (number + 7_919) % ROWS;
                black_box(snapshot.get(Space::Data, &key(number)).unwrap().unwrap());
            });
        });
    }
    group.finish();
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit of 3, buffered");
    group.throughput(Throughput::Elements(1));
    {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()));
        let (database, data) = raw(directory.path());
        let [log, meta] = ["log", "meta"]
            .map(|name| database.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap());
        let mut number = 0;
        group.bench_function("fjall", |bencher| {
            bencher.iter(|| {
                number += 1;
                let mut batch = database.batch();
                batch.insert(&data, key(number), VALUE);
                batch.insert(&log, key(number), &VALUE[..24]);
                batch.insert(&meta, key(number % 1_000), &VALUE[..24]);
                batch.commit().unwrap();
            });
        });
    }
    {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let mut number = 0;
        group.bench_function("FjallStore", |bencher| {
            bencher.iter(|| {
                number += 1;
                store.commit(batch_of_three(number)).unwrap();
            });
        });
    }
    group.finish();
}

fn syncs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sync of 64 commits of 3");
    group.throughput(Throughput::Elements(64));
    group.sample_size(20);
    {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()));
        let (database, data) = raw(directory.path());
        let mut number = 0;
        group.bench_function("fjall", |bencher| {
            bencher.iter(|| {
                for _ in 0..64 {
                    number += 1;
                    let mut batch = database.batch();
                    batch.insert(&data, key(number), VALUE);
                    batch.insert(&data, key(number + ROWS), &VALUE[..24]);
                    batch.insert(&data, key(number % 1_000), &VALUE[..24]);
                    batch.commit().unwrap();
                }
                database.persist(PersistMode::SyncData).unwrap();
            });
        });
    }
    {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let mut number = 0;
        group.bench_function("FjallStore", |bencher| {
            bencher.iter(|| {
                for _ in 0..64 {
                    number += 1;
                    store.commit(batch_of_three(number)).unwrap();
                }
                store.sync().unwrap();
            });
        });
    }
    group.finish();
}

fn batch_of_three(number: u64) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Data, key(number), VALUE.to_vec());
    batch.put(Space::Log, key(number), VALUE[..24].to_vec());
    batch.put(Space::Meta, key(number % 1_000), VALUE[..24].to_vec());
    batch
}

criterion_group!(benches, gets, commits, syncs);
criterion_main!(benches);
