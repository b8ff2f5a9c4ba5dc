//! A range of keys as a stream: a report over measurements, while new ones are written.
//!
//! `cargo run -p tidings --example scan_range`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::ops::Bound;
use std::pin::pin;

use futures::TryStreamExt as _;
use tidings::{Batch, Definition, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let peer = Peer::in_memory()
        .definitions(vec![Definition::new("sensors", "sensor/*", 1, 3)])
        .start()
        .await?;
    let attic = peer.database("sensor/attic").await?;

    // Keys ascend by bytes, so write times in a form whose order is that of the bytes.
    let mut batch = Batch::new();
    for day in 1..=30 {
        for hour in 0..24 {
            batch.put(format!("2026-11-{day:02}T{hour:02}"), (10 + hour % 12).to_string());
        }
    }
    attic.batch(batch).await?;

    // From the first of the week to the end of it; the upper bound is left out.
    let start = Bound::Included(b"2026-11-09".to_vec());
    let end = Bound::Excluded(b"2026-11-16".to_vec());
    let mut week = pin!(attic.scan(start.clone(), end.clone()));
    let (mut count, mut sum) = (0_u32, 0_u32);
    while let Some(entry) = week.try_next().await? {
        if count == 0 {
            // The stream is of one moment: this one does not show in it.
            attic.put("2026-11-15T23:59", "99").await?;
        }
        count += 1;
        sum += String::from_utf8_lossy(&entry.value).parse().unwrap_or(0);
    }
    assert_eq!(count, 7 * 24);
    println!(
        "{count} measurements in a week, {} degrees on average",
        f64::from(sum) / f64::from(count)
    );

    // It is a `Stream`, so everything that streams can do works: the first hot hours, and no more.
    let hot = attic.scan(start, end).try_filter(|entry| {
        let hot = entry.value.as_slice() >= b"21".as_slice();
        std::future::ready(hot)
    });
    let mut hot = pin!(hot);
    let first = hot.try_next().await?.map(|entry| String::from_utf8_lossy(&entry.key).into_owned());
    assert_eq!(first.as_deref(), Some("2026-11-09T11"));
    println!("the first hour with 21 degrees: {}", first.unwrap_or_default());
    peer.shutdown().await
}
