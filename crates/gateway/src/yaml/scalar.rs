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

/// Units of durations in milliseconds, in the order in which suffixes are tried.
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Bytes: a whole number, alone or with a unit of any case.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    with_unit(&text.to_ascii_lowercase(), &SIZES).ok_or_else(|| {
        "write bytes as a whole number, or a whole number with a unit, such as 500kB, 10MB or 1GiB"
            .into()
    })
}

/// Milliseconds: a whole number, alone or with a unit.
pub(super) fn millis(text: &str) -> Result<u64, String> {
    with_unit(text, &DURATIONS).ok_or_else(|| {
        "write milliseconds as a whole number, or a whole number with a unit, such as 250ms, 30s, \
         15m, 12h or 7d"
            .into()
    })
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    let digits = digits.trim_end_matches(' ');
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
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
