//! Counters that two peers increment at the same time, and keyspaces that keep kinds of keys apart.
//!
//! `cargo run -p tidings --example counters`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, Instant};

use tidings::{Database, Definition, Error, Peer, Result, WriteOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let secret = "a secret for this example";
    let listen = "/ip4/127.0.0.1/tcp/0";
    let shops = vec![Definition::new("shops", "shop/*", 2, 2)];
    let ada = Peer::in_memory().secret(secret).listen(listen).definitions(shops).start().await?;
    let mut builder = Peer::in_memory().secret(secret).listen(listen);
    for address in ada.listen_addresses() {
        builder = builder.bootstrap(address);
    }
    let bob = builder.start().await?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while bob.definitions()?.is_empty() || ada.status().live_peers < 2 {
        pause(deadline).await?;
    }

    // A keyspace is a namespace of its own in the database, and shares its copies and its size.
    let at_ada = ada.database("shop/fruit").await?.keyspace("visits")?;
    let at_bob = bob.database("shop/fruit").await?.keyspace("visits")?;
    let both = WriteOptions { acks: Some(2), ..WriteOptions::default() };
    let counted = at_ada.incr_with("apples", 1, &both).await?;
    assert_eq!(counted.value, 1);

    // Both peers count at once, each without asking the other, and nothing is lost.
    tokio::try_join!(visit(&at_ada, 50), visit(&at_bob, 50))?;
    for database in [&at_ada, &at_bob] {
        while database.get("apples").await? != Some(b"101".to_vec()) {
            pause(deadline).await?;
        }
    }
    println!("101 visits, at both peers");

    // Counters go down as well, and count on from a number that was put. Reads show digits.
    at_ada.put("pears", "40").await?;
    assert_eq!(at_ada.incr("pears", 2).await?, 42);
    assert_eq!(at_ada.incr("pears", -50).await?, -8);
    assert_eq!(at_ada.get("pears").await?, Some(b"-8".to_vec()));
    at_ada.put("pears", "many").await?;
    let refused = at_ada.incr("pears", 1).await;
    assert!(matches!(refused, Err(Error::NotACounter { .. })), "{refused:?}");
    println!("\"many\" is not counted: {}", refused.map_or_else(|e| e.to_string(), |_| "?".into()));

    // A counter of each day goes by itself, once it has been given a time.
    at_ada.incr("today:plums", 1).await?;
    at_ada.expire_in("today:plums", Duration::from_hours(24)).await?;
    let entry = at_ada.get_entry("today:plums").await?;
    assert!(entry.is_some_and(|entry| entry.expires.is_some()));

    // Everything that begins like that, at once; the other keyspaces keep their keys.
    let default = ada.database("shop/fruit").await?;
    default.put("today:open", "yes").await?;
    assert_eq!(at_ada.delete_prefix("today:").await?, 1);
    assert_eq!(default.get("today:open").await?, Some(b"yes".to_vec()));
    println!("today's counters are gone, and the shop is open");

    bob.shutdown().await?;
    ada.shutdown().await
}

async fn visit(visits: &Database, times: u32) -> Result<()> {
    for _ in 0..times {
        visits.incr("apples", 1).await?;
    }
    Ok(())
}

/// A moment, unless it is too late.
async fn pause(deadline: Instant) -> Result<()> {
    if Instant::now() > deadline {
        return Err(Error::TimedOut(10_000));
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(())
}
