//! Times as Redis writes them: seconds or milliseconds, from now or since the Unix epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::number;
use crate::refusal::{NOT_AN_INTEGER, Refusal};

/// What a number of an expiry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Seconds; else milliseconds.
    pub(crate) seconds: bool,
    /// Since the Unix epoch; else from now.
    pub(crate) absolute: bool,
}

impl Unit {
    /// What an option of `SET` and `GETEX` counts: `EX`, `PX`, `EXAT` or `PXAT`.
    pub(crate) fn of_option(word: &[u8]) -> Option<Self> {
        let unit = |seconds, absolute| Some(Self { seconds, absolute });
        match word.to_ascii_lowercase().as_slice() {
            b"ex" => unit(true, false),
            b"px" => unit(false, false),
            b"exat" => unit(true, true),
            b"pxat" => unit(false, true),
            _ => None,
        }
    }

    /// The moment that a number means, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When it is no number, or does not fit.
    pub(crate) fn millis(self, text: &[u8], command: &str) -> Result<i64, Refusal> {
        let number = number::parse(text).ok_or(NOT_AN_INTEGER)?;
        self.moment(number).ok_or_else(|| invalid(command))
    }

    /// The moment that a number above zero means.
    ///
    /// # Errors
    /// When it is no number, not above zero, or does not fit.
    pub(crate) fn expiry(self, text: &[u8], command: &str) -> Result<SystemTime, Refusal> {
        let number = number::parse(text).ok_or(NOT_AN_INTEGER)?;
        let millis = if number > 0 { self.moment(number) } else { None };
        millis.map(from_millis).ok_or_else(|| invalid(command))
    }

    fn moment(self, number: i64) -> Option<i64> {
        let millis = if self.seconds { number.checked_mul(1000)? } else { number };
        if self.absolute { Some(millis) } else { millis.checked_add(now()) }
    }
}

fn invalid(command: &str) -> Refusal {
    format!("ERR invalid expire time in '{command}' command").into()
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    to_millis(SystemTime::now())
}

/// Milliseconds since the Unix epoch; 0 before it.
pub(crate) fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A moment after the Unix epoch.
pub(crate) fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_above_zero_and_fits() {
        let at = Unit::of_option(b"ExAt").unwrap();
        assert_eq!(at.expiry(b"5", "set").map(to_millis), Ok(5000));
        assert_eq!(Unit::of_option(b"pxat").unwrap().expiry(b"5", "set").map(to_millis), Ok(5));
        let from_now = Unit::of_option(b"px").unwrap().millis(b"-1000", "pexpire").unwrap();
        assert!((now() - 60_000..now()).contains(&from_now), "{from_now}");
        let text = "ERR invalid expire time in 'set' command";
        for number in ["0", "-1", "9223372036854775807"] {
            assert_eq!(at.expiry(number.as_bytes(), "set").unwrap_err().text(), text);
        }
        assert_eq!(at.expiry(b"5s", "set"), Err(NOT_AN_INTEGER));
        assert_eq!(Unit::of_option(b"e"), None);
    }
}
