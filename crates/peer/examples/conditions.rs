//! Writes with a condition, and why they are no lock.
//!
//! `cargo run -p tidings --example conditions`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use tidings::{Condition, Database, Definition, Error, Peer, Result, WriteOptions};

#[tokio::main]
async fn main() -> Result<()> {
    // One copy only: then every write is accepted by the same holder, which checks the condition.
    let peer = Peer::in_memory()
        .definitions(vec![Definition::new("accounts", "accounts", 1, 1)])
        .start()
        .await?;
    let accounts = peer.database("accounts").await?;

    // If absent: the first one gets the name.
    let absent = only_if(Condition::Absent);
    accounts.put_with("name/alice", "user 1", &absent).await?;
    match accounts.put_with("name/alice", "user 2", &absent).await {
        Err(error @ Error::ConditionFailed(_)) => println!("the name is taken: {error}"),
        other => panic!("the name was given away twice: {other:?}"),
    }

    // If the version is still the one that was read: many writers, and no increment is lost.
    accounts.put("visits", "0").await?;
    let mut writers = Vec::new();
    for _ in 0..4 {
        let accounts = accounts.clone();
        writers.push(tokio::spawn(async move {
            for _ in 0..25 {
                increment(&accounts).await?;
            }
            Result::<()>::Ok(())
        }));
    }
    for writer in writers {
        writer.await.map_err(|error| Error::Internal(error.to_string()))??;
    }
    assert_eq!(accounts.get("visits").await?, Some(b"100".to_vec()));
    println!("four writers added one 25 times each: 100");

    // It is no lock. With more copies, two holders may accept one write each at the same time, each
    // with its condition true; the later stamp wins then, everywhere, and the other value is gone.
    println!("with `max` above 1, two holders could both have said yes");
    peer.shutdown().await
}

fn only_if(condition: Condition) -> WriteOptions {
    WriteOptions { condition: Some(condition), ..WriteOptions::default() }
}

/// Reads, adds one, and writes if nobody wrote meanwhile; otherwise begins again.
async fn increment(accounts: &Database) -> Result<()> {
    loop {
        let Some(entry) = accounts.get_entry("visits").await? else { return Ok(()) };
        let visits: u64 = String::from_utf8_lossy(&entry.value).parse().unwrap_or(0);
        let unchanged = only_if(Condition::Version(entry.version));
        match accounts.put_with("visits", (visits + 1).to_string(), &unchanged).await {
            Err(Error::ConditionFailed(_)) => {}
            done => return done.map(|_| ()),
        }
    }
}
