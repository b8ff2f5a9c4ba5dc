//! What a write has to fulfil before it is staged.

use alloc::string::String;

use super::Node;
use super::local::Submission;
use super::work::Work;
use crate::clock::Now;
use crate::counter::resolve_staged;
use crate::definition::{Definition, Replication};
use crate::error::Error;
use crate::ident::DatabaseId;
use crate::limits::{BATCH_BYTES_MAX, BATCH_WRITES_MAX};
use crate::message::{Change, Condition, Write};
use crate::record::Payload;
use crate::rows::split_key;
use crate::stamp::Version;
use crate::store::{Store, StoreError};

impl<S: Store> Node<S> {
    /// More copies than `max` are on their way out: none of them may count.
    pub(super) fn check_acks(&self, submission: &Submission) -> Result<(), Error> {
        let Submission { path, acks, .. } = submission;
        if *acks <= 1 {
            return Ok(());
        }
        match self.definition_of(path.as_str()) {
            Some(definition) if *acks > definition.replication.max => {
                let Definition { name, replication: Replication { max, .. }, .. } = &**definition;
                Err(Error::BadArgument(alloc::format!(
                    "acks={acks}: the definition {name:?} keeps at most {max} copies of {:?}; ask for 1 to {max}, or raise its `max`",
                    path.as_str()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Why a submission's condition does not hold, if it has one.
    pub(super) fn condition_failed(
        &self,
        work: &Work,
        id: DatabaseId,
        submission: &Submission,
        now: Now,
    ) -> Result<Option<Error>, StoreError> {
        let (Some(condition), Some(held)) = (submission.condition, self.held.get(&id)) else {
            return Ok(None);
        };
        for Write { key, .. } in &submission.writes {
            let staged = (&work.transaction, &self.store);
            let record = held.replica.record(staged.0, staged.1, key)?;
            let record = record.filter(|record| record.is_visible(now.wall));
            let resolve = |record| resolve_staged(staged, held.replica.prefix, key, record);
            let version = record.map(resolve).transpose()?.map(|record| record.version());
            let holds = match condition {
                Condition::Absent => version.is_none(),
                Condition::Present => version.is_some(),
                Condition::Version(wanted) => version == Some(wanted),
            };
            if !holds {
                return Ok(Some(unmet(key, condition, version)));
            }
        }
        Ok(None)
    }
}

/// Why a key does not fulfil a condition.
pub(super) fn unmet(stored: &[u8], condition: Condition, found: Option<Version>) -> Error {
    let key = shown(stored);
    let found = found
        .map_or_else(|| "is not there".into(), |found| alloc::format!("has the version {found}"));
    Error::ConditionFailed(match condition {
        Condition::Absent => alloc::format!("the key {key:?} was to be absent and {found}"),
        Condition::Present => alloc::format!("the key {key:?} was to be there and {found}"),
        Condition::Version(wanted) => {
            alloc::format!("the key {key:?} was to have the version {wanted} and {found}")
        }
    })
}

/// The user's key in a stored key, as text.
pub(super) fn shown(stored: &[u8]) -> String {
    let key = split_key(stored).map_or(stored, |(_, key)| key);
    String::from_utf8_lossy(key).into_owned()
}

/// Checks the number and the sizes of writes that belong together.
pub(super) fn check_writes(writes: &[Write]) -> Result<(), Error> {
    let mut bytes = 0;
    for write in writes {
        let Some((_, key)) = split_key(&write.key) else {
            let length = write.key.len().saturating_sub(1);
            return Err(Error::KeyLength { length });
        };
        crate::name::Key::new(key)?;
        if write.change.len() > crate::limits::VALUE_MAX {
            return Err(Error::ValueLength { length: write.change.len() });
        }
        if !matches!(
            write.change,
            Change::Set(Payload::Value(..) | Payload::Tombstone)
                | Change::Add(_)
                | Change::Expire(_)
        ) {
            return Err(Error::BadArgument("a write sets a value or deletes a key".into()));
        }
        bytes += write.key.len() + write.change.len();
    }
    let count = writes.len();
    if count == 0 {
        return Err(Error::BadArgument("a batch has at least one write".into()));
    }
    if count > BATCH_WRITES_MAX || (count > 1 && bytes > BATCH_BYTES_MAX) {
        return Err(Error::BatchTooLarge { writes: count, bytes });
    }
    Ok(())
}
