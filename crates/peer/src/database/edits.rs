//! Counters, expiries, and deletes of many keys at once.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use tidings_core::message::Written;
use tidings_core::node::Place;
use tidings_core::stamp::Version;

use super::{Database, ListOptions, ScanOptions, WriteOptions};
use crate::batch::{Batch, Edit};
use crate::{Error, Result};

/// Keys that are deleted with one commit.
const DELETE_PAGE: usize = 500;

/// What came of an increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What the counter says at the holder that accepted the increment: the sum of all that it knows of.
    pub value: i64,
    /// The version of the increment.
    pub version: Version,
}

impl Database {
    /// Adds to a counter, or takes from it: increments at several peers at the same time all count, in
    /// whatever order they arrive. What is absent or has expired counts from 0, and a value that is a
    /// whole number in decimal digits from that number; reads show a counter as such digits. A
    /// [`put`](Database::put) or a [`delete`](Database::delete) starts anew: increments that it did not
    /// see and that are stamped later still count.
    ///
    /// A counter that begins with this expires as the definition says; else its expiry stays.
    ///
    /// # Errors
    /// [`Error::NotACounter`] where the key has another value, or the sum would leave the range of 64 bits:
    /// nothing was added then. And as for [`put`](Database::put).
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> tidings::Result<()> {
    /// # use tidings::{Definition, Peer};
    /// # let any = Definition::new("any", "**", 1, 1);
    /// # let peer = Peer::in_memory().definitions(vec![any]).start().await?;
    /// let visits = peer.database("visits").await?;
    /// assert_eq!(visits.incr("front page", 1).await?, 1);
    /// assert_eq!(visits.incr("front page", 41).await?, 42);
    /// assert_eq!(visits.get("front page").await?, Some(b"42".to_vec()));
    /// # peer.shutdown().await
    /// # }
    /// ```
    pub async fn incr(&self, key: impl Into<Vec<u8>>, by: i64) -> Result<i64> {
        Ok(self.incr_with(key, by, &WriteOptions::default()).await?.value)
    }

    /// [`incr`](Database::incr) with options; its `ttl` and `expires` are not for increments.
    ///
    /// # Errors
    /// As for [`incr`](Database::incr) and [`put_with`](Database::put_with).
    pub async fn incr_with(
        &self,
        key: impl Into<Vec<u8>>,
        by: i64,
        options: &WriteOptions,
    ) -> Result<Counted> {
        if options.ttl.is_some() || options.expires.is_some() {
            return Err(Error::BadArgument(
                "an increment sets no expiry: call `expire` after it".into(),
            ));
        }
        let written = self.write_first(key.into(), Edit::Add(by), options).await?;
        let value = written.value;
        let value = value.ok_or_else(|| Error::Internal("an increment gave no sum".into()))?;
        Ok(Counted { value, version: written.version })
    }

    /// Changes when an entry expires, and nothing else of it; `None` where there is no such entry. It is a
    /// write of the entry as it is here: a put elsewhere at the same time is lost if it is stamped earlier.
    ///
    /// # Errors
    /// As for [`put`](Database::put); [`Error::BadArgument`] for a time out of the bounds of
    /// [`Batch::put_until`].
    pub async fn expire(
        &self,
        key: impl Into<Vec<u8>>,
        expires: SystemTime,
    ) -> Result<Option<Version>> {
        self.expire_with(key.into(), Some(expires), &WriteOptions::default()).await
    }

    /// [`expire`](Database::expire), counted from now.
    ///
    /// # Errors
    /// As for [`expire`](Database::expire).
    pub async fn expire_in(
        &self,
        key: impl Into<Vec<u8>>,
        after: Duration,
    ) -> Result<Option<Version>> {
        let now = crate::expiry::from_millis(self.shared().now().wall);
        let expires = now.checked_add(after).ok_or_else(|| {
            Error::BadArgument(format!("{} ms from now are beyond any clock", after.as_millis()))
        })?;
        self.expire(key, expires).await
    }

    /// Lets an entry stay that was to expire; `None` where there is no such entry.
    ///
    /// # Errors
    /// As for [`put`](Database::put).
    pub async fn persist(&self, key: impl Into<Vec<u8>>) -> Result<Option<Version>> {
        self.expire_with(key.into(), None, &WriteOptions::default()).await
    }

    /// [`expire`](Database::expire) and [`persist`](Database::persist), by whether there is a time, with
    /// options.
    ///
    /// # Errors
    /// As for [`expire`](Database::expire) and [`put_with`](Database::put_with);
    /// [`Error::ConditionFailed`] where the options have a condition.
    pub async fn expire_with(
        &self,
        key: impl Into<Vec<u8>>,
        expires: Option<SystemTime>,
        options: &WriteOptions,
    ) -> Result<Option<Version>> {
        match self.write_first(key.into(), Edit::Expire(expires), options).await {
            Ok(written) => Ok(Some(written.version)),
            Err(Error::ConditionFailed(_)) if options.condition.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies several batches one after the other, each by itself all or nothing, in as few commits as
    /// possible: for whoever has many writes at hand that do not belong together. The results are in the
    /// order of the batches, and one that is refused is in the way of no other.
    ///
    /// Where the database is held by others, each goes its way once the one before is answered.
    ///
    /// # Errors
    /// For each as for [`batch_with`](Database::batch_with).
    pub async fn batches(&self, batches: Vec<(Batch, WriteOptions)>) -> Vec<Result<Vec<Written>>> {
        let mut results = Vec::with_capacity(batches.len());
        let mut batches = batches.into_iter();
        loop {
            if let Ok(Place::Here(prefix)) = self.place().await {
                let mut submissions = Vec::with_capacity(batches.len());
                let checked: Vec<Result<()>> = batches
                    .map(|(batch, options)| {
                        submissions.push(self.submission(batch.writes, &options)?);
                        Ok(())
                    })
                    .collect();
                let written = self.shared().write_each(submissions, Some(prefix)).await;
                let mut written = written.into_iter();
                let missing = || Err(Error::Internal("a write had no outcome".into()));
                results.extend(
                    checked.into_iter().map(|checked| {
                        checked.and_then(|()| written.next().unwrap_or_else(missing))
                    }),
                );
                return results;
            }
            let Some((batch, options)) = batches.next() else { return results };
            results.push(self.write(batch.writes, &options).await);
        }
    }

    /// Deletes every key with a prefix that is there now, 500 in a commit; with an empty prefix, all keys
    /// of the keyspace. Returns how many. What others write at the same time and is not seen here stays.
    ///
    /// # Errors
    /// As for [`put`](Database::put): some keys may be deleted by then.
    pub async fn delete_prefix(&self, prefix: impl Into<Vec<u8>>) -> Result<u64> {
        self.delete_prefix_with(prefix, &WriteOptions::default()).await
    }

    /// [`delete_prefix`](Database::delete_prefix) with options, which hold for each commit.
    ///
    /// # Errors
    /// As for [`delete_prefix`](Database::delete_prefix) and [`put_with`](Database::put_with).
    pub async fn delete_prefix_with(
        &self,
        prefix: impl Into<Vec<u8>>,
        options: &WriteOptions,
    ) -> Result<u64> {
        let mut keys = std::pin::pin!(self.keys(prefix.into()));
        let (mut batch, mut deleted) = (Batch::new(), 0);
        while let Some(key) = keys.try_next().await? {
            batch.delete(key);
            if batch.len() == DELETE_PAGE {
                deleted += self.batch_with(std::mem::take(&mut batch), options).await?.len() as u64;
            }
        }
        if !batch.is_empty() {
            deleted += self.batch_with(batch, options).await?.len() as u64;
        }
        Ok(deleted)
    }

    /// The keys with a prefix, as they are when this is called; elsewhere than here page by page.
    fn keys(&self, prefix: Vec<u8>) -> impl futures::Stream<Item = Result<Vec<u8>>> + Send + use<> {
        let options = ListOptions { prefix, ..ListOptions::default() };
        let range = self.list_range(&options);
        let keys_only = ScanOptions { keys_only: true, ..ScanOptions::default() };
        self.rows(range, keys_only).map_ok(|entry| entry.key)
    }
}
