//! Listings: of keys, of entries, and of keyspaces.

use tidings::filter::Pattern;

use super::ask::{Ask, Target};
use super::{Client, ClientError, List, Rows, Scan};
use crate::json::{KeyspacePage, RowPage};

impl Client {
    /// One page of keys. It may be empty and have a cursor, where there is a filter.
    pub async fn list(&self, path: &str, list: &List) -> Result<RowPage, ClientError> {
        let number = |number: usize| (number > 0).then(|| number.to_string());
        let target = self
            .keys(path, &[b"keys"])
            .query("prefix", some(&list.prefix))
            .filter(list.filter.as_ref())
            .query("limit", number(list.limit))
            .query("budget", number(list.budget))
            .query("cursor", list.cursor.as_ref())
            .query("reverse", list.reverse.then_some("true"))
            .query("values", list.values.then_some("true"));
        self.json(Ask::get(target.0)).await
    }

    /// Every entry from `start`, included, to `end`, excluded; empty bounds are none.
    pub async fn scan(&self, path: &str, start: &[u8], end: &[u8]) -> Result<Rows, ClientError> {
        let scan = Scan { start: start.to_vec(), end: end.to_vec(), filter: None };
        self.scan_with(path, &scan).await
    }

    /// Every entry of a range, but for those that a filter leaves out.
    pub async fn scan_with(&self, path: &str, scan: &Scan) -> Result<Rows, ClientError> {
        let target = self
            .keys(path, &[b"scan"])
            .query("start", some(&scan.start))
            .query("end", some(&scan.end))
            .filter(scan.filter.as_ref());
        Ok(Rows::new(self.stream(Ask::get(target.0)).await?.lines()))
    }

    /// One page of the keyspaces of a database that have a key, after the one that gave `cursor`.
    pub async fn keyspaces(
        &self,
        path: &str,
        cursor: Option<&str>,
    ) -> Result<KeyspacePage, ClientError> {
        let target = Target::database(path).push("keyspaces").query("cursor", cursor);
        self.json(Ask::get(target.0)).await
    }
}

/// Bytes that say something.
fn some(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

impl Target {
    fn filter(self, filter: Option<&Pattern>) -> Self {
        match filter {
            Some(pattern) => self.query(pattern.kind(), Some(pattern.as_str())),
            None => self,
        }
    }
}
