//! Changes of a database as they happen, and what to do when a reader is too slow.
//!
//! `cargo run -p tidings --example watch`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use tidings::{Definition, Error, ListOptions, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let peer = Peer::in_memory()
        .definitions(vec![Definition::new("rooms", "room/*", 1, 1)])
        .start()
        .await?;
    let room = peer.database("room/kitchen").await?;
    room.put("light/table", "off").await?;

    // A watch tells what comes after it began. So begin it first, then read what is there: nothing
    // falls between the two, and a change that shows up in both does no harm.
    let mut watch = room.watch("light/").await?;
    let options = ListOptions { prefix: b"light/".to_vec(), ..ListOptions::default() };
    for entry in room.list(&options).await?.entries {
        let (key, value) = (text(&entry.key), text(&entry.value));
        println!("there already: {key} = {value}");
    }

    let writer = room.clone();
    let writing = tokio::spawn(async move {
        writer.put("light/table", "on").await?;
        writer.put("door", "open").await?; // another prefix: not told
        writer.put("light/shelf", "on").await?;
        writer.delete("light/table").await
    });

    let mut told = Vec::new();
    for _ in 0..3 {
        match watch.next().await {
            Some(Ok(change)) => {
                let key = text(&change.key);
                match change.value {
                    Some(value) => println!("put:    {key} = {}", text(&value)),
                    None => println!("delete: {key}"),
                }
                told.push(key);
            }
            // Too slow, or the holder that was watched is gone: list again, begin a new watch.
            Some(Err(Error::Lagged)) => println!("changes were missed"),
            Some(Err(error)) => return Err(error),
            None => break, // the peer stopped
        }
    }
    writing.await.map_err(|error| Error::Internal(error.to_string()))??;
    assert_eq!(told, ["light/table", "light/shelf", "light/table"]);
    peer.shutdown().await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
