//! Waiting, for tests with several peers.

use std::time::{Duration, Instant};

/// Waits until something is so, with a deadline.
pub(crate) async fn wait_within(time: Duration, what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !check().await {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
