//! When entries expire: a time for users, milliseconds in the rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_core::limits::EXPIRES_MAX;
use tidings_core::stamp::Millis;

use crate::{Error, Result};

/// The stored form of an expiry, rounded down to the millisecond.
pub(crate) fn to_millis(expires: SystemTime) -> Result<Millis> {
    let why = match expires.duration_since(UNIX_EPOCH) {
        Ok(since) => match Millis::try_from(since.as_millis()) {
            Ok(millis) if millis <= EXPIRES_MAX => return Ok(millis),
            _ => format!("{} ms after", since.as_millis()),
        },
        Err(error) => format!("{} ms before", error.duration().as_millis()),
    };
    Err(Error::BadArgument(format!(
        "an expiry {why} the Unix epoch: it is from 0 to {EXPIRES_MAX} ms after, the end of the year \
         9999; give none to an entry that stays"
    )))
}

/// The expiry that a row says. A later one than users may give is as good as the last.
pub(crate) fn from_millis(millis: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.min(EXPIRES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_kept_to_the_millisecond() {
        for millis in [0, 1, 1_795_276_800_123, EXPIRES_MAX] {
            let expires = from_millis(millis);
            assert_eq!(to_millis(expires), Ok(millis));
            assert_eq!(to_millis(expires + Duration::from_micros(999)), Ok(millis));
        }
        assert_eq!(from_millis(u64::MAX), from_millis(EXPIRES_MAX));
    }

    #[test]
    fn an_expiry_out_of_bounds_is_refused_with_the_bound() {
        let early = to_millis(UNIX_EPOCH - Duration::from_millis(5)).unwrap_err().to_string();
        assert!(early.starts_with("an expiry 5 ms before the Unix epoch"), "{early}");
        let late = from_millis(EXPIRES_MAX) + Duration::from_millis(1);
        let late = to_millis(late).unwrap_err().to_string();
        assert!(late.starts_with("an expiry 253402300800000 ms after the Unix epoch"), "{late}");
        assert!(late.contains("from 0 to 253402300799999 ms"), "{late}");
    }
}
