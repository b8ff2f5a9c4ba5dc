//! A peer in memory for the unit tests of your own program: no files, no network, no waiting.
//!
//! `cargo run -p tidings --example unit_test`. In your program, `main` would be a test:
//! `#[tokio::test] async fn the_last_one_goes_once() { … }`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use tidings::{Condition, Database, Definition, Error, Peer, Result, WriteOptions};

/// What your program does with a database, and what you want to test: sells a thing once.
async fn sell(stock: &Database, thing: &str) -> Result<bool> {
    let there = WriteOptions { condition: Some(Condition::Present), ..WriteOptions::default() };
    match stock.delete_with(thing, &there).await {
        Ok(_) => Ok(true),
        Err(Error::ConditionFailed(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A stock with nothing in it. It is nobody else's, so tests can run at the same time.
async fn empty_stock() -> Result<(Peer, Database)> {
    let definition = Definition::new("stock", "stock", 1, 1);
    let peer = Peer::in_memory().definitions(vec![definition]).start().await?;
    let stock = peer.database("stock").await?;
    Ok((peer, stock))
}

#[tokio::main]
async fn main() -> Result<()> {
    let (peer, stock) = empty_stock().await?;
    assert!(!sell(&stock, "teapot").await?, "what is not there cannot be sold");

    stock.put("teapot", "blue").await?;
    assert!(sell(&stock, "teapot").await?);
    assert!(!sell(&stock, "teapot").await?, "the last one goes once");
    println!("the last teapot was sold once");

    // Two tests side by side do not meet.
    let (other_peer, other_stock) = empty_stock().await?;
    other_stock.put("teapot", "red").await?;
    assert_eq!(stock.get("teapot").await?, None);
    println!("another stock has a teapot, this one has none");

    // What your program does when the store is gone can be tested as well.
    peer.shutdown().await?;
    let error = sell(&stock, "teapot").await.err();
    assert!(matches!(error, Some(Error::Closed(_))), "{error:?}");
    println!("after the end: {}", error.map(|error| error.to_string()).unwrap_or_default());
    other_peer.shutdown().await
}
