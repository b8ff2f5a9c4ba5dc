//! Batches: writes that are gathered first and applied together.

use std::time::SystemTime;

/// Several writes that are applied together, or not at all: at most 10,000 and 1 MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) writes: Vec<(Vec<u8>, Edit)>,
}

/// What a write does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The value, and an expiry of its own.
    Put(Vec<u8>, Option<SystemTime>),
    /// The key has no value.
    Delete,
    /// A counter says this much more.
    Add(i64),
    /// The entry expires at another time, or stays.
    Expire(Option<SystemTime>),
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put, which expires as the options and the definition say. Where a key is named twice, the
    /// later write wins.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.push((key.into(), Edit::Put(value.into(), None)));
        self
    }

    /// Adds a put of an entry that is hidden from `expires` on, whatever the options and the definition
    /// say.
    ///
    /// It is kept in whole milliseconds, rounded down, and lies from the Unix epoch to the end of the
    /// year 9999, or the batch is refused with [`Error::BadArgument`](crate::Error::BadArgument). Where
    /// that time has passed, the entry is written all the same and hidden at once.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> tidings::Result<()> {
    /// # use std::time::{Duration, UNIX_EPOCH};
    /// # use tidings::{Batch, Definition, Peer};
    /// # let any = Definition::new("any", "**", 1, 1);
    /// # let peer = Peer::in_memory().definitions(vec![any]).start().await?;
    /// # let tickets = peer.database("tickets").await?;
    /// let new_year = UNIX_EPOCH + Duration::from_secs(4_102_444_800); // 2100-01-01
    /// let mut batch = Batch::new();
    /// batch.put_until("ticket/7", "row 3", new_year).put("ticket/8", "row 4");
    /// tickets.batch(batch).await?;
    /// let ticket = tickets.get_entry("ticket/7").await?;
    /// assert_eq!(ticket.and_then(|entry| entry.expires), Some(new_year));
    /// # peer.shutdown().await
    /// # }
    /// ```
    pub fn put_until(
        &mut self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        expires: SystemTime,
    ) -> &mut Self {
        self.writes.push((key.into(), Edit::Put(value.into(), Some(expires))));
        self
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.push((key.into(), Edit::Delete));
        self
    }

    /// Adds an increment, as [`Database::incr`](crate::Database::incr) does one: to what the key says by
    /// then, the writes before it in the batch included. Where it cannot be counted, the batch is refused.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> tidings::Result<()> {
    /// # use tidings::{Batch, Definition, Peer, WriteOptions};
    /// # let any = Definition::new("any", "**", 1, 1);
    /// # let peer = Peer::in_memory().definitions(vec![any]).start().await?;
    /// # let shop = peer.database("shop").await?;
    /// let mut sale = Batch::new();
    /// sale.put("sale/7", "a lamp").incr("sold", 1);
    /// let sums = shop.batches(vec![(sale, WriteOptions::default())]).await;
    /// assert_eq!(sums[0].as_ref().map(|written| written[1].value), Ok(Some(1)));
    /// # peer.shutdown().await
    /// # }
    /// ```
    pub fn incr(&mut self, key: impl Into<Vec<u8>>, by: i64) -> &mut Self {
        self.writes.push((key.into(), Edit::Add(by)));
        self
    }

    /// How many writes it has.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}
