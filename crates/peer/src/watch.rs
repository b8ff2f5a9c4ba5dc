//! Watches: winning changes of one database, as they happen.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use tidings_core::error::Error;
use tidings_core::ident::DatabaseId;
use tidings_core::node::Changes;
use tidings_core::position::Position;
use tidings_core::record::Payload;
use tidings_core::rows::split_key;
use tidings_core::stamp::Version;
use tokio::sync::mpsc;

use crate::Result;
use crate::expiry;
use crate::shared::Shared;

/// Commits that a slow watch may lag behind before it is told so.
const LAG_MAX: usize = 1024;

/// What a watch has been told, so that another one goes on from there: at this peer or another one, now or
/// after a restart. As text it is some 40 characters for each start of a peer that ever wrote to the
/// database.
#[derive(Clone, PartialEq, Eq)]
pub struct WatchToken(Position);

impl std::fmt::Debug for WatchToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WatchToken").field(&self.0).finish()
    }
}

impl std::fmt::Display for WatchToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0.to_bytes()))
    }
}

impl std::str::FromStr for WatchToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let position = bytes.and_then(|bytes| Position::from_bytes(&bytes));
        position.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Error::BadArgument(format!(
                "{shown:?} is no token of a watch: give one as it came with a change"
            ))
        })
    }
}

impl WatchToken {
    pub(crate) fn position(&self) -> &Position {
        &self.0
    }
}

/// One winning change seen by a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None`: deleted.
    pub value: Option<Vec<u8>>,
    /// When the value expires, or did already; `None`: it stays, or was deleted.
    pub expires: Option<SystemTime>,
    /// The write that won.
    pub version: Version,
}

#[derive(Debug)]
struct Sender {
    changes: mpsc::Sender<Arc<Changes>>,
    lagged: Arc<AtomicBool>,
}

/// All watches of one peer.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    here: HashMap<DatabaseId, Vec<Sender>>,
    elsewhere: HashMap<u64, Sender>,
}

impl Watches {
    pub(crate) fn changed(&mut self, id: DatabaseId, changes: &Arc<Changes>) {
        if let Some(senders) = self.here.get_mut(&id) {
            senders.retain(|sender| sender.send(changes));
        }
    }

    pub(crate) fn changed_elsewhere(&mut self, token: u64, changes: Result<Changes>) {
        let Some(sender) = self.elsewhere.get(&token) else { return };
        let kept = if let Ok(changes) = changes {
            sender.send(&changes.into())
        } else {
            sender.lagged.store(true, Ordering::Release);
            false
        };
        if !kept {
            self.elsewhere.remove(&token);
        }
    }

    /// Ends the watches of a database that came into being elsewhere: they would see nothing of it.
    pub(crate) fn lost(&mut self, id: DatabaseId) {
        for sender in self.here.remove(&id).into_iter().flatten() {
            sender.lagged.store(true, Ordering::Release);
        }
    }

    /// Ends every watch.
    pub(crate) fn close(&mut self) {
        self.here.clear();
        self.elsewhere.clear();
    }
}

impl Sender {
    /// False: the watch is over, or too slow.
    fn send(&self, changes: &Arc<Changes>) -> bool {
        match self.changes.try_send(changes.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lagged.store(true, Ordering::Release);
                false
            }
        }
    }
}

/// Where the changes of a watch come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The copy of this peer.
    Here(DatabaseId),
    /// A holder, under the token of the request.
    Elsewhere(u64),
}

/// The changes of one database from now on, or since a token. Ends with [`Error::Lagged`] when the reader is
/// too slow, the connection to the watched holder broke, the database was dropped, or it came into being at
/// other peers: then go on with [`token`](Watch::token) and [`watch_after`](crate::Database::watch_after).
/// Ends with `None` when the peer stops.
pub struct Watch {
    shared: Arc<Shared>,
    source: Source,
    prefix: Vec<u8>,
    changes: mpsc::Receiver<Arc<Changes>>,
    lagged: Arc<AtomicBool>,
    ready: VecDeque<Change>,
    told: Position,
    /// What will have been told after the changes that are ready.
    next: Option<Position>,
    over: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Watch {
    /// Registers a watch; the caller has told the node of it, under the same lock.
    pub(crate) fn register(
        shared: &Arc<Shared>,
        source: Source,
        prefix: Vec<u8>,
        told: Position,
    ) -> Self {
        let (sender, changes) = mpsc::channel(LAG_MAX);
        let lagged = Arc::new(AtomicBool::new(false));
        let sender = Sender { changes: sender, lagged: lagged.clone() };
        let mut watches = shared.watches.lock().unwrap_or_else(PoisonError::into_inner);
        match source {
            Source::Here(id) => watches.here.entry(id).or_default().push(sender),
            Source::Elsewhere(token) => {
                watches.elsewhere.insert(token, sender);
            }
        }
        drop(watches);
        let (shared, ready) = (shared.clone(), VecDeque::new());
        Self { shared, source, prefix, changes, lagged, ready, told, next: None, over: false }
    }

    /// What came before the watch began.
    pub(crate) fn begin(&mut self, since: &Changes) {
        self.take(since);
    }

    /// What this watch has told: all changes that [`next`](Watch::next) returned, but for those of a batch
    /// of which it did not return all.
    pub fn token(&self) -> WatchToken {
        WatchToken(self.told.clone())
    }

    /// The next change.
    ///
    /// Cancel-safe: a change is not lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Change>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                if self.ready.is_empty()
                    && let Some(next) = self.next.take()
                {
                    self.told = next;
                }
                return Some(Ok(change));
            }
            if self.over {
                return None;
            }
            if let Some(changes) = self.changes.recv().await {
                self.take(&changes);
            } else {
                self.over = true;
                if self.lagged.load(Ordering::Acquire) {
                    return Some(Err(Error::Lagged));
                }
            }
        }
    }

    fn take(&mut self, changes: &Changes) {
        for (stored, record) in &changes.changes {
            if !stored.starts_with(&self.prefix) {
                continue;
            }
            let Some((_, key)) = split_key(stored) else { continue };
            let (value, expires) = match record.payload() {
                Payload::Value(value, expires) => (Some(value.clone()), *expires),
                _ => (None, None),
            };
            let expires = expires.map(expiry::from_millis);
            let (key, version) = (key.to_vec(), record.version());
            self.ready.push_back(Change { key, value, expires, version });
        }
        if self.ready.is_empty() {
            self.told = changes.position.clone();
        } else {
            self.next = Some(changes.position.clone());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.changes.close();
        let source = self.source;
        if self.shared.check().is_ok() {
            let _ = self.shared.with(|node, now| match source {
                Source::Here(id) => node.unwatch(id),
                Source::Elsewhere(token) => node.unwatch_elsewhere(token, now),
            });
        }
        let mut watches = self.shared.watches.lock().unwrap_or_else(PoisonError::into_inner);
        match source {
            Source::Here(id) => {
                if let Some(senders) = watches.here.get_mut(&id) {
                    senders.retain(|sender| !sender.changes.is_closed());
                    if senders.is_empty() {
                        watches.here.remove(&id);
                    }
                }
            }
            Source::Elsewhere(token) => {
                watches.elsewhere.remove(&token);
            }
        }
    }
}
