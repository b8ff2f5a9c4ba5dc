//! Entries that expire: after a time, at a moment, or because the definition says so.
//!
//! `cargo run -p tidings --example expiry`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, SystemTime};

use tidings::{Batch, Definition, Peer, Result, WriteOptions};

#[tokio::main]
async fn main() -> Result<()> {
    // What is put into codes/* vanishes after ten minutes, unless the call says otherwise.
    let mut codes = Definition::new("codes", "codes/*", 1, 3);
    codes.ttl = Some(600_000);
    let peer = Peer::in_memory()
        .definitions(vec![codes, Definition::new("cache", "cache/*", 1, 3)])
        .start()
        .await?;

    let codes = peer.database("codes/login").await?;
    codes.put("alice", "314159").await?;
    let entry = codes.get_entry("alice").await?;
    let left = entry.and_then(|entry| entry.expires?.duration_since(SystemTime::now()).ok());
    assert!(left.is_some_and(|left| left > Duration::from_mins(9)));
    println!("the code of alice vanishes in {left:.0?}");

    // A time for this call alone. Reads stop to show the entry at once; no sweep has to run first.
    let cache = peer.database("cache/pages").await?;
    let brief = WriteOptions { ttl: Some(Duration::from_millis(200)), ..WriteOptions::default() };
    cache.put_with("/news", "<h1>News</h1>", &brief).await?;
    let mut reads = 0;
    while cache.get("/news").await?.is_some() {
        reads += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("the page was there {reads} times, and then no more");

    // A moment of its own for each entry of a batch. One that has passed is hidden at once.
    let now = SystemTime::now();
    let mut batch = Batch::new();
    batch
        .put_until("tomorrow", "still here", now + Duration::from_hours(24))
        .put_until("yesterday", "gone", now - Duration::from_hours(24))
        .put("for ever", "stays");
    cache.batch(batch).await?;
    assert!(cache.get("tomorrow").await?.is_some());
    assert!(cache.get("yesterday").await?.is_none());
    assert_eq!(cache.get_entry("for ever").await?.and_then(|entry| entry.expires), None);
    println!("tomorrow's entry is there, yesterday's is not");

    // A plain put clears the expiry of the entry before it.
    cache.put("tomorrow", "stays as well").await?;
    assert_eq!(cache.get_entry("tomorrow").await?.and_then(|entry| entry.expires), None);
    println!("put again without a time, it stays");
    peer.shutdown().await
}
