//! Commands that set values: `SET` and its relatives.

use std::time::SystemTime;

use tidings::{Batch, Condition, Error, WriteOptions};

use crate::change::{Change, change};
use crate::command::{Command, Spec, wrong_number};
use crate::parser::Arguments;
use crate::refusal::{Answer, Refusal, SYNTAX};
use crate::reply::Output;
use crate::session::Session;
use crate::time::Unit;

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

    /// Whether the answer is the same whatever was there before.
    fn is_blind(self) -> bool {
        self.condition.is_none() && !self.keep_ttl && !self.get
    }
}

/// `SET key value [EX|PX|EXAT|PXAT n | KEEPTTL] [NX|XX] [GET]`.
pub(crate) async fn set(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let (key, value) = (arguments.at(1), arguments.at(2));
    let options =
        if arguments.len() == 3 { Options::default() } else { Options::parse(arguments.from(3))? };
    if options.get || options.keep_ttl {
        return set_after_reading(session, key, value, options, out).await;
    }
    if put(session, key, value, options).await? {
        out.ok();
    } else {
        out.null();
    }
    Ok(())
}

/// Sets a value without reading one before. False: the condition does not hold.
async fn put(
    session: &mut Session,
    key: &[u8],
    value: &[u8],
    options: Options,
) -> Result<bool, Refusal> {
    let Options { expires, condition, .. } = options;
    let write = WriteOptions { expires, condition, ..WriteOptions::default() };
    match session.database().await?.put_with(key, value, &write).await {
        Ok(_) => Ok(true),
        Err(Error::ConditionFailed(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn set_after_reading(
    session: &mut Session,
    key: &[u8],
    value: &[u8],
    options: Options,
    out: &mut Output,
) -> Answer {
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

/// `SETEX key seconds value` and `PSETEX key milliseconds value`.
pub(crate) async fn setex(
    session: &mut Session,
    spec: &Spec,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let expires = Some(unit_of(spec).expiry(arguments.at(2), spec.name)?);
    let options = Options { expires, ..Options::default() };
    put(session, arguments.at(1), arguments.at(3), options).await?;
    out.ok();
    Ok(())
}

fn unit_of(spec: &Spec) -> Unit {
    Unit { seconds: spec.command == Command::SetEx, absolute: false }
}

/// `SETNX key value`.
pub(crate) async fn setnx(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let options = Options { condition: Some(Condition::Absent), ..Options::default() };
    let written = put(session, arguments.at(1), arguments.at(2), options).await?;
    out.integer(i64::from(written));
    Ok(())
}

/// `GETSET key value`.
pub(crate) async fn getset(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let options = Options { get: true, ..Options::default() };
    set_after_reading(session, arguments.at(1), arguments.at(2), options, out).await
}

/// `MSET key value [key value …]`: one batch.
pub(crate) async fn mset(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let batch = pairs(arguments, "mset")?;
    session.database().await?.batch(batch).await?;
    out.ok();
    Ok(())
}

/// `MSETNX key value [key value …]`: one batch, if none of the keys is there.
pub(crate) async fn msetnx(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let batch = pairs(arguments, "msetnx")?;
    let condition = Some(Condition::Absent);
    let options = WriteOptions { condition, ..WriteOptions::default() };
    match session.database().await?.batch_with(batch, &options).await {
        Ok(_) => out.integer(1),
        Err(Error::ConditionFailed(_)) => out.integer(0),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn pairs(arguments: Arguments<'_>, name: &str) -> Result<Batch, Refusal> {
    if arguments.len().is_multiple_of(2) {
        return Err(wrong_number(name));
    }
    let mut batch = Batch::new();
    add_pairs(arguments, &mut batch);
    Ok(batch)
}

fn add_pairs(arguments: Arguments<'_>, batch: &mut Batch) {
    let mut words = arguments.from(1).iter();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        batch.put(key, value);
    }
}

/// Adds to a batch what a command writes, where its answer is `OK` whatever was there before. False: it
/// is another command, or wrong, and has to be run by itself.
pub(crate) fn plan(spec: &Spec, arguments: Arguments<'_>, batch: &mut Batch) -> bool {
    let (key, value, expires) = match spec.command {
        Command::MSet if !arguments.len().is_multiple_of(2) => {
            add_pairs(arguments, batch);
            return true;
        }
        Command::Set => match Options::parse(arguments.from(3)) {
            Ok(options) if options.is_blind() => {
                (arguments.at(1), arguments.at(2), options.expires)
            }
            _ => return false,
        },
        Command::SetEx | Command::PSetEx => {
            let Ok(expires) = unit_of(spec).expiry(arguments.at(2), spec.name) else {
                return false;
            };
            (arguments.at(1), arguments.at(3), Some(expires))
        }
        _ => return false,
    };
    match expires {
        Some(expires) => batch.put_until(key, value, expires),
        None => batch.put(key, value),
    };
    true
}
