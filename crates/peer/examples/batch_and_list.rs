//! Writing several keys at once, reading them back page by page, and scanning a range.
//!
//! `cargo run -p tidings --example batch_and_list`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::ops::Bound;
use std::pin::pin;

use futures::TryStreamExt as _;
use tidings::{Batch, Definition, ListOptions, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let peer = Peer::in_memory()
        .definitions(vec![Definition::new("stock", "stock/*", 1, 1)])
        .start()
        .await?;
    let stock = peer.database("stock/shop").await?;

    // All or nothing, in one commit: at most 10,000 writes and 1 MiB.
    let mut batch = Batch::new();
    for number in 0..25 {
        batch.put(format!("apple/{number:03}"), format!("{} g", 150 + number));
    }
    batch.put("pear/001", "180 g").delete("apple/013");
    let versions = stock.batch(batch).await?;
    println!("{} writes, one commit", versions.len());
    assert_eq!(versions.len(), 27);

    // Keys ascend by bytes. A page that is not the last has a cursor to go on from.
    let mut options =
        ListOptions { prefix: b"apple/".to_vec(), limit: 10, ..ListOptions::default() };
    let mut listed = 0;
    loop {
        let page = stock.list(&options).await?;
        let first = page.entries.first().map(|entry| text(&entry.key)).unwrap_or_default();
        let last = page.entries.last().map(|entry| text(&entry.key)).unwrap_or_default();
        println!("a page of {}: {first} to {last}", page.entries.len());
        listed += page.entries.len();
        if page.cursor.is_none() {
            break;
        }
        options.cursor = page.cursor;
    }
    assert_eq!(listed, 24, "25 apples, of which one was deleted in the same batch");

    // A stream of one moment: what is written meanwhile does not show.
    let start = Bound::Included(b"apple/020".to_vec());
    let mut entries = pin!(stock.scan(start, Bound::Unbounded));
    let mut keys = Vec::new();
    while let Some(entry) = entries.try_next().await? {
        println!("{} = {}", text(&entry.key), text(&entry.value));
        keys.push(text(&entry.key));
    }
    assert_eq!(keys.len(), 6);
    assert_eq!(keys.last().map(String::as_str), Some("pear/001"));
    peer.shutdown().await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
