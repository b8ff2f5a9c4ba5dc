//! Commands that set values: `SET` and its relatives.

use std::time::SystemTime;

use tidings::{Batch, Condition};

use crate::change::{Change, change};
use crate::command::{Command, Spec, wrong_number};
use crate::parser::Arguments;
use crate::refusal::{Answer, Refusal, SYNTAX};
use crate::reply::Output;
use crate::session::Session;
use crate::time::Unit;
use crate::writes::{Form, Plan};

/// What the options of `SET` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    expires: Option<SystemTime>,
    keep_ttl: bool,
    /// `NX` or `XX`.
    condition: Option<Condition>,
    get: bool,
}

impl Options {
    fn parse(arguments: Arguments<'_>) -> Result<Self, Refusal> {
        let mut options = Self::default();
        // Two kinds of expiry exclude each other; of the same kind the last one counts.
        let mut expiry = None;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if let Some(unit) = Unit::of_option(word) {
                let other = expiry.is_some_and(|(before, _)| before != unit) || options.keep_ttl;
                let number = words.next().filter(|_| !other);
                expiry = Some((unit, number.ok_or(SYNTAX)?));
                continue;
            }
            match word.to_ascii_lowercase().as_slice() {
                b"nx" if options.condition != Some(Condition::Present) => {
                    options.condition = Some(Condition::Absent);
                }
                b"xx" if options.condition != Some(Condition::Absent) => {
                    options.condition = Some(Condition::Present);
                }
                b"get" => options.get = true,
                b"keepttl" if expiry.is_none() => options.keep_ttl = true,
                _ => return Err(SYNTAX),
            }
        }
        if let Some((unit, number)) = expiry {
            options.expires = Some(unit.expiry(number, "set")?);
        }
        Ok(options)
    }
}

/// `SET key value [EX|PX|EXAT|PXAT n | KEEPTTL] [NX|XX] [GET]`, where what is there needs no reading.
///
/// # Errors
/// When the options are wrong.
pub(crate) fn plan(arguments: Arguments<'_>, batch: &mut Batch) -> Result<Option<Plan>, Refusal> {
    let options = Options::parse(arguments.from(3))?;
    if options.get || options.keep_ttl {
        return Ok(None);
    }
    add(arguments.at(1), arguments.at(2), options.expires, batch);
    Ok(Some(Plan { condition: options.condition, form: Form::Ok }))
}

/// `SETEX key seconds value` and `PSETEX key milliseconds value`.
///
/// # Errors
/// When the time is wrong.
pub(crate) fn plan_with_expiry(
    spec: &Spec,
    arguments: Arguments<'_>,
    batch: &mut Batch,
) -> Result<Plan, Refusal> {
    let unit = Unit { seconds: spec.command == Command::SetEx, absolute: false };
    let expires = unit.expiry(arguments.at(2), spec.name)?;
    add(arguments.at(1), arguments.at(3), Some(expires), batch);
    Ok(Plan::always(Form::Ok))
}

fn add(key: &[u8], value: &[u8], expires: Option<SystemTime>, batch: &mut Batch) {
    match expires {
        Some(expires) => batch.put_until(key, value, expires),
        None => batch.put(key, value),
    };
}

/// What `MSET key value [key value …]` and `MSETNX` set.
///
/// # Errors
/// When a key has no value.
pub(crate) fn add_pairs(spec: &Spec, arguments: Arguments<'_>, batch: &mut Batch) -> Answer {
    if arguments.len().is_multiple_of(2) {
        return Err(wrong_number(spec.name));
    }
    let mut words = arguments.from(1).iter();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        batch.put(key, value);
    }
    Ok(())
}

/// `SET` with `GET` or `KEEPTTL`.
pub(crate) async fn set_after_reading(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let options = Options::parse(arguments.from(3))?;
    replace(session, arguments, options, out).await
}

async fn replace(
    session: &mut Session,
    arguments: Arguments<'_>,
    options: Options,
    out: &mut Output,
) -> Answer {
    let (key, value) = (arguments.at(1), arguments.at(2));
    let (written, before) = change(session, key, |entry| {
        let holds = match options.condition {
            Some(Condition::Absent) => entry.is_none(),
            Some(_) => entry.is_some(),
            None => true,
        };
        let expires = match &entry {
            Some(entry) if options.keep_ttl => entry.expires,
            _ => options.expires,
        };
        let before = entry.map(|entry| entry.value);
        if !holds {
            return Ok((Change::Nothing, (false, before)));
        }
        Ok((Change::Put(value.to_vec(), expires), (true, before)))
    })
    .await?;
    if options.get {
        out.value(before.as_deref());
    } else if written {
        out.ok();
    } else {
        out.null();
    }
    Ok(())
}

/// `GETSET key value`.
pub(crate) async fn getset(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let options = Options { get: true, ..Options::default() };
    replace(session, arguments, options, out).await
}
