//! When a write is acknowledged, and what it costs to ask for more.
//!
//! `cargo run --release -p tidings --example durability`. The peer keeps its data in a directory named
//! on the command line, or in one under the system's temporary directory.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, Instant};

use tidings::{Definition, Durability, Error, Peer, Result, WriteOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("tidings-durability-{}", std::process::id())),
        std::path::PathBuf::from,
    );
    println!("data in {}", directory.display());
    let peer = Peer::builder(&directory)
        .definitions(vec![Definition::new("notes", "notes/*", 1, 3)])
        .start()
        .await?;
    let notes = peer.database("notes/mine").await?;
    notes.put("first", "the first write creates the database").await?;

    // The default: the operating system has it. It survives the end of this process.
    let started = Instant::now();
    notes.put("draft", "may go with the power").await?;
    println!("buffered: {:?}", started.elapsed());

    // The disk has it. Many writers at once share one sync.
    let synced = WriteOptions { durability: Some(Durability::Synced), ..WriteOptions::default() };
    let started = Instant::now();
    notes.put_with("contract", "survives a power cut", &synced).await?;
    println!("synced:   {:?}", started.elapsed());

    // Two holders have it, each on its disk. There is only one here, so this times out. The write is
    // kept all the same, and reaches the other holders once there are any.
    let two = WriteOptions { acks: Some(2), timeout: Some(Duration::from_millis(500)), ..synced };
    match notes.put_with("will", "should be at two places", &two).await {
        Ok(version) => println!("at two holders: {version}"),
        Err(error @ Error::UnderReplicated { .. }) => println!("not yet:  {error}"),
        Err(error) => return Err(error),
    }
    assert!(notes.get("will").await?.is_some());
    peer.shutdown().await
}
