//! Shutting down cleanly: on a signal, with everything on disk and the directory free for the next one.
//!
//! `cargo run -p tidings --example shutdown`. With `-- wait` it runs until Ctrl-C.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::Duration;

use tidings::{Database, Definition, Error, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("tidings-shutdown-{}", std::process::id()));
    let definition = Definition::new("log", "log", 1, 3);
    let peer = Peer::builder(&directory).definitions(vec![definition]).start().await?;
    let log = peer.database("log").await?;

    // One process at a time: a second one is told which one has the directory.
    match Peer::builder(&directory).start().await {
        Err(error @ Error::Start(_)) => println!("a second one: {error}"),
        other => panic!("two peers have one directory: {other:?}"),
    }

    let writing = tokio::spawn(write_on(log.clone()));
    while log.get("00000009").await?.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if std::env::args().nth(1).as_deref() == Some("wait") {
        println!("writing until Ctrl-C");
        let _ = tokio::signal::ctrl_c().await;
    }

    // Tells the other peers, so that they need not find out; syncs the disk; closes all handles.
    peer.shutdown().await?;
    drop((log, peer));
    let written = writing.await.map_err(|error| Error::Internal(error.to_string()))??;
    println!("stopped after {written} writes");

    // Everything that was acknowledged is there. The last handle is gone, and with it the lock.
    let again = Peer::builder(&directory).start().await?;
    let log = again.database("log").await?;
    let entries = log.status().await?.entries;
    assert!(entries >= written, "{entries} entries of {written}");
    println!("started again: {entries} entries");
    again.shutdown().await
}

/// Writes until the peer is closed; gives how many writes were acknowledged.
async fn write_on(log: Database) -> Result<u64> {
    let mut written = 0;
    loop {
        match log.put(format!("{written:08}"), "something happened").await {
            Ok(_) => written += 1,
            Err(Error::Closed(_)) => return Ok(written),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
