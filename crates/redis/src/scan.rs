//! `SCAN` and `KEYS`: listings by pattern.

use tidings::{Entry, ListOptions, limits};

use crate::cursors::Place;
use crate::glob;
use crate::number;
use crate::parser::Arguments;
use crate::refusal::{Answer, NOT_AN_INTEGER, Refusal, SYNTAX};
use crate::reply::Output;
use crate::session::{Selected, Session};

/// Keys that a step of a scan looks at unless it is told otherwise, as in Redis.
const COUNT: usize = 10;
/// Most bytes of keys that `KEYS` answers: the answer is held as a whole.
const KEYS_BYTES_MAX: usize = 64 << 20;

/// What the options of `SCAN` say.
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    strings: bool,
}

impl<'a> Options<'a> {
    fn parse(arguments: Arguments<'a>) -> Result<Self, Refusal> {
        let mut options = Self { pattern: None, count: COUNT, strings: true };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(SYNTAX)?;
            match word.to_ascii_lowercase().as_slice() {
                b"match" => options.pattern = Some(value),
                b"count" => {
                    let count = number::parse(value).ok_or(NOT_AN_INTEGER)?;
                    if count < 1 {
                        return Err(SYNTAX);
                    }
                    options.count = usize::try_from(count).unwrap_or(limits::PAGE_MAX);
                }
                b"type" => options.strings = value.eq_ignore_ascii_case(b"string"),
                _ => return Err(SYNTAX),
            }
        }
        options.count = options.count.min(limits::PAGE_MAX);
        Ok(options)
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`.
pub(crate) async fn scan(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let cursor = cursor(arguments.at(1))?;
    let options = Options::parse(arguments.from(2))?;
    let after = if cursor == 0 { None } else { Some(place(session, cursor)?) };
    if !options.strings {
        // Every value is a string: there is nothing to look at.
        session.door.cursors().end(cursor);
        answer(0, &[], out);
        return Ok(());
    }
    let pattern = options.pattern.unwrap_or(b"*");
    let prefix = glob::prefix(pattern);
    // The cursor may be of a step with another pattern: then it is before, amid or behind these keys.
    let after = after.filter(|after| *after >= prefix);
    if after.as_ref().is_some_and(|after| !after.starts_with(&prefix)) {
        session.door.cursors().end(cursor);
        answer(0, &[], out);
        return Ok(());
    }
    let filter = glob::filter(pattern);
    let list = ListOptions {
        prefix,
        limit: options.count,
        cursor: after,
        reverse: false,
        keys_only: true,
        // As in Redis, the count is of keys that are looked at, not of those that match.
        budget: if filter.is_some() { options.count } else { 0 },
        filter,
    };
    let page = session.database().await?.list(&list).await?;
    let keys: Vec<&[u8]> = page
        .entries
        .iter()
        .map(|entry| entry.key.as_slice())
        .filter(|key| list.filter.is_some() || glob::matches(pattern, key))
        .collect();
    let next = if let Some(after) = &page.cursor {
        let Selected { path, keyspace, .. } = session.selected.clone();
        let place = Place { path, keyspace, after: after.clone() };
        session.door.cursors().go_on(cursor, place)
    } else {
        session.door.cursors().end(cursor);
        0
    };
    answer(next, &keys, out);
    Ok(())
}

/// Reads a cursor: a number without a sign.
fn cursor(text: &[u8]) -> Result<u64, Refusal> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or(Refusal::new("ERR invalid cursor"))
}

/// The key that a cursor leads behind.
fn place(session: &Session, cursor: u64) -> Result<Vec<u8>, Refusal> {
    let place = session.door.cursors().place(cursor);
    let Some(place) = place else {
        return Err(format!(
            "ERR the cursor {cursor} is not known any more: begin again with cursor 0"
        )
        .into());
    };
    let Selected { path, keyspace, .. } = &session.selected;
    if (&place.path, &place.keyspace) != (path, keyspace) {
        return Err(format!(
            "ERR the cursor {cursor} belongs to another database or keyspace: select that, or begin with cursor 0"
        )
        .into());
    }
    Ok(place.after)
}

fn answer(cursor: u64, keys: &[&[u8]], out: &mut Output) {
    out.array(2);
    out.bulk(cursor.to_string().as_bytes());
    out.array(keys.len());
    for key in keys {
        out.bulk(key);
    }
}

/// `KEYS pattern`.
pub(crate) async fn keys(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let pattern = arguments.at(1);
    let prefix = glob::prefix(pattern);
    let filter = glob::filter(pattern);
    let filtered = filter.is_some();
    let mut list = ListOptions { prefix, filter, keys_only: true, ..ListOptions::default() };
    let mut found = Output::default();
    let mut count = 0;
    let database = session.database().await?;
    loop {
        let page = database.list(&list).await?;
        let wanted = |entry: &&Entry| filtered || glob::matches(pattern, &entry.key);
        for entry in page.entries.iter().filter(wanted) {
            found.bulk(&entry.key);
            count += 1;
        }
        if found.bytes().len() > KEYS_BYTES_MAX {
            return Err(format!(
                "ERR more than {count} keys, which take more than the {KEYS_BYTES_MAX} bytes that one answer may have: use SCAN"
            )
            .into());
        }
        list.cursor = page.cursor;
        if list.cursor.is_none() {
            break;
        }
    }
    out.array(count);
    out.encoded(found.bytes());
    Ok(())
}
