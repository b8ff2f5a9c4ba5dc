//! What changes entries that are there: increments, expiries, and deletes of every key with a prefix.

use axum::http::Method;

use super::ask::{Ask, Target};
use super::{Client, ClientError, Write, present};
use crate::json::{Counted, Deleted, Written};

impl Client {
    /// Adds to a counter, or takes from it. Of `write`, `ttl` and `expires` are not for it.
    pub async fn incr(
        &self,
        path: &str,
        key: &[u8],
        by: i64,
        write: &Write,
    ) -> Result<Counted, ClientError> {
        let target = self.keys(path, &[b"keys", key, b"incr"]);
        self.json(post(target.query("by", Some(by.to_string())), write)).await
    }

    /// Hides an entry after `ttl` or from `expires` on; `None` where there is no such entry.
    pub async fn expire(
        &self,
        path: &str,
        key: &[u8],
        write: &Write,
    ) -> Result<Option<Written>, ClientError> {
        let target = self.keys(path, &[b"keys", key, b"expire"]);
        present(self.json(post(target, write)).await)
    }

    /// Lets an entry stay that was to expire; `None` where there is no such entry.
    pub async fn persist(
        &self,
        path: &str,
        key: &[u8],
        write: &Write,
    ) -> Result<Option<Written>, ClientError> {
        let target = self.keys(path, &[b"keys", key, b"persist"]);
        present(self.json(post(target, write)).await)
    }

    /// Deletes every key with a prefix; with an empty one, every key of the keyspace.
    pub async fn delete_prefix(
        &self,
        path: &str,
        prefix: &[u8],
        write: &Write,
    ) -> Result<Deleted, ClientError> {
        let target = self.keys(path, &[b"keys"]).query("prefix", Some(prefix)).write(write).0;
        self.json(Ask::new(Method::DELETE, target).on(write)).await
    }
}

fn post(target: Target, write: &Write) -> Ask {
    Ask::new(Method::POST, target.write(write).0).on(write)
}
