//! Reading a key and writing what follows from it, as one step.
//!
//! The write has the condition that the key is as it was read: the same version, or absent. Where
//! somebody was faster, it is read again. So the step is atomic at the holder that accepts the write,
//! and nowhere else: another holder may accept another write at the same time, and the later stamp wins.

use std::time::SystemTime;

use tidings::{Condition, Entry, Error, WriteOptions};

use crate::refusal::Refusal;
use crate::session::Session;

/// How often a change is tried. From the second time on the changes of this door take turns, so that
/// only writers elsewhere and plain `SET`s are in the way.
const ATTEMPTS: u32 = 64;

/// What follows from what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Nothing,
    /// The key gets a value, and an expiry or that of the definition.
    Put(Vec<u8>, Option<SystemTime>),
    /// The entry expires at another time, or stays; a counter remains one.
    Expire(Option<SystemTime>),
    /// The key goes.
    Delete,
}

/// Reads a key, asks what follows, and does it. What `decide` says beside is returned once that is done;
/// it is asked again where the key was changed meanwhile.
///
/// # Errors
/// Those of `decide` and of the library; and when others change the key all the time.
pub(crate) async fn change<T>(
    session: &mut Session,
    key: &[u8],
    mut decide: impl FnMut(Option<Entry>) -> Result<(Change, T), Refusal>,
) -> Result<T, Refusal> {
    let database = session.database().await?.clone();
    let mut turn = None;
    for _ in 0..ATTEMPTS {
        let entry = database.get_entry(key).await?;
        let condition = match &entry {
            Some(entry) => Condition::Version(entry.version),
            None => Condition::Absent,
        };
        let options = WriteOptions { condition: Some(condition), ..WriteOptions::default() };
        let (change, answer) = decide(entry)?;
        let written = match change {
            Change::Nothing => return Ok(answer),
            Change::Put(value, expires) => {
                let options = WriteOptions { expires, ..options };
                database.put_with(key, value, &options).await.map(drop)
            }
            Change::Expire(expires) => database.expire_with(key, expires, &options).await.map(drop),
            Change::Delete => database.delete_with(key, &options).await.map(drop),
        };
        match written {
            Ok(()) => return Ok(answer),
            Err(Error::ConditionFailed(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if turn.is_none() {
            turn = Some(session.door.turn(key).await);
        }
    }
    Err(format!(
        "ERR others changed the key while it was being changed here, {ATTEMPTS} times in a row: nothing was written; try again"
    )
    .into())
}
