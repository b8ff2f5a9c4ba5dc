//! The bounded queue between [`Network::send`](super::Network::send) and a peer's writer task.
//!
//! Bounded in bytes, never waiting on the sending side, and handing over straight to the writer:
//! a frame does not pass through the task that owns the swarm.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::limits::QUEUED_OVERHEAD_BYTES;

/// A byte-bounded queue of frames with many senders and one writer.
pub(super) struct SendQueue {
    limit_bytes: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Vec<u8>>,
    /// What waits and what is being written, overhead included.
    bytes: usize,
    closed: bool,
}

impl SendQueue {
    /// An empty queue that holds at most `limit_bytes`.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, state: Mutex::default(), changed: Notify::new() }
    }

    /// Adds a frame, or says that it does not fit or that the queue is closed.
    pub(super) fn push(&self, frame: Vec<u8>) -> bool {
        let cost = cost(&frame);
        let mut state = self.lock();
        if state.closed || state.bytes + cost > self.limit_bytes {
            return false;
        }
        state.bytes += cost;
        let writer_may_sleep = state.frames.is_empty();
        state.frames.push_back(frame);
        drop(state);
        if writer_may_sleep {
            self.changed.notify_one();
        }
        true
    }

    /// Moves frames of about `max_bytes` into `batch`, at least one if there is one.
    pub(super) fn take(&self, batch: &mut Vec<Vec<u8>>, max_bytes: usize) -> Taken {
        let mut state = self.lock();
        let mut bytes = 0;
        while bytes < max_bytes
            && let Some(frame) = state.frames.pop_front()
        {
            bytes += cost(&frame);
            batch.push(frame);
        }
        match bytes {
            0 if state.closed => Taken::Closed,
            0 => Taken::Nothing,
            _ => Taken::Frames(bytes),
        }
    }

    /// Gives the room of written frames back.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Waits until there may be something to take.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Wakes the writer without adding a frame.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Refuses further frames; what waits may still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`SendQueue::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Frames of this many bytes, to be given back by [`SendQueue::release`].
    Frames(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

fn cost(frame: &[u8]) -> usize {
    frame.len() + QUEUED_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound covers what waits and what is being written, and comes back when it is written.
    #[test]
    fn the_bound_holds_until_frames_are_written() {
        let queue = SendQueue::new(3 * (100 + QUEUED_OVERHEAD_BYTES));
        for _ in 0..3 {
            assert!(queue.push(vec![0; 100]));
        }
        assert!(!queue.push(vec![]), "not even an empty frame fits");
        let mut batch = Vec::new();
        let Taken::Frames(bytes) = queue.take(&mut batch, 150) else { panic!("nothing taken") };
        assert_eq!(batch.len(), 2);
        assert!(!queue.push(vec![0; 100]), "being written");
        queue.release(bytes);
        assert!(queue.push(vec![0; 100]));
    }

    /// A closed queue refuses frames and gives out what it has before it says so.
    #[test]
    fn a_closed_queue_is_emptied_first() {
        let queue = SendQueue::new(1000);
        assert!(queue.push(vec![1]));
        queue.close();
        assert!(!queue.push(vec![2]));
        let mut batch = Vec::new();
        assert!(matches!(queue.take(&mut batch, 1000), Taken::Frames(_)));
        assert_eq!(queue.take(&mut batch, 1000), Taken::Closed);
        assert_eq!(batch, [vec![1]]);
    }
}
