//! Whole numbers as Redis reads and writes them in text: no sign but a minus, no leading zeros.

/// Longest text of a number that is read: a minus and 19 digits.
const DIGITS_MAX: usize = 20;

/// Reads a signed number; `None` for what Redis would not take either: an empty text, `+1`, `01`,
/// `-0`, blanks, and what does not fit.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > DIGITS_MAX {
        return None;
    }
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    let mut number = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Counted below zero, where there is room for one more.
        number = number.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(number) } else { number.checked_neg() }
}

/// Appends a number as decimal text.
pub(crate) fn append(out: &mut Vec<u8>, number: i64) {
    let mut text = [0_u8; DIGITS_MAX];
    let mut at = text.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strictly_as_redis_does() {
        for number in [0, 1, -1, 42, i64::MAX, i64::MIN] {
            assert_eq!(parse(number.to_string().as_bytes()), Some(number));
            let mut text = Vec::new();
            append(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
        let refused = ["", "-", "-0", "+1", "01", "00", " 1", "1 ", "1x", "x", "0x1"];
        for text in refused.into_iter().chain(["9223372036854775808", "-9223372036854775809"]) {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
