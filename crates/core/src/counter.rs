//! Counters: increments that nobody orders, and none of which is lost.
//!
//! A counter is no other kind of CRDT. Its key says that it is one ([`Payload::Counter`]), what it began
//! with, and since when; and each epoch that increments it keeps the sum of what it added in a register
//! of its own ([`Payload::Sum`]), named by the stamp of its first increment. The value is the start and
//! all sums that began after `since`. Only the epoch itself writes its sum, so two peers that increment
//! at the same time both count; and a put or a delete of the key puts every sum that it had seen into the
//! past, whatever else is added to those.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ident::Epoch;
use crate::planted::{Planted, planted};
use crate::record::{Payload, Record};
use crate::rows::{self, Prefix, Transaction};
use crate::stamp::{Millis, Stamp, Time};
use crate::store::{Read, StoreError};

/// What the sums of a counter come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The start and all sums that count. Increments that nobody ordered may leave the range of `i64`
    /// together: then reads show the end of that range.
    pub value: i128,
    /// The newest of the records that it comes from.
    pub newest: Record,
    /// The stamp of the first increment, and the sum, of the epoch that asks.
    pub own: Option<(Stamp, i128)>,
}

impl Total {
    /// What reads show.
    pub fn shown(&self) -> i64 {
        self.value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// Adds up a counter: its own record, what it began with, and the rows of the sums that count, with the
/// prefix of the copy.
///
/// # Errors
/// When a row cannot be read or is damaged.
pub fn total(
    counter: Record,
    start: i64,
    sums: impl Iterator<Item = Result<(Vec<u8>, Record), StoreError>>,
    own: Option<Epoch>,
) -> Result<Total, StoreError> {
    let mut total = Total { value: start.into(), newest: counter, own: None };
    for row in sums {
        let (key, record) = row?;
        let split = rows::split_sum(key.get(rows::PREFIX_BYTES..).unwrap_or_default());
        let (Some((_, first)), Payload::Sum(sum)) = (split, record.payload()) else { continue };
        total.value = total.value.saturating_add(*sum);
        if Some(first.epoch) == own {
            total.own = Some((first, *sum));
        }
        if record.stamp() > total.newest.stamp() {
            total.newest = record;
        }
    }
    Ok(total)
}

/// What users see of a record: a counter is the decimal text of its value, under the version of the
/// newest increment that counts. Anything else is itself.
///
/// # Errors
/// When a row cannot be read or is damaged.
pub fn resolve(
    read: &impl Read,
    prefix: Prefix,
    stored: &[u8],
    record: Record,
) -> Result<Record, StoreError> {
    let Payload::Counter { since, start, expires } = *record.payload() else { return Ok(record) };
    let (first, end) = rows::sums_since(prefix, stored, counted_from(since));
    let sums = read.sums(&first, &end)?.into_iter();
    let sums = sums.map(|(key, row)| Ok((key, rows::decode_record(&row)?)));
    Ok(shown(&total(record, start, sums, None)?, expires))
}

/// The same, as it will be once what is staged is committed.
///
/// # Errors
/// When a row cannot be read or is damaged.
pub fn resolve_staged(
    (transaction, read): (&Transaction, &impl Read),
    prefix: Prefix,
    stored: &[u8],
    record: Record,
) -> Result<Record, StoreError> {
    let Payload::Counter { since, start, expires } = *record.payload() else { return Ok(record) };
    let sums = staged_sums((transaction, read), prefix, stored, since)?;
    Ok(shown(&total(record, start, sums.into_iter().map(Ok), None)?, expires))
}

/// The rows of the sums of a counter that count, as they will be once what is staged is committed.
pub(crate) fn staged_sums(
    (transaction, read): (&Transaction, &impl Read),
    prefix: Prefix,
    stored: &[u8],
    since: Time,
) -> Result<BTreeMap<Vec<u8>, Record>, StoreError> {
    transaction.sums(read, prefix, stored, counted_from(since))
}

/// From which time on sums are read: those of the past lie before, and cost nothing.
fn counted_from(since: Time) -> Time {
    if planted(Planted::PastSumsCount) { Time::default() } else { since }
}

fn shown(total: &Total, expires: Option<Millis>) -> Record {
    let value = total.shown().to_string().into_bytes();
    let version = total.newest.version();
    Record::new(version.time, version.dot, Payload::Value(value, expires))
}

/// What a counter begins with that takes the place of a record: the number that its value is written
/// as, or 0 where nothing is visible; and since when its sums count.
///
/// # Errors
/// Why the value is no number to count from.
pub fn beginning(
    old: Option<&Record>,
    wall: Millis,
) -> Result<(Time, i64, Option<Millis>), String> {
    let Some(old) = old else { return Ok((Time::default(), 0, None)) };
    let time = old.stamp().time;
    match old.payload() {
        Payload::Value(value, expires) if old.is_visible(wall) => {
            Ok((time, number(value)?, *expires))
        }
        payload => Ok((ended(time, payload), 0, None)),
    }
}

/// Up to when sums belong to the past, once a record no longer counts for anything.
pub fn ended(time: Time, payload: &Payload) -> Time {
    match payload {
        Payload::Counter { expires: Some(expires), .. } => time.max(Time::from_millis(*expires)),
        Payload::Expired(since) => time.max(*since),
        _ => time,
    }
}

/// The number that a value is written as: decimal digits without leading zeros, after a minus where it is
/// below 0.
fn number(value: &[u8]) -> Result<i64, String> {
    let text = core::str::from_utf8(value).ok();
    let number = text.and_then(|text| text.parse::<i64>().ok());
    number.filter(|number| text == Some(&*number.to_string())).ok_or_else(|| match text {
        Some(text) if text.len() <= 40 => {
            alloc::format!("its value {text:?} is no whole number of 64 bits")
        }
        _ => alloc::format!("its value of {} bytes is no whole number of 64 bits", value.len()),
    })
}
