//! Commands about keys, whatever their values.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;

use futures::TryStreamExt as _;
use tidings::{Batch, Condition, Database, Error, ListOptions, ScanOptions, WriteOptions, limits};

use crate::parser::Arguments;
use crate::refusal::{Answer, Refusal, SYNTAX};
use crate::reply::Output;
use crate::session::Session;

/// How often several keys are looked up and deleted together, where others change them meanwhile.
const ATTEMPTS: u32 = 64;

/// `DEL key [key …]` and `UNLINK` of several keys: how many were there. What is not there is not written
/// to.
pub(crate) async fn del(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let database = session.database().await?;
    let keys: BTreeSet<&[u8]> = arguments.from(1).iter().collect();
    let keys: Vec<&[u8]> = keys.into_iter().collect();
    let mut deleted = 0;
    for part in parts(&keys) {
        deleted += delete_together(database, part).await?;
    }
    out.count(deleted);
    Ok(())
}

/// Parts that fit a batch each.
fn parts<'a>(keys: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [&'a [u8]]> {
    /// As many of the longest keys as a batch may have, or of the shortest.
    const LONG: usize = limits::BATCH_BYTES_MAX / (limits::KEY_MAX + 1) - 1;
    let bytes: usize = keys.iter().map(|key| key.len() + 1).sum();
    let few = bytes <= limits::BATCH_BYTES_MAX / 2;
    keys.chunks(if few { limits::BATCH_WRITES_MAX } else { LONG })
}

/// Deletes those of the keys that are there, in one batch, and says how many.
async fn delete_together(database: &Database, keys: &[&[u8]]) -> Result<usize, Refusal> {
    let options = WriteOptions { condition: Some(Condition::Present), ..WriteOptions::default() };
    for _ in 0..ATTEMPTS {
        let mut batch = Batch::new();
        for key in keys {
            if database.get_entry(key).await?.is_some() {
                batch.delete(*key);
            }
        }
        let count = batch.len();
        if count == 0 {
            return Ok(0);
        }
        match database.batch_with(batch, &options).await {
            Ok(_) => return Ok(count),
            Err(Error::ConditionFailed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(format!(
        "ERR others changed the keys while they were being deleted, {ATTEMPTS} times in a row: try again, or delete them one by one"
    )
    .into())
}

/// `EXISTS key [key …]`: one that is named twice counts twice.
pub(crate) async fn exists(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let database = session.database().await?;
    let mut count = 0;
    for key in arguments.from(1).iter() {
        count += usize::from(database.get_entry(key).await?.is_some());
    }
    out.count(count);
    Ok(())
}

/// `TYPE key`.
pub(crate) async fn type_of(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let entry = session.database().await?.get_entry(arguments.at(1)).await?;
    out.simple(if entry.is_some() { "string" } else { "none" });
    Ok(())
}

/// `DBSIZE`: keys of the selected keyspace. Where the database has keys in it only, its status knows how
/// many, and entries that expired and were not overwritten yet count, as they do in Redis. Else they are
/// counted one by one.
pub(crate) async fn dbsize(session: &mut Session, out: &mut Output) -> Answer {
    let database = session.database().await?;
    let others = database.keyspaces(None, 2).await?;
    let alone = others.names.iter().all(|name| name == database.keyspace_name());
    let count = if alone && others.cursor.is_none() {
        database.status().await?.entries
    } else {
        let options = ScanOptions { keys_only: true, ..ScanOptions::default() };
        let keys = database.scan_with(Bound::Unbounded, Bound::Unbounded, &options);
        keys.try_fold(0, async |count, _| Ok::<_, Error>(count + 1)).await?
    };
    out.count(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(())
}

/// `RANDOMKEY`: the key next to a random place between the first key and the last, on either side of it.
pub(crate) async fn randomkey(session: &mut Session, out: &mut Output) -> Answer {
    let database = session.database().await?;
    let one = ListOptions { limit: 1, keys_only: true, ..ListOptions::default() };
    let first = key_of(database, &one).await?;
    let last = key_of(database, &ListOptions { reverse: true, ..one.clone() }).await?;
    let (Some(first), Some(last)) = (first, last) else {
        out.null();
        return Ok(());
    };
    // Each hasher begins with another random number.
    let random = RandomState::new().hash_one(0_u8);
    let cursor = Some(between(&first, &last, random));
    let reverse = random.is_multiple_of(2);
    let found = key_of(database, &ListOptions { cursor, reverse, ..one }).await?;
    out.bulk(&found.unwrap_or(first));
    Ok(())
}

async fn key_of(database: &Database, options: &ListOptions) -> Result<Option<Vec<u8>>, Refusal> {
    let page = database.list(options).await?;
    Ok(page.entries.into_iter().next().map(|entry| entry.key))
}

/// A place between two keys: what they have in common, and behind it a number between theirs.
fn between(first: &[u8], last: &[u8], random: u64) -> Vec<u8> {
    let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 8];
        let tail = key.get(common..).unwrap_or_default();
        let length = tail.len().min(bytes.len());
        bytes[..length].copy_from_slice(&tail[..length]);
        u64::from_be_bytes(bytes)
    };
    let (low, high) = (number(first), number(last));
    let span = u128::from(high.saturating_sub(low)) + 1;
    // A little before the first as well, or it would never be found.
    let place = u128::from(low) + ((u128::from(random) * span) >> 64);
    let place = u64::try_from(place).unwrap_or(high).saturating_sub(1);
    [&first[..common], &place.to_be_bytes()].concat()
}

/// `FLUSHDB [ASYNC|SYNC]`: deletes what is visible here, some hundred keys in a commit.
pub(crate) async fn flushdb(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let word = arguments.at(1);
    let known = word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync");
    if arguments.len() > 2 || (arguments.len() == 2 && !known) {
        return Err(SYNTAX);
    }
    session.database().await?.delete_prefix("").await?;
    out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_place_lies_between_the_keys() {
        for (first, last) in [("a", "z"), ("user:1", "user:999"), ("a", "a"), ("a", "ab")] {
            for random in [0, 1, u64::MAX / 2, u64::MAX] {
                let place = between(first.as_bytes(), last.as_bytes(), random);
                assert!(place.as_slice() <= [last.as_bytes(), &[0; 9]].concat().as_slice());
                assert!(place.starts_with(&first.as_bytes()[..first.len() - 1]), "{place:?}");
            }
        }
        let places: BTreeSet<u8> =
            (0..100).map(|part| between(b"a", b"z", u64::MAX / 100 * part)[0]).collect();
        assert!(places.len() > 20, "they are spread: {places:?}");
    }

    #[test]
    fn parts_fit_a_batch() {
        let (long, short) = (vec![0; limits::KEY_MAX], vec![0; 3]);
        for (key, count) in [(&long, 5000), (&short, 30_000), (&short, 3)] {
            let keys = vec![key.as_slice(); count];
            for part in parts(&keys) {
                let bytes: usize = part.iter().map(|key| key.len() + 1).sum();
                assert!(bytes <= limits::BATCH_BYTES_MAX && part.len() <= limits::BATCH_WRITES_MAX);
            }
            assert_eq!(parts(&keys).map(<[_]>::len).sum::<usize>(), count);
        }
    }
}
