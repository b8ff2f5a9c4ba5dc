//! Which keyspaces a database has.

use tidings_core::limits::KEYSPACES_PAGE_MAX;
use tidings_core::message::{KeyspacesRequest, Operation, Reply};
use tidings_core::node::Place;
use tidings_core::read::read_keyspaces;
use tidings_core::store::Store;

use super::Database;
use crate::peer::request;
use crate::{Error, Result};

/// One page of the keyspaces of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyspacePage {
    /// Their names. The default keyspace is the empty one.
    pub names: Vec<String>,
    /// Where to go on; `None` when this page is the last.
    pub cursor: Option<Vec<u8>>,
}

impl Database {
    /// One page of the keyspaces of the database that have a key, whichever keyspace this handle is for:
    /// shorter names first, and those of one length by their bytes. A keyspace whose keys are all deleted
    /// or expired is none.
    ///
    /// It takes a look for each keyspace, however many keys that has. A page has at most `limit` names, of
    /// at most 1,000, which 0 stands for, too. It looks at no more than 10,000 keys, deleted and expired
    /// ones among them: so it may have fewer names, or none, and a cursor. `cursor` is that of the page
    /// before.
    ///
    /// # Errors
    /// See [`Database`].
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> tidings::Result<()> {
    /// # use tidings::{Definition, Peer};
    /// # let any = Definition::new("any", "**", 1, 1);
    /// # let peer = Peer::in_memory().definitions(vec![any]).start().await?;
    /// let notes = peer.database("notes").await?;
    /// notes.put("a", "1").await?;
    /// notes.keyspace("drafts")?.put("a", "2").await?;
    /// assert_eq!(notes.keyspaces(None, 0).await?.names, ["", "drafts"]);
    /// # peer.shutdown().await
    /// # }
    /// ```
    pub async fn keyspaces(&self, cursor: Option<&[u8]>, limit: usize) -> Result<KeyspacePage> {
        let limit = if limit == 0 { KEYSPACES_PAGE_MAX } else { limit.min(KEYSPACES_PAGE_MAX) };
        let start = cursor.unwrap_or_default().to_vec();
        let asked = KeyspacesRequest { start, limit: limit as u32 };
        let (names, cursor) = if let Place::Here(prefix) = self.place().await? {
            let snapshot = self.shared().store.snapshot();
            read_keyspaces(&snapshot, prefix, &asked, self.shared().now().wall)?
        } else {
            let operation = Operation::Keyspaces(asked);
            let reply = request(self.shared(), &self.handle.path, operation).await?;
            let Reply::Keyspaces(names, cursor) = reply else {
                let why = "keyspaces were answered as something else";
                return Err(Error::Internal(why.into()));
            };
            (names, cursor)
        };
        Ok(KeyspacePage { names, cursor })
    }
}
