//! Watching a database.

use std::time::Duration;

use tidings_core::error::Error;
use tidings_core::message::{Operation, Reply};
use tidings_core::node::{Changes, Place};
use tidings_core::position::Position;
use tokio::time::Instant;

use super::Database;
use crate::Result;
use crate::watch::{Source, Watch, WatchToken};

/// How long a watch that goes on waits for a holder that reflects its token.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How often it asks.
const CATCH_UP_STEP: Duration = Duration::from_millis(50);

impl Database {
    /// Winning changes, local and remote, of keys with this prefix, from now on.
    ///
    /// # Errors
    /// See [`Database`].
    pub async fn watch(&self, prefix: impl Into<Vec<u8>>) -> Result<Watch> {
        let began = self.begin_watch(prefix.into(), None).await?;
        began.ok_or_else(|| Error::Internal("a new watch was told to wait".into()))
    }

    /// Winning changes, local and remote, of keys with this prefix, since an earlier watch told what its
    /// token says: at whichever peer that was. Of each key that changed meanwhile comes the change that
    /// counts now, then whatever follows. No change is left out; one comes twice only where the earlier
    /// watch ended within a batch, or while its holder was catching up with others.
    ///
    /// # Errors
    /// [`Error::Lagged`] where more than 10,000 changes or 8 MiB came since, or more than 100,000 writes of
    /// any key, where deletes that came since may be forgotten, or where the database was dropped: then
    /// list it, and begin a new watch before. [`Error::Unavailable`] where no holder reflects the token
    /// within five seconds. [`Error::BadArgument`] where the token is of another database. And see
    /// [`Database`].
    pub async fn watch_after(
        &self,
        prefix: impl Into<Vec<u8>>,
        token: &WatchToken,
    ) -> Result<Watch> {
        let (prefix, deadline) = (prefix.into(), Instant::now() + CATCH_UP);
        loop {
            if let Some(watch) = self.begin_watch(prefix.clone(), Some(token.position())).await? {
                return Ok(watch);
            }
            if Instant::now() >= deadline {
                let why =
                    "no holder that can be reached reflects the token of the watch yet".into();
                return Err(Error::Unavailable { path: self.handle.path.to_string(), why });
            }
            tokio::time::sleep(CATCH_UP_STEP).await;
        }
    }

    /// `None`: the copy does not reflect the position yet.
    async fn begin_watch(
        &self,
        prefix: Vec<u8>,
        after: Option<&Position>,
    ) -> Result<Option<Watch>> {
        let prefix = self.stored(&prefix);
        let shared = self.shared();
        if self.place().await? == Place::Elsewhere {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let operation = Operation::Watch { prefix: prefix.clone(), after: after.cloned() };
            let timeout = crate::peer::REQUEST_TIMEOUT;
            let told = after.cloned().unwrap_or_else(|| Position::unheld(self.handle.id, 0));
            let mut watch =
                shared.request_and(&self.handle.path, operation, timeout, sender, |token| {
                    Watch::register(shared, Source::Elsewhere(token), prefix, told)
                })?;
            return match receiver.await.map_err(|_| Error::Closed("the peer".into()))?? {
                Reply::Watching(changes, position) => {
                    watch.begin(&Changes { changes, position });
                    Ok(Some(watch))
                }
                Reply::Behind => Ok(None),
                _ => Err(Error::Internal("a watch was answered as something else".into())),
            };
        }
        let id = self.handle.id;
        shared.with(|node, _| {
            let since = match after {
                None => {
                    let (changes, position) = (Vec::new(), node.watch(id));
                    Some(Changes { changes, position })
                }
                Some(after) => node.watch_after(id, &prefix, after)?,
            };
            Ok(since.map(|since| {
                let told = after.unwrap_or(&since.position).clone();
                let mut watch = Watch::register(shared, Source::Here(id), prefix, told);
                watch.begin(&since);
                watch
            }))
        })?
    }
}
