//! Commands that read values and parts of them, and that change parts.

use tidings::limits::VALUE_MAX;
use tidings::{Entry, Error};

use crate::change::{Change, change};
use crate::number;
use crate::parser::Arguments;
use crate::refusal::{Answer, NOT_AN_INTEGER, Refusal};
use crate::reply::Output;
use crate::session::Session;

/// `GET key`.
pub(crate) async fn get(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let value = session.database().await?.get(arguments.at(1)).await?;
    out.value(value.as_deref());
    Ok(())
}

/// `MGET key [key …]`, of one snapshot.
pub(crate) async fn mget(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let keys: Vec<&[u8]> = arguments.from(1).iter().collect();
    let entries = session.database().await?.get_many(&keys).await?;
    out.array(entries.len());
    for entry in entries {
        out.value(entry.as_ref().map(|entry| entry.value.as_slice()));
    }
    Ok(())
}

/// `GETDEL key`.
pub(crate) async fn getdel(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let before = change(session, arguments.at(1), |entry| {
        let change = if entry.is_some() { Change::Delete } else { Change::Nothing };
        Ok((change, entry.map(|entry| entry.value)))
    })
    .await?;
    out.value(before.as_deref());
    Ok(())
}

/// `STRLEN key`.
pub(crate) async fn strlen(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let value = session.database().await?.get(arguments.at(1)).await?;
    out.count(value.map_or(0, |value| value.len()));
    Ok(())
}

/// `GETRANGE key first last`: both included, from the end where below zero.
pub(crate) async fn getrange(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let first = number::parse(arguments.at(2)).ok_or(NOT_AN_INTEGER)?;
    let last = number::parse(arguments.at(3)).ok_or(NOT_AN_INTEGER)?;
    let value = session.database().await?.get(arguments.at(1)).await?.unwrap_or_default();
    out.bulk(part(&value, first, last));
    Ok(())
}

fn part(value: &[u8], first: i64, last: i64) -> &[u8] {
    let length = value.len() as i64;
    if first < 0 && last < 0 && first > last {
        return &[];
    }
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (from, to) = (place(first), place(last).saturating_add(1).min(length));
    if from >= to { &[] } else { &value[from as usize..to as usize] }
}

/// `SETRANGE key offset value`: with zeros before it where the value is shorter.
pub(crate) async fn setrange(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let offset = number::parse(arguments.at(2)).ok_or(NOT_AN_INTEGER)?;
    let offset = usize::try_from(offset).map_err(|_| Refusal::new("ERR offset is out of range"))?;
    let new = arguments.at(3);
    let end = offset.saturating_add(new.len());
    let length = change(session, arguments.at(1), |entry| {
        let (mut value, expires) = value_of(entry);
        if new.is_empty() {
            return Ok((Change::Nothing, value.len()));
        }
        check_length(end)?;
        if value.len() < end {
            value.resize(end, 0);
        }
        value[offset..end].copy_from_slice(new);
        let length = value.len();
        Ok((Change::Put(value, expires), length))
    })
    .await?;
    out.count(length);
    Ok(())
}

/// `APPEND key value`.
pub(crate) async fn append(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let more = arguments.at(2);
    let length = change(session, arguments.at(1), |entry| {
        let (mut value, expires) = value_of(entry);
        let length = value.len() + more.len();
        check_length(length)?;
        value.extend_from_slice(more);
        Ok((Change::Put(value, expires), length))
    })
    .await?;
    out.count(length);
    Ok(())
}

fn value_of(entry: Option<Entry>) -> (Vec<u8>, Option<std::time::SystemTime>) {
    entry.map_or_else(Default::default, |entry| (entry.value, entry.expires))
}

/// Asked before anything is made longer.
fn check_length(length: usize) -> Result<(), Refusal> {
    if length > VALUE_MAX { Err(Error::ValueLength { length }.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_may_be_counted_from_the_end() {
        let value = b"This is a string";
        let is = |first, last, expected: &[u8]| {
            assert_eq!(part(value, first, last), expected, "{first} {last}");
        };
        is(0, 3, b"This");
        is(-3, -1, b"ing");
        is(0, -1, value);
        is(10, 100, b"string");
        is(5, 3, b"");
        is(-1, -3, b"");
        is(16, 20, b"");
        is(-100, -16, b"T");
        is(i64::MIN, i64::MAX, value);
        is(i64::MAX, i64::MIN, b"");
        assert_eq!(part(b"", 0, -1), b"");
    }
}
