//! Numbers as people write them: durations, sizes and shares, read and written back exactly.

use super::WHOLE;

/// Units of time with their microseconds, the shorter suffix after the longer one that ends alike.
const TIMES: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Units of size with their bytes.
const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads a duration such as `250ms` or `1.5s`, in microseconds; a number without a unit is refused.
pub fn duration(text: &str) -> Option<u64> {
    quantity(text, &TIMES)
}

/// Reads a size such as `64KiB`, in bytes.
pub fn size(text: &str) -> Option<u64> {
    quantity(text, &SIZES)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, suffix) = text.split_at(at);
    let (_, unit) = units.iter().find(|(name, _)| *name == suffix)?;
    scaled(number, *unit)
}

/// A decimal number times a unit, where that is whole and fits.
pub(crate) fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 12 {
        return None;
    }
    let below = if part.is_empty() { 0 } else { part.parse::<u128>().ok()? * u128::from(unit) };
    let scale = 10_u128.pow(part.len() as u32);
    if below % scale != 0 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let all = whole.parse::<u128>().ok()?.checked_mul(u128::from(unit))? + below / scale;
    u64::try_from(all).ok()
}

/// Writes a duration with the largest unit that divides it.
pub fn show_duration(micros: u64) -> String {
    show(micros, &TIMES, "s")
}

fn show(number: u64, units: &[(&str, u64)], zero: &str) -> String {
    if number == 0 {
        return format!("0{zero}");
    }
    let unit = units.iter().filter(|(_, unit)| number.is_multiple_of(*unit));
    let (suffix, unit) = unit.max_by_key(|(_, unit)| *unit).copied().unwrap_or(units[0]);
    format!("{}{suffix}", number / unit)
}

/// Writes a share in parts per million as a decimal number.
pub fn show_share(parts: u64) -> String {
    decimal(parts, WHOLE)
}

/// Writes a number of parts as a decimal number; a whole has `scale` parts, a power of ten.
pub(crate) fn decimal(parts: u64, scale: u64) -> String {
    let digits = scale.ilog10() as usize;
    let text = format!("{}.{:0digits$}", parts / scale, parts % scale);
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for micros in [0, 1, 999, 1_500, 1_000_000, 90_000_000, 3_600_000_000, 86_400_000_001] {
            assert_eq!(duration(&show_duration(micros)), Some(micros));
        }
        for parts in [0, 1, 10, 500_000, 999_999, 1_000_000] {
            assert_eq!(scaled(&show_share(parts), WHOLE), Some(parts));
        }
        assert_eq!(duration("1.5s"), Some(1_500_000));
        assert_eq!(size("64KiB"), Some(65_536));
        for text in
            ["", "5", "s", "1.s", "-1s", "1 s", "1.23456789s", "1w", "99999999999999999999d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
