//! Sizes as people write them: `500kB`, `10MB`, `1GiB`, or bytes as a number.

/// A text was not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write bytes as a whole number, or a whole number with a unit, such as 500kB, 10MB or 1GiB"
)]
pub struct BadSize;

/// Units in bytes. Longer suffixes come first, because they are tried in this order.
const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

/// Reads a size in bytes: a whole number, alone or with a unit of any case.
///
/// # Errors
/// [`BadSize`] when there is no whole number, another unit, or too large a number.
pub fn parse(text: &str) -> Result<u64, BadSize> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((&text, 1));
    let number = whole(digits.trim_end_matches(' '));
    number.and_then(|number| number.checked_mul(unit)).ok_or(BadSize)
}

/// A number of digits alone: no sign, no blank.
pub(crate) fn whole(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_numbers_with_units() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("12 B", 12),
            ("500kB", 500_000),
            ("32MiB", 32 << 20),
            ("1tib", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "kB", "1.5MB", "-1", "+1", "1 PB", "99999999999 TB", "１MB"] {
            assert_eq!(parse(text), Err(BadSize), "{text}");
        }
    }
}
