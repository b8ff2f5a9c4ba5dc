//! A settings cache: read from memory, kept up to date by a watch, whoever changes a setting.
//!
//! `cargo run -p tidings --example settings`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::collections::BTreeMap;

use tidings::{Database, Definition, Error, ListOptions, Peer, Result};
use tokio::sync::watch;

type Settings = BTreeMap<String, String>;

/// Keeps `cache` equal to the database until the peer stops.
async fn follow(database: Database, cache: watch::Sender<Settings>) -> Result<()> {
    loop {
        // The watch begins before the reading, so that nothing falls between the two.
        let mut changes = database.watch("").await?;
        cache.send_replace(read_all(&database).await?);
        loop {
            match changes.next().await {
                Some(Ok(change)) => cache.send_modify(|settings| {
                    let key = text(&change.key);
                    match change.value {
                        Some(value) => settings.insert(key, text(&value)),
                        None => settings.remove(&key),
                    };
                }),
                // Changes were missed: read everything again.
                Some(Err(Error::Lagged)) => break,
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }
}

async fn read_all(database: &Database) -> Result<Settings> {
    let mut settings = Settings::new();
    let mut options = ListOptions::default();
    loop {
        let page = database.list(&options).await?;
        settings.extend(page.entries.iter().map(|entry| (text(&entry.key), text(&entry.value))));
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            return Ok(settings);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::main]
async fn main() -> Result<()> {
    let definition = Definition::new("settings", "settings", 1, 3);
    let peer = Peer::in_memory().definitions(vec![definition]).start().await?;
    let database = peer.database("settings").await?;
    database.put("theme", "light").await?;
    database.put("beta", "on").await?;

    let (sender, mut cache) = watch::channel(Settings::new());
    let following = tokio::spawn(follow(database.clone(), sender));
    let gone = |_| Error::Closed("the cache".into());
    let seen = cache.wait_for(|settings| settings.len() == 2).await.map_err(gone)?.clone();
    println!("at the start: {seen:?}");

    // Anybody who writes, here or at another peer, changes what the cache says.
    database.put("theme", "dark").await?;
    database.delete("beta").await?;
    let wanted = Settings::from([("theme".to_owned(), "dark".to_owned())]);
    let seen = cache.wait_for(|settings| *settings == wanted).await.map_err(gone)?.clone();
    println!("afterwards:   {seen:?}");

    peer.shutdown().await?;
    // The watch ends with the peer; what was read last stays in the cache.
    let ended = following.await.map_err(|error| Error::Internal(error.to_string()))?;
    assert!(matches!(ended, Ok(()) | Err(Error::Closed(_))), "{ended:?}");
    assert_eq!(*cache.borrow(), wanted);
    Ok(())
}
