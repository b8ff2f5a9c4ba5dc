//! Log lines that clients can cause: one a second at most of each kind, with how many there were.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two lines of one kind: enough to be seen, too little to fill a disk.
const PAUSE: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When a line was written.
    last: Option<Instant>,
    /// What happened since.
    untold: u64,
}

impl Notice {
    /// Counts what happened. Where a line is due: how often it happened since the last line, this time
    /// included.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.untold += 1;
        if state.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_counts_what_was_not_told() {
        let (notice, begin) = (Notice::default(), Instant::now());
        let due = |millis| notice.due(begin + Duration::from_millis(millis));
        assert_eq!(due(0), Some(1));
        assert_eq!([due(0), due(500), due(999)], [None; 3]);
        assert_eq!(due(1000), Some(4));
        assert_eq!(due(1999), None);
        assert_eq!([due(2500), due(3500)], [Some(2), Some(1)]);
    }
}
