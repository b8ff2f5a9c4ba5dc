//! A database on disk: written, read, and still there after a restart.
//!
//! `cargo run -p tidings --example hello`. The peer keeps its data in a directory named on the command
//! line, or in one under the system's temporary directory.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::path::{Path, PathBuf};

use tidings::{Definition, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("tidings-hello-{}", std::process::id())),
        PathBuf::from,
    );
    println!("data in {}", directory.display());
    write(&directory).await?;
    read(&directory).await
}

/// The first start: makes the directory, says which paths are databases, and writes to one.
async fn write(directory: &Path) -> Result<()> {
    let notes = Definition::new("notes", "notes/*", 1, 3);
    let peer = Peer::builder(directory).definitions(vec![notes]).start().await?;
    let notes = peer.database("notes/mine").await?;
    notes.put("greeting", "hello").await?;
    notes.put("farewell", "goodbye").await?;
    // Keys and values are bytes; text is only the usual case.
    notes.put([0, 255], [1, 2, 3]).await?;
    notes.delete("farewell").await?;
    println!("wrote a greeting, and took the farewell back");
    peer.shutdown().await
}

/// The second start: definitions and data are there.
async fn read(directory: &Path) -> Result<()> {
    let peer = Peer::builder(directory).start().await?;
    let notes = peer.database("notes/mine").await?;
    let greeting = notes.get("greeting").await?;
    assert_eq!(greeting, Some(b"hello".to_vec()));
    assert_eq!(notes.get([0, 255]).await?, Some(vec![1, 2, 3]));
    // A key that was deleted, or never written, is no error.
    assert_eq!(notes.get("farewell").await?, None);
    println!("after a restart: {}", String::from_utf8_lossy(&greeting.unwrap_or_default()));
    peer.shutdown().await
}
