//! Many callers that write at the same time, from wherever they run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

use std::time::Duration;

use tidings::{Database, Definition, Peer};
use tokio::runtime::Runtime;

const CALLERS: u32 = 64;

/// Each caller writes some keys of its own; gives how many of them were answered.
async fn write(database: &Database, round: u32) -> usize {
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let database = database.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    let key = format!("{round}/{caller}/{number}");
                    let put = database.put(key, "value");
                    let answer = tokio::time::timeout(Duration::from_secs(20), put).await;
                    answer.expect("an answer").unwrap();
                }
            })
        })
        .collect();
    let mut answered = 0;
    for task in tasks {
        answered += usize::from(task.await.is_ok());
    }
    answered
}

/// Writers share commits from another runtime than the peer's. When that one has ended, and with it
/// the task that commits for all of them, every write is still answered.
#[test]
fn writers_outlive_the_runtime_of_their_peer() {
    let (peers, callers) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let (peer, database) = peers.block_on(async {
        let all = Definition::new("all", "**", 1, 1);
        let peer = Peer::in_memory().definitions(vec![all]).start().await.unwrap();
        let database = peer.database("shared").await.unwrap();
        (peer, database)
    });
    assert_eq!(callers.block_on(write(&database, 1)), CALLERS as usize);
    peers.shutdown_background();
    assert_eq!(callers.block_on(write(&database, 2)), CALLERS as usize);
    let entries = callers.block_on(peer.database_status("shared")).unwrap().entries;
    assert_eq!(entries, u64::from(2 * CALLERS * 20));
}
