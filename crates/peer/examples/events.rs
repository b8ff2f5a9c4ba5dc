//! What a peer tells its operator: others that come and go, copies that are complete, alarms.
//!
//! `cargo run -p tidings --example events`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use tidings::{Definition, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let secret = "a secret for this example";
    let listen = "/ip4/127.0.0.1/tcp/0";
    let definitions = vec![Definition::new("profiles", "profile/*", 2, 2)];
    let ada = Peer::in_memory().name("ada").secret(secret).listen(listen);
    let ada = ada.definitions(definitions).start().await?;
    ada.database("profile/alice").await?.put("colour", "green").await?;

    let mut builder = Peer::in_memory().name("bob").secret(secret).listen(listen);
    for address in ada.listen_addresses() {
        builder = builder.bootstrap(address);
    }
    let bob = builder.start().await?;

    // Events wait for whoever fetches them, the newest 1,024. A program would have a task that logs
    // them, the alarms as warnings: those want a person.
    wait_for(&ada, "peer bob").await;
    wait_for(&bob, "the copy of \"profile/alice\" is complete").await;
    let status = ada.database_status("profile/alice").await?;
    assert_eq!(status.holders.len(), 2);

    bob.shutdown().await?;
    wait_for(&ada, &format!("peer {} is down", bob.id())).await;

    // There are no events after the end: a task that logs them ends as well.
    ada.shutdown().await?;
    while let Some(event) = ada.next_event().await {
        println!("ada, at the end: {}", event.text);
    }
    println!("no more events");
    Ok(())
}

/// Prints events until one of them says this.
async fn wait_for(peer: &Peer, what: &str) {
    let name = peer.status().name;
    while let Some(event) = peer.next_event().await {
        let kind = if event.alarm { "alarm" } else { "event" };
        println!("{name}: {kind}: {}", event.text);
        if event.text.contains(what) {
            return;
        }
    }
    panic!("{name} stopped before it said {what:?}");
}
