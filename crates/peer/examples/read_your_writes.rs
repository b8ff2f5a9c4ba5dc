//! Reading your own writes through another peer: carry the version along.
//!
//! `cargo run -p tidings --example read_your_writes`. The case: a web page saves at one server, and its
//! next request is served by another one.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, Instant};

use tidings::{Definition, Error, Peer, Result, Version};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    let secret = "a secret for this example";
    let listen = "/ip4/127.0.0.1/tcp/0";
    let profiles = vec![Definition::new("profiles", "profile/*", 2, 2)];
    let ada = Peer::in_memory().secret(secret).listen(listen).definitions(profiles).start().await?;
    let mut builder = Peer::in_memory().secret(secret).listen(listen);
    for address in ada.listen_addresses() {
        builder = builder.bootstrap(address);
    }
    let bob = builder.start().await?;
    until(|| bob.definitions().is_ok_and(|all| !all.is_empty())).await?;
    let at_ada = ada.database("profile/alice").await?;
    let at_bob = bob.database("profile/alice").await?;

    for round in 0..100 {
        let colour = format!("colour {round}");
        let version = at_ada.put("colour", colour.clone()).await?;
        // As a cookie or a header would carry it.
        let carried = version.to_string();

        let version: Version = carried.parse().map_err(|_| Error::BadArgument(carried))?;
        let entry = at_bob.get_entry_since("colour", version, PATIENCE).await?;
        // It reflects that write, or a later one. Here there is no later one.
        assert_eq!(entry.map(|entry| entry.value), Some(colour.into_bytes()));
    }
    println!("100 writes at ada, each read at bob at once");

    // A version that never arrives is an error in the end, and never an older value.
    bob.shutdown().await?;
    let lonely = ada.database("profile/bob").await?;
    let mut version = lonely.put("colour", "green").await?;
    version.dot.sequence += 1000;
    match lonely.get_entry_since("colour", version, Duration::from_millis(100)).await {
        Err(error @ Error::TimedOut(_)) => println!("a write that nobody made: {error}"),
        other => panic!("nobody has that write: {other:?}"),
    }
    ada.shutdown().await
}

/// Looks again and again, ten seconds at most.
async fn until(check: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !check() {
        if began.elapsed() > PATIENCE {
            return Err(Error::TimedOut(PATIENCE.as_millis() as u64));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
