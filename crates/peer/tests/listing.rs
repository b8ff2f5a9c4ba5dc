//! Listings and scans with filters, and keyspaces, at one peer.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use tidings::{Batch, Database, Definition, Error, Filter, ListOptions, Peer, ScanOptions, limits};

#[expect(clippy::unwrap_used, reason = "a test")]
async fn database() -> (Peer, Database) {
    let any = Definition::new("any", "**", 1, 1);
    let peer = Peer::in_memory().definitions(vec![any]).start().await.unwrap();
    let database = peer.database("some/database").await.unwrap();
    (peer, database)
}

/// Writes keys without values.
#[expect(clippy::unwrap_used, reason = "a test")]
async fn put(database: &Database, keys: impl IntoIterator<Item = impl Into<Vec<u8>>>) {
    let mut batch = Batch::new();
    for key in keys {
        batch.put(key, "");
        if batch.len() == limits::BATCH_WRITES_MAX {
            database.batch(std::mem::take(&mut batch)).await.unwrap();
        }
    }
    if !batch.is_empty() {
        database.batch(batch).await.unwrap();
    }
}

/// The keys of each page, from the first to the last.
#[expect(clippy::unwrap_used, reason = "a test")]
async fn pages(database: &Database, mut options: ListOptions) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    loop {
        let page = database.list(&options).await.unwrap();
        all.push(page.entries.into_iter().map(|entry| entry.key).collect());
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            return all;
        }
    }
}

#[expect(clippy::unwrap_used, reason = "a test")]
async fn scanned(database: &Database, filter: Filter, from: &str) -> Vec<Vec<u8>> {
    let options = ScanOptions { filter: Some(filter), ..ScanOptions::default() };
    let start = Bound::Included(from.into());
    let scan = pin!(database.scan_with(start, Bound::Unbounded, &options));
    scan.map_ok(|entry| entry.key).try_collect().await.unwrap()
}

fn glob(text: &str) -> Option<Filter> {
    Filter::glob(text).ok()
}

/// Filters, prefixes and cursors of every kind, in both directions: the pages together have what is wanted,
/// each once and in order.
#[tokio::test]
async fn every_match_is_listed_once() {
    let (_peer, database) = database().await;
    let keys: BTreeSet<Vec<u8>> = (0..120_u8)
        .map(|n| match n % 4 {
            0 => format!("user:{n}").into_bytes(),
            1 => format!("user:{n}/name").into_bytes(),
            2 => vec![b'u', n, 0xff],
            _ => format!("z{n}").into_bytes(),
        })
        .collect();
    put(&database, keys.clone()).await;
    put(&database.keyspace("other").unwrap(), ["user:1", "zz"]).await;
    let filters = [
        glob("user:*"),
        glob("**/name"),
        glob("user:**"),
        glob("u*"),
        glob("z7"),
        glob("none*"),
        Filter::regex(r"u(?s-u:.)+\xff|z[0-9]*1").ok(),
        Filter::regex("(?i)USER:[0-9]+").ok(),
    ];
    for filter in filters {
        let filter = filter.unwrap();
        for (prefix, limit, budget, reverse) in [
            ("", 0, 0, false),
            ("", 1, 0, true),
            ("u", 3, 2, false),
            ("user:1", 2, 5, true),
            ("z", 7, 1, true),
            ("", 4, 1, false),
            ("", 1000, 50, true),
        ] {
            let (cursor, keys_only) = (None, true);
            let (prefix, filtered) = (prefix.as_bytes().to_vec(), Some(filter.clone()));
            let wanted = |key: &&Vec<u8>| key.starts_with(&prefix) && filter.matches(key);
            let mut expected: Vec<Vec<u8>> = keys.iter().filter(wanted).cloned().collect();
            if reverse {
                expected.reverse();
            }
            let options = ListOptions {
                prefix: prefix.clone(),
                limit,
                cursor,
                reverse,
                keys_only,
                filter: filtered,
                budget,
            };
            let pages = pages(&database, options.clone()).await;
            assert_eq!(pages.concat(), expected, "{options:?}");
        }
        let wanted = |from: &str| {
            let from = from.as_bytes().to_vec();
            let wanted = |key: &&Vec<u8>| **key >= from && filter.matches(key);
            keys.iter().filter(wanted).cloned().collect::<Vec<_>>()
        };
        for from in ["", "user:2", "user:", "z", "~"] {
            assert_eq!(scanned(&database, filter.clone(), from).await, wanted(from), "{filter:?}");
        }
    }
}

