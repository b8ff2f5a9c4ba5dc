//! Moments as people and files write them: `2026-11-21T16:00:00.000Z`, after RFC 3339.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings::limits::EXPIRES_MAX;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds in a millisecond.
const MILLI: i128 = 1_000_000;

/// A text was not a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a moment of the years 1970 to 9999: write date, time and zone as in 2026-11-21T16:00:00.000Z"
)]
pub struct BadMoment {
    /// The text, shortened.
    pub text: String,
}

/// Reads a moment in any zone, rounded down to the millisecond. One without a zone is refused: half of
/// all readers would guess wrong.
///
/// # Errors
/// [`BadMoment`] when it is not RFC 3339, or outside of the years 1970 to 9999 in UTC.
pub fn parse(text: &str) -> Result<SystemTime, BadMoment> {
    let bad = || BadMoment { text: text.chars().take(40).collect() };
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad())?;
    let millis = moment.unix_timestamp_nanos().div_euclid(MILLI);
    let millis = u64::try_from(millis).ok().filter(|millis| *millis <= EXPIRES_MAX);
    Ok(UNIX_EPOCH + Duration::from_millis(millis.ok_or_else(bad)?))
}

/// Writes a moment in UTC, always with milliseconds. One before 1970 or after 9999 is written as the
/// first or the last of these years.
pub fn format(moment: SystemTime) -> String {
    let millis = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let nanos = millis.min(u128::from(EXPIRES_MAX)) as i128 * MILLI;
    // Within these years there is a date for every number.
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos);
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second, milli) = moment.to_hms_milli();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_with_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_210_096_007, "2024-02-29T12:34:56.007Z"),
            (1_795_276_800_000, "2026-11-21T16:00:00.000Z"),
            (EXPIRES_MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            let moment = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(format(moment), text);
            assert_eq!(parse(text), Ok(moment));
        }
        let last = UNIX_EPOCH + Duration::from_millis(EXPIRES_MAX);
        assert_eq!(format(last + Duration::from_secs(1)), format(last));
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(1)), format(UNIX_EPOCH));
    }

    #[test]
    fn any_zone_and_any_fraction_are_read() {
        for (text, same) in [
            ("2026-11-21T18:30:00+02:30", "2026-11-21T16:00:00.000Z"),
            ("2026-11-21T16:00:00Z", "2026-11-21T16:00:00.000Z"),
            ("2026-11-21T16:00:00.0079999Z", "2026-11-21T16:00:00.007Z"),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Ok(same));
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_the_form_and_the_bounds() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T16:00:00",
            "2026-02-29T16:00:00Z",
            "1795276800000",
            "1969-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59.999-01:00",
        ] {
            let error = parse(text).unwrap_err().to_string();
            let start = format!("{text:?} is not a moment of the years 1970 to 9999");
            assert!(error.starts_with(&start) && error.ends_with("16:00:00.000Z"), "{error}");
        }
    }
}
