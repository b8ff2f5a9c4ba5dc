//! Commands about when keys expire. A changed expiry is a write of the same entry: a counter remains one.

use std::cmp::Ordering;

use tidings::{Entry, WriteOptions};

use crate::change::{Change, change};
use crate::command::{Command, Spec};
use crate::parser::Arguments;
use crate::refusal::{Answer, Refusal, SYNTAX};
use crate::reply::Output;
use crate::session::Session;
use crate::time::{self, Unit};

/// When a new expiry takes the place of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    /// `XX`: if there is one; `NX`: if there is none.
    has_expiry: Option<bool>,
    /// `GT`: if it is later; `LT`: if it is earlier.
    order: Option<Ordering>,
}

impl Options {
    fn parse(arguments: Arguments<'_>) -> Result<Self, Refusal> {
        let words: Vec<Vec<u8>> = arguments.iter().map(<[u8]>::to_ascii_lowercase).collect();
        let known = [&b"nx"[..], b"xx", b"gt", b"lt"];
        if let Some(at) = words.iter().position(|word| !known.contains(&word.as_slice())) {
            let word = crate::refusal::shown(arguments.at(at));
            return Err(format!("ERR Unsupported option {word}").into());
        }
        let [none, some, later, earlier] = known.map(|own| words.iter().any(|word| word == own));
        if none && (some || later || earlier) {
            return Err(Refusal::new(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if later && earlier {
            return Err(Refusal::new("ERR GT and LT options at the same time are not compatible"));
        }
        let has_expiry = (none || some).then_some(some);
        let order = if later { Some(Ordering::Greater) } else { None };
        Ok(Self { has_expiry, order: order.or(earlier.then_some(Ordering::Less)) })
    }

    /// Whether they allow a new expiry in the place of one, or of none, which is later than any.
    fn allow(self, before: Option<i64>, new: i64) -> bool {
        let order = before.map_or(Ordering::Less, |before| new.cmp(&before));
        self.has_expiry.is_none_or(|wanted| wanted == before.is_some())
            && self.order.is_none_or(|wanted| wanted == order)
    }
}

/// `EXPIRE`, `PEXPIRE`, `EXPIREAT` and `PEXPIREAT`: `key n [NX|XX|GT|LT]`.
pub(crate) async fn expire(
    session: &mut Session,
    spec: &Spec,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let unit = Unit {
        seconds: matches!(spec.command, Command::Expire | Command::ExpireAt),
        absolute: matches!(spec.command, Command::ExpireAt | Command::PExpireAt),
    };
    let options = Options::parse(arguments.from(3))?;
    let millis = unit.millis(arguments.at(2), spec.name)?;
    let wanted = if millis <= time::now() {
        Change::Delete
    } else {
        Change::Expire(Some(time::from_millis(millis)))
    };
    let key = arguments.at(1);
    if options == Options::default() && matches!(wanted, Change::Expire(_)) {
        // Nothing to compare with: so it is in nobody's way, however often the key is counted.
        let database = session.database().await?;
        let at = Some(time::from_millis(millis));
        let written = database.expire_with(key, at, &WriteOptions::default()).await?;
        out.integer(i64::from(written.is_some()));
        return Ok(());
    }
    let done = change(session, key, |entry| {
        let before = |entry: &Entry| entry.expires.map(time::to_millis);
        let allowed = entry.is_some_and(|entry| options.allow(before(&entry), millis));
        Ok((if allowed { wanted.clone() } else { Change::Nothing }, allowed))
    })
    .await?;
    out.integer(i64::from(done));
    Ok(())
}

/// `PERSIST key`.
pub(crate) async fn persist(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let done = change(session, arguments.at(1), |entry| {
        let expires = entry.is_some_and(|entry| entry.expires.is_some());
        Ok((if expires { Change::Expire(None) } else { Change::Nothing }, expires))
    })
    .await?;
    out.integer(i64::from(done));
    Ok(())
}

/// `TTL`, `PTTL`, `EXPIRETIME` and `PEXPIRETIME`: -2 without the key, -1 without an expiry.
pub(crate) async fn ttl(
    session: &mut Session,
    command: Command,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let entry = session.database().await?.get_entry(arguments.at(1)).await?;
    out.integer(match entry.map(|entry| entry.expires.map(time::to_millis)) {
        None => -2,
        Some(None) => -1,
        Some(Some(millis)) => {
            let left = (millis - time::now()).max(0);
            match command {
                Command::PTtl => left,
                Command::ExpireTime => rounded(millis),
                Command::PExpireTime => millis,
                _ => rounded(left),
            }
        }
    });
    Ok(())
}

/// Seconds, as Redis rounds them.
fn rounded(millis: i64) -> i64 {
    millis.saturating_add(500) / 1000
}

/// `GETEX key [EX|PX|EXAT|PXAT n | PERSIST]`.
pub(crate) async fn getex(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    if arguments.len() == 2 {
        return crate::strings::get(session, arguments, out).await;
    }
    let expiry = getex_expiry(arguments.from(2))?;
    let value = change(session, arguments.at(1), |entry| {
        let Some(entry) = entry else { return Ok((Change::Nothing, None)) };
        // A wrong number is only told where there is something to expire, as in Redis.
        let expires = expiry.map(|(unit, number)| unit.expiry(number, "getex")).transpose()?;
        let change = match expires {
            None if entry.expires.is_none() => Change::Nothing,
            Some(at) if time::to_millis(at) <= time::now() => Change::Delete,
            expires => Change::Expire(expires),
        };
        Ok((change, Some(entry.value)))
    })
    .await?;
    out.value(value.as_deref());
    Ok(())
}

/// What `GETEX` shall do: an expiry, or none for `PERSIST`. Of the same kind the last one counts.
fn getex_expiry(arguments: Arguments<'_>) -> Result<Option<(Unit, &[u8])>, Refusal> {
    let (mut expiry, mut persist) = (None, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if let Some(unit) = Unit::of_option(word) {
            let other = expiry.is_some_and(|(before, _)| before != unit) || persist;
            let number = words.next().filter(|_| !other);
            expiry = Some((unit, number.ok_or(SYNTAX)?));
        } else if word.eq_ignore_ascii_case(b"persist") && expiry.is_none() {
            persist = true;
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(expiry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_expiry_is_later_than_any() {
        let order = |order| Options { order: Some(order), ..Options::default() };
        let (later, earlier) = (order(Ordering::Greater), order(Ordering::Less));
        assert!(!later.allow(None, 5) && later.allow(Some(4), 5) && !later.allow(Some(5), 5));
        assert!(earlier.allow(None, 5) && earlier.allow(Some(6), 5) && !earlier.allow(Some(5), 5));
        let if_some = |some| Options { has_expiry: Some(some), ..Options::default() };
        assert!(if_some(false).allow(None, 5) && !if_some(false).allow(Some(9), 5));
        assert!(if_some(true).allow(Some(9), 5) && !if_some(true).allow(None, 5));
    }
}
