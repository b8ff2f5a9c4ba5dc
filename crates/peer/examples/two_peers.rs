//! Two peers of one cluster in one process: a write at one is read at the other.
//!
//! `cargo run -p tidings --example two_peers`. They keep their data in memory and meet on loopback; with
//! `Peer::builder("directory")` they would keep it on disk and find each other by mDNS.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, Instant};

use tidings::{Definition, Error, Peer, Result, WriteOptions};

#[tokio::main]
async fn main() -> Result<()> {
    // Peers with the same secret are one cluster; it has at least 16 bytes.
    let secret = "a secret for this example";
    let listen = "/ip4/127.0.0.1/tcp/0";
    let ada = Peer::in_memory().name("ada").secret(secret).listen(listen).start().await?;
    let mut builder = Peer::in_memory().name("bob").secret(secret).listen(listen);
    for address in ada.listen_addresses() {
        builder = builder.bootstrap(address);
    }
    let bob = builder.start().await?;
    wait_until("both peers are alive", || ada.status().live_peers == 2).await?;
    println!("ada is {}", ada.id());
    println!("bob is {}", bob.id());

    // Every path that the matcher accepts is a database with two copies.
    ada.apply(vec![Definition::new("profiles", "profile/*", 2, 2)]).await?;
    wait_until("bob knows the definition", || bob.definitions().is_ok_and(|all| !all.is_empty()))
        .await?;

    let at_ada = ada.database("profile/alice").await?;
    let version = at_ada.put("colour", "green").await?;
    println!("written at ada as {version}");

    // Opened by its path, from anywhere. Until bob has a copy of his own, he asks ada.
    let at_bob = bob.database("profile/alice").await?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let value = loop {
        if let Some(value) = at_bob.get("colour").await? {
            break value;
        }
        if Instant::now() > deadline {
            return Err(Error::TimedOut(10_000));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    println!("read at bob: {}", String::from_utf8_lossy(&value));
    assert_eq!(value, b"green");

    // The later write wins, wherever it was made. This one is acknowledged once both have it.
    let both = WriteOptions { acks: Some(2), ..WriteOptions::default() };
    at_bob.put_with("colour", "blue", &both).await?;
    let value = at_ada.get("colour").await?.unwrap_or_default();
    println!("read at ada: {}", String::from_utf8_lossy(&value));
    assert_eq!(value, b"blue");

    bob.shutdown().await?;
    ada.shutdown().await
}

/// Looks again and again, ten seconds at most.
async fn wait_until(what: &str, check: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !check() {
        if Instant::now() > deadline {
            println!("gave up waiting until {what}");
            return Err(Error::TimedOut(10_000));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