/// A page that looked at as many keys as it may says so, and may be empty; a scan does not show it.
#[tokio::test]
async fn a_page_that_is_cut_short_says_so() {
    let (_peer, database) = database().await;
    put(&database, (0..25_000).map(|n| format!("{n:05}"))).await;
    let last = Some(Filter::regex(".*[5-9]99").unwrap());
    let options = ListOptions { filter: last.clone(), ..ListOptions::default() };
    let lengths: Vec<usize> = pages(&database, options).await.iter().map(Vec::len).collect();
    assert_eq!(lengths, [50, 50, 25]);
    let only = ListOptions { filter: Filter::regex(".*24999").ok(), ..ListOptions::default() };
    let lengths: Vec<usize> = pages(&database, only).await.iter().map(Vec::len).collect();
    assert_eq!(lengths, [0, 0, 1]);
    let options = ListOptions { filter: last, budget: 600, limit: 3, ..ListOptions::default() };
    let page = database.list(&options).await.unwrap();
    assert_eq!((page.entries.len(), page.cursor), (1, Some(b"00599".to_vec())));
    assert_eq!(scanned(&database, Filter::regex(".*24999").unwrap(), "").await.len(), 1);
    let begins = ListOptions { filter: glob("2499*"), budget: 10, ..ListOptions::default() };
    assert_eq!(pages(&database, begins).await.len(), 1, "it begins where the matches do");
    let unfiltered = ListOptions { budget: 9, ..ListOptions::default() };
    assert_eq!(database.list(&unfiltered).await.unwrap().entries.len(), 9);
    let full = pages(&database, ListOptions::default()).await;
    assert_eq!(full.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 10_000, 5_000]);
}

#[tokio::test]
async fn a_cursor_may_go_with_another_filter() {
    let (_peer, database) = database().await;
    put(&database, ["a", "b", "c"]).await;
    let of = |filter: &str, cursor: &str, reverse| {
        let cursor = Some(cursor.as_bytes().to_vec());
        ListOptions { filter: glob(filter), cursor, reverse, ..ListOptions::default() }
    };
    assert_eq!(pages(&database, of("b", "a", false)).await.concat(), [b"b"]);
    assert_eq!(pages(&database, of("a", "b", false)).await.concat(), [[0_u8; 1]; 0]);
    assert_eq!(pages(&database, of("b", "c", true)).await.concat(), [b"b"]);
    assert_eq!(pages(&database, of("c", "b", true)).await.concat(), [[0_u8; 1]; 0]);
}

#[tokio::test]
async fn keyspaces_with_keys_are_told() {
    let (_peer, database) = database().await;
    assert_eq!(database.keyspaces(None, 0).await.unwrap().names, [""; 0]);
    let names: Vec<String> = (0..1100).map(|n| format!("k{n:04}")).collect();
    for name in &names {
        put(&database.keyspace(name).unwrap(), ["a", "b"]).await;
    }
    put(&database, ["a"]).await;
    let gone = database.keyspace("gone").unwrap();
    put(&gone, ["a"]).await;
    gone.delete("a").await.unwrap();
    let mut late = Batch::new();
    late.put_until("a", "", SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    database.keyspace("late").unwrap().batch(late).await.unwrap();
    database.keyspace("n").unwrap().incr("counter", 1).await.unwrap();
    let (mut all, mut cursor, mut lengths) = (Vec::new(), None, Vec::new());
    loop {
        let page = gone.keyspaces(cursor.as_deref(), 0).await.unwrap();
        lengths.push(page.names.len());
        all.extend(page.names);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(lengths, [1000, 102]);
    let expected = ["", "n"].map(String::from).into_iter().chain(names);
    assert_eq!(all, expected.collect::<Vec<_>>());
    let page = database.keyspaces(None, 2).await.unwrap();
    assert_eq!((page.names, page.cursor.is_some()), (vec![String::new(), "n".into()], true));
}

#[test]
fn a_bad_pattern_is_named() {
    let error = Filter::regex("user:[0-9").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the regex \"user:[0-9\" is refused at character 6: unclosed character class"
    );
    assert!(matches!(error, Error::BadArgument(_)));
}
