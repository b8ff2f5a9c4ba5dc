//! Three peers: a write that is acknowledged by all, and what is said when one of them is gone.
//!
//! `cargo run -p tidings --example acks`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, Instant};

use tidings::{Definition, Error, Peer, Result, WriteOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let mut peers: Vec<Peer> = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        let mut builder = Peer::in_memory().name(name).secret("a secret for this example");
        builder = builder.listen("/ip4/127.0.0.1/tcp/0");
        for address in peers.iter().flat_map(Peer::listen_addresses) {
            builder = builder.bootstrap(address);
        }
        peers.push(builder.start().await?);
    }
    let [ada, bob, cyd] = &peers[..] else { return Ok(()) };
    until(|| peers.iter().all(|peer| peer.status().live_peers == 3)).await?;
    println!("three peers are alive");

    // Three copies of every order.
    ada.apply(vec![Definition::new("orders", "orders/*", 3, 3)]).await?;
    let orders = ada.database("orders/today").await?;
    orders.put("1", "tea").await?;

    // The first write made the database; the other two are invited and fill their copies. An
    // acknowledgement counts copies that are whole, so this waits for both.
    let all = WriteOptions { acks: Some(3), ..WriteOptions::default() };
    let version = orders.put_with("2", "coffee", &all).await?;
    println!("all three have {version}");

    cyd.shutdown().await?;
    let all = WriteOptions { timeout: Some(Duration::from_millis(300)), ..all };
    match orders.put_with("3", "water", &all).await {
        Err(error @ Error::UnderReplicated { want: 3, .. }) => println!("{error}"),
        other => panic!("two of three are left: {other:?}"),
    }
    // It says "not yet", and not "no": the write is kept and goes on spreading.
    assert_eq!(orders.get("3").await?, Some(b"water".to_vec()));
    let at_bob = bob.database("orders/today").await?;
    at_bob.sync(Duration::from_secs(10)).await?;
    assert_eq!(at_bob.get("3").await?, Some(b"water".to_vec()));
    println!("it is at ada and at bob");

    // More than `max` would promise copies that are given back: it is refused, and nothing is written.
    let four = WriteOptions { acks: Some(4), ..WriteOptions::default() };
    match orders.put_with("4", "juice", &four).await {
        Err(error @ Error::BadArgument(_)) => println!("refused: {error}"),
        other => panic!("there are three copies at most: {other:?}"),
    }
    assert_eq!(orders.get("4").await?, None);
    bob.shutdown().await?;
    ada.shutdown().await
}

/// Looks again and again, ten seconds at most.
async fn until(check: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !check() {
        if began.elapsed() > Duration::from_secs(10) {
            return Err(Error::TimedOut(10_000));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
