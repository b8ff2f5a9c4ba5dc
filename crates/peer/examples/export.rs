//! A database as JSON lines, and back: the form that `tidings export` writes and `tidings import` reads.
//!
//! `cargo run -p tidings --example export > notes.jsonl`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::ops::Bound;
use std::pin::pin;

use data_encoding::BASE64;
use futures::TryStreamExt as _;
use serde_json::{Map, Value, json};
use tidings::{Batch, Database, Definition, Error, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let peer = Peer::in_memory()
        .definitions(vec![Definition::new("notes", "notes/*", 1, 3)])
        .start()
        .await?;
    let notes = peer.database("notes/mine").await?;
    notes.put("plain", "a line\nand another").await?;
    notes.put("empty", "").await?;
    notes.put(b"\xff\x00", b"\xfe").await?; // not text
    notes.put("gone", "not for long").await?;
    notes.delete("gone").await?;

    // Standard output has the lines, and nothing else.
    let mut lines = Vec::new();
    let mut entries = pin!(notes.scan(Bound::Unbounded, Bound::Unbounded));
    while let Some(entry) = entries.try_next().await? {
        let mut line = Map::new();
        set(&mut line, "key", &entry.key);
        set(&mut line, "value", &entry.value);
        lines.push(Value::Object(line).to_string());
    }
    for line in &lines {
        println!("{line}");
    }
    eprintln!("{} entries", lines.len());
    assert!(lines.contains(&json!({"key": "plain", "value": "a line\nand another"}).to_string()));

    // Into another database. A batch would be too large for a big one: see its bounds.
    let copy = peer.database("notes/copy").await?;
    let mut batch = Batch::new();
    for line in &lines {
        let line: Value =
            serde_json::from_str(line).map_err(|error| Error::BadArgument(error.to_string()))?;
        batch.put(bytes(&line, "key")?, bytes(&line, "value")?);
    }
    copy.batch(batch).await?;
    assert_eq!(all(&copy).await?, all(&notes).await?);
    eprintln!("read back: the same");
    peer.shutdown().await
}

/// Text as it is, other bytes in base64 under another name.
fn set(line: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(name.into(), text.into()),
        Err(_) => line.insert(format!("{name}_base64"), BASE64.encode(bytes).into()),
    };
}

fn bytes(line: &Value, name: &str) -> Result<Vec<u8>> {
    if let Some(text) = line[name].as_str() {
        return Ok(text.into());
    }
    let text = line[format!("{name}_base64")].as_str().unwrap_or_default();
    BASE64.decode(text.as_bytes()).map_err(|error| Error::BadArgument(error.to_string()))
}

async fn all(database: &Database) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let entries = database.scan(Bound::Unbounded, Bound::Unbounded);
    entries.map_ok(|entry| (entry.key, entry.value)).try_collect().await
}
