//! Scalars: the types that YAML gives to plain ones, sizes with units, durations with units.

/// Units of sizes in bytes. Longer suffixes come first, because they are tried in this order.
const SIZES: [(&str, u64); 9] = [
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

/// Bytes: a whole number, alone or with a unit of any case.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = SIZES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((&text, 1));
    let number = whole(digits.trim_end_matches(' '));
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(|| {
        "write bytes as a whole number, or a whole number with a unit, such as 500kB, 10MB or 1GiB"
            .into()
    })
}

/// Milliseconds: a whole number, alone or with a unit of [`crate::duration`].
pub(super) fn millis(text: &str) -> Result<u64, String> {
    if let Some(millis) = whole(text) {
        return Ok(millis);
    }
    let millis = crate::duration::parse(text).ok().map(|duration| duration.as_millis());
    millis.and_then(|millis| millis.try_into().ok()).ok_or_else(|| {
        "write milliseconds as a whole number, or a whole number with a unit, such as 250ms, 30s, \
         15m, 12h or 7d"
            .into()
    })
}

fn whole(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all { digits.parse().ok() } else { None }
}

/// The type that YAML 1.2 gives to a scalar without quotes; `None` when it is text.
pub(super) fn plain_type(text: &str) -> Option<&'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some("nothing"),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Some("the truth value"),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let special =
        matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    let radix = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let decimal = unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit())
        && unsigned.parse::<f64>().is_ok();
    (special || decimal || radix("0x", 16) || radix("0o", 8)).then_some("the number")
}
