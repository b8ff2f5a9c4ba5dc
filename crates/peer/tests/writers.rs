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

/// On a runtime of one thread, what was queued up is committed though its callers gave up, and nobody else
/// waits for them, also where their runtime stands still.
#[test]
fn writers_of_one_thread_may_give_up() {
    let own = Runtime::new().unwrap();
    let one = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (still, other) = (one(), one());
    let (_peer, database) = own.block_on(async {
        let all = Definition::new("all", "**", 1, 1);
        let peer = Peer::in_memory().definitions(vec![all]).start().await.unwrap();
        let database = peer.database("shared").await.unwrap();
        (peer, database)
    });
    still.block_on(async {
        let given_up = database.put("given up", "value");
        tokio::select! { biased; _ = given_up => panic!("a turn is left out"), () = async {} => {} }
        let left = database.clone();
        tokio::spawn(async move { left.put("left", "value").await });
        tokio::task::yield_now().await;
    });
    let limit = Duration::from_secs(20);
    for runtime in [&other, &own] {
        runtime.block_on(async {
            let put = tokio::time::timeout(limit, database.put("key", "value")).await;
            put.expect("an answer").unwrap();
            assert!(database.get("given up").await.unwrap().is_some());
        });
    }
    assert_eq!(other.block_on(write(&database, 3)), CALLERS as usize);
    assert_eq!(own.block_on(write(&database, 4)), CALLERS as usize);
    assert!(other.block_on(database.get("left")).unwrap().is_some());
}
