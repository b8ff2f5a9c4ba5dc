//! Which paths are databases: matchers, which one wins, and what a path that none accepts gets.
//!
//! `cargo run -p tidings --example definitions`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use tidings::{Definition, Error, Peer, Result};

#[tokio::main]
async fn main() -> Result<()> {
    // The text of a matcher decides its kind; `exact:`, `glob:` and `regex:` say it outright.
    let settings = Definition::new("settings", "settings", 1, 3); // this path only
    let profiles = Definition::new("profiles", "profile/*", 1, 3); // one segment below profile/
    let sensors = Definition::new("sensors", "sensor/[0-9]+", 1, 3); // a regular expression
    let peer = Peer::in_memory().definitions(vec![settings, profiles, sensors]).start().await?;

    for (path, name) in
        [("settings", "settings"), ("profile/alice", "profiles"), ("sensor/17", "sensors")]
    {
        let database = peer.database(path).await?;
        assert_eq!(database.definition().name, name);
        println!("{path} is a database, defined by {name}");
    }

    // No definition accepts these. The error names the nearest matchers.
    for path in ["settings/old", "profile/alice/history", "sensor/attic"] {
        match peer.database(path).await {
            Err(error @ Error::NoMatch { .. }) => println!("refused: {error}"),
            other => panic!("{path} should match nothing: {other:?}"),
        }
    }

    // Definitions are added and changed while peers run; others hear of it.
    let report = peer
        .apply(vec![
            Definition { size: Some(1000), ..Definition::new("profiles", "profile/*", 1, 3) },
            Definition::new("histories", "profile/*/history", 1, 3),
        ])
        .await?;
    assert_eq!(
        (report.created, report.changed),
        (vec!["histories".into()], vec!["profiles".into()])
    );
    println!("profile/alice/history is a database now");
    peer.database("profile/alice/history").await?.put("2026-11-21", "read the news").await?;

    // From now on, a profile has at most 1,000 bytes of keys and values.
    let alice = peer.database("profile/alice").await?;
    match alice.put("photo", vec![0; 2000]).await {
        Err(error @ Error::NoSpace { .. }) => println!("refused: {error}"),
        other => panic!("2,000 bytes do not fit: {other:?}"),
    }

    // Two definitions may accept one path; the greater priority comes first.
    let vip = Definition { priority: 10, ..Definition::new("vip", "profile/alice", 2, 3) };
    for sentence in peer.apply(vec![vip]).await?.overlaps {
        println!("note: {sentence}");
    }
    assert_eq!(peer.database("profile/alice").await?.definition().name, "vip");
    assert_eq!(peer.database("profile/bob").await?.definition().name, "profiles");
    println!("profile/alice is defined by vip, profile/bob by profiles");
    peer.shutdown().await
}
