//! Increments of counters, and changes of when an entry expires.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Author, Replica};
use crate::counter::{beginning, staged_sums, total};
use crate::planted::{Planted, planted};
use crate::record::{Payload, Record, Sent};
use crate::rows::{self, Transaction};
use crate::stamp::{Millis, Stamp};
use crate::store::{Read, StoreError};

/// What came of an increment.
#[derive(Debug)]
pub struct Added {
    /// Stored keys and records that were written, in the order of their sequences.
    pub records: Vec<(Vec<u8>, Record)>,
    /// What the counter says here now.
    pub value: i64,
}

impl Replica {
    /// Whether any of these is a sum of a counter of which this copy knows nothing, which would be worth nothing here.
    ///
    /// # Errors
    /// When the store cannot read or a row is damaged.
    pub fn lacks_counters(
        &self,
        transaction: &Transaction,
        store: &impl Read,
        records: &[Sent],
    ) -> Result<bool, StoreError> {
        let is_sum = |sent: &&Sent| matches!(sent.payload, Payload::Sum(_));
        let mut sums = records.iter().filter(is_sum).peekable();
        if sums.peek().is_none() || planted(Planted::SumsWithoutCounter) {
            return Ok(false);
        }
        let beside: BTreeSet<&[u8]> = records.iter().map(|sent| &*sent.key).collect();
        for (counter, _) in sums.filter_map(|sent| rows::split_sum(&sent.key)) {
            if !beside.contains(counter)
                && transaction.record(store, self.prefix, counter)?.is_none()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds to a counter, which what the key says becomes if it is none; `expires`: when a counter expires
    /// that begins with this. The inner error says why it cannot be, and what was staged is to be rolled back;
    /// `None` there: the key is stamped at the end of time.
    ///
    /// # Errors
    /// When the store cannot read or a row is damaged.
    pub fn add(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        author: &mut Author<'_>,
        stored: &[u8],
        (by, expires): (i64, Option<Millis>),
    ) -> Result<Result<Added, Option<String>>, StoreError> {
        let old = self.record(transaction, store, stored)?;
        let mut records = Vec::new();
        let visible = old.as_ref().filter(|old| old.is_visible(author.wall));
        let (since, start) =
            if let Some(Payload::Counter { since, start, .. }) = visible.map(Record::payload) {
                (*since, *start)
            } else {
                let (since, start, kept) = match beginning(old.as_ref(), author.wall) {
                    Ok(beginning) => beginning,
                    Err(why) => return Ok(Err(Some(why))),
                };
                let expires = if visible.is_some() { kept } else { expires };
                let payload = Payload::Counter { since, start, expires };
                let Some(record) = self.write(transaction, store, author, stored, payload)? else {
                    return Ok(Err(None));
                };
                records.push((stored.to_vec(), record));
                (since, start)
            };
        let counter = match (records.last(), old) {
            (Some((_, written)), _) => written.clone(),
            (None, Some(old)) => old,
            (None, None) => {
                return Err(StoreError::corrupt(alloc::format!("a counter at {stored:?}")));
            }
        };
        let sums = staged_sums((transaction, store), self.prefix, stored, since)?;
        let sums = sums.into_iter().map(Ok);
        let total = total(counter, start, sums, Some(author.epoch))?;
        let value = total.value + i128::from(by);
        let Ok(value) = i64::try_from(value) else {
            return Ok(Err(Some(overflow(total.shown(), by))));
        };
        let over = total.newest.stamp().time.max(since);
        let (first, sum) = if let Some((first, sum)) = total.own {
            (first, if planted(Planted::SumForgotten) { 0 } else { sum })
        } else {
            let Some(time) = author.clock.next(author.wall, Some(over)) else {
                return Ok(Err(None));
            };
            (Stamp { time, epoch: author.epoch }, 0)
        };
        let (key, sum) = (rows::sum_key(stored, first), Payload::Sum(sum + i128::from(by)));
        let Some(record) = self.write(transaction, store, author, &key, sum)? else {
            return Ok(Err(None));
        };
        records.push((key, record));
        Ok(Ok(Added { records, value }))
    }

    /// Changes when an entry expires, and nothing else of it. The inner `None`: there is no such entry, or
    /// it has expired; or the key is stamped at the end of time.
    ///
    /// # Errors
    /// When the store cannot read or a row is damaged.
    pub fn expire(
        &mut self,
        transaction: &mut Transaction,
        store: &impl Read,
        author: &mut Author<'_>,
        stored: &[u8],
        expires: Option<Millis>,
    ) -> Result<Option<Record>, StoreError> {
        let old = self.record(transaction, store, stored)?;
        let Some(old) = old.filter(|old| old.is_visible(author.wall)) else { return Ok(None) };
        let payload = match old.register.val {
            Payload::Value(value, _) => Payload::Value(value, expires),
            Payload::Counter { since, start, .. } => Payload::Counter { since, start, expires },
            Payload::Tombstone | Payload::Sum(_) | Payload::Expired(_) => return Ok(None),
        };
        self.write(transaction, store, author, stored, payload)
    }
}

fn overflow(value: i64, by: i64) -> String {
    alloc::format!(
        "{value} and {by} are beyond the range of a counter, {} to {}",
        i64::MIN,
        i64::MAX
    )
}
