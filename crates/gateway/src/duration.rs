//! Durations as people write them: `250ms`, `30s`, `15m`, `12h`, `7d`.

use std::time::Duration;

use crate::size::whole;

/// A text was not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration: write a whole number and a unit, such as 250ms, 30s, 15m, 12h or 7d"
)]
pub struct BadDuration {
    /// The text, shortened.
    pub text: String,
}

/// The units, with their milliseconds. `ms` comes before `s` and `m` because suffixes are tried in
/// this order.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration. A number without a unit is refused: half of all readers would guess wrong.
///
/// # Errors
/// [`BadDuration`] when there is no unit, no whole number, or too large a one.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration { text: text.chars().take(40).collect() };
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .ok_or_else(bad)?;
    let millis = whole(number).and_then(|n| n.checked_mul(*unit)).ok_or_else(bad)?;
    Ok(Duration::from_millis(millis))
}

/// Writes a duration with the largest unit that divides it.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = UNITS
        .iter()
        .rev()
        .find(|(_, unit)| millis >= 1 && millis.is_multiple_of(u128::from(*unit)));
    let (suffix, unit) = unit.unwrap_or(&UNITS[0]);
    format!("{}{suffix}", millis / u128::from(*unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_whole_number_and_a_unit() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("15m", 900_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)));
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        for text in ["", "15", "s", "1.5s", "-1s", "1 s", "99999999999999999999d", "1w"] {
            assert!(parse(text).unwrap_err().to_string().contains("such as 250ms"), "{text}");
        }
    }
}
