//! What all connections of one door share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings::{Database, Peer};
use tidings_tokens::LiveTokens;

use crate::cursors::Cursors;
use crate::metrics::Metrics;
use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::session::Selected;

/// How many databases have a number, as in Redis unless it is told otherwise.
pub(crate) const NUMBERED_MAX: i64 = 16;
/// Where the database with a number is; number 0 is the default of the door.
const NUMBERED: &str = "redis";
/// Turns that commands wait for; two keys with one turn wait for each other without need.
const TURNS: usize = 64;

/// Most bytes of requests that all connections together have begun, or queued, beyond what each may have
/// without asking: some tens of the longest requests.
const HELD_BYTES_MAX: usize = 512 << 20;

/// How many connections there may be, and how long they may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections served at once; more are answered so and closed, as Redis does.
    pub(crate) connections: usize,
    /// A client that began a request, or has not said who it is, and says nothing for so long is let go.
    pub(crate) request: Duration,
    /// A client that says nothing for so long is let go, unless it listens to messages. Pools keep
    /// connections for a while, and open them again by themselves.
    pub(crate) idle: Duration,
}

/// Those of every door, but for tests.
pub(crate) const LIMITS: Limits =
    Limits { connections: 1024, request: Duration::from_mins(1), idle: Duration::from_hours(1) };

/// What several take from, up to a bound.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    /// Takes so much instead of what was taken before. False: that is too much, and nothing changed.
    pub(crate) fn change(&self, before: usize, now: usize) -> bool {
        let Some(more) = now.checked_sub(before) else {
            self.used.fetch_sub(before - now, Ordering::Relaxed);
            return true;
        };
        let used = self.used.fetch_add(more, Ordering::Relaxed);
        let fits = used.saturating_add(more) <= self.most;
        if !fits {
            self.used.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }

    /// The bound.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Door {
    /// The peer that is served.
    pub(crate) peer: Peer,
    /// Where the door is.
    pub(crate) address: SocketAddr,
    /// The tokens that it asks for; `None`: it asks for none.
    pub(crate) tokens: Option<Arc<LiveTokens>>,
    /// The path of database 0.
    default: String,
    /// What connections may do.
    pub(crate) limits: Limits,
    /// The number of the next connection.
    pub(crate) next_id: AtomicU64,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Since when.
    pub(crate) born: Instant,
    /// Bytes of long requests.
    pub(crate) held: Budget,
    /// HTTP that came here.
    pub(crate) http: Notice,
    /// Tokens that nobody has.
    pub(crate) wrong_tokens: Notice,
    cursors: Mutex<Cursors>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl Door {
    /// A door to a peer.
    pub(crate) fn new(
        peer: Peer,
        address: SocketAddr,
        tokens: Option<Arc<LiveTokens>>,
        default: String,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            peer,
            address,
            tokens,
            default,
            limits,
            next_id: AtomicU64::new(1),
            metrics,
            born: Instant::now(),
            held: Budget { used: AtomicUsize::new(0), most: HELD_BYTES_MAX },
            http: Notice::default(),
            wrong_tokens: Notice::default(),
            cursors: Mutex::new(Cursors::new()),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
        }
    }

    /// The database of a new connection.
    pub(crate) fn default_database(&self) -> Selected {
        Selected::new("0".into(), self.default.clone())
    }

    /// The database with a number; `None` out of range.
    pub(crate) fn numbered(&self, number: i64) -> Option<Selected> {
        match number {
            0 => Some(self.default_database()),
            1..NUMBERED_MAX => Some(Selected::new(number.to_string(), path_of(number))),
            _ => None,
        }
    }

    /// The handle of a database, with the keys of a keyspace.
    ///
    /// # Errors
    /// When no definition accepts the path, or the name of the keyspace is too long.
    pub(crate) async fn open(&self, selected: &Selected) -> Result<Database, Refusal> {
        let database = self.peer.database(&selected.path).await?;
        Ok(database.keyspace(&selected.keyspace)?)
    }

    /// The table of cursors, for one look or one change.
    pub(crate) fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of those who change a key that others change at the same time.
    pub(crate) async fn turn(&self, key: &[u8]) -> tokio::sync::MutexGuard<'_, ()> {
        let hash = key
            .iter()
            .fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.turns[hash % TURNS].lock().await
    }
}

/// The path of the database with a number.
pub(crate) fn path_of(number: i64) -> String {
    format!("{NUMBERED}/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared() {
        let budget = Budget { used: AtomicUsize::new(0), most: 10 };
        assert!(budget.change(0, 6) && budget.change(0, 4));
        assert!(!budget.change(6, 7) && !budget.change(0, 1));
        assert!(budget.change(6, 2) && budget.change(4, 8));
        assert!(!budget.change(0, 1));
        assert!(budget.change(2, 0) && budget.change(8, 0) && budget.change(0, 10));
    }
}
