//! Scalars: the types that YAML gives to plain ones, durations with units.

/// Bytes: a whole number, alone or with a unit of [`crate::size`].
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    crate::size::parse(text).map_err(|error| error.to_string())
}

/// Milliseconds: a whole number, alone or with a unit of [`crate::duration`].
pub(super) fn millis(text: &str) -> Result<u64, String> {
    if let Some(millis) = crate::size::whole(text) {
        return Ok(millis);
    }
    let millis = crate::duration::parse(text).ok().map(|duration| duration.as_millis());
    millis.and_then(|millis| millis.try_into().ok()).ok_or_else(|| {
        "write milliseconds as a whole number, or a whole number with a unit, such as 250ms, 30s, \
         15m, 12h or 7d"
            .into()
    })
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
