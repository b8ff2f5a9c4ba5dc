//! Answers of the Redis door, read as a client reads them.

/// Deepest nesting of an answer; the door nests a few levels.
const NESTING_MAX: usize = 8;

/// Takes one answer off the front; `None`: it is none, or not all there.
fn take(bytes: &mut &[u8], nesting: usize) -> Option<()> {
    let (kind, rest) = bytes.split_first()?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = rest.get(..end)?;
    *bytes = rest.get(end + 2..)?;
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    let items = |per: usize| -> Option<usize> {
        match number()? {
            -1 if *kind == b'*' => Some(0),
            count => usize::try_from(count).ok()?.checked_mul(per),
        }
    };
    let items = match kind {
        b'+' | b'-' => {
            let plain = line.iter().all(|byte| !matches!(byte, b'\r' | b'\n'));
            return plain.then_some(());
        }
        b':' => return number().map(drop),
        b'_' => return line.is_empty().then_some(()),
        b'#' => return matches!(line, b"t" | b"f").then_some(()),
        b'$' | b'=' => {
            let length = number()?;
            if length == -1 && *kind == b'$' {
                return Some(());
            }
            let length = usize::try_from(length).ok()?;
            let (text, rest) = bytes.split_at_checked(length.checked_add(2)?)?;
            *bytes = rest;
            let verbatim = *kind == b'$' || text.get(3) == Some(&b':');
            return (text.ends_with(b"\r\n") && verbatim).then_some(());
        }
        b'*' | b'~' | b'>' => items(1)?,
        b'%' => items(2)?,
        _ => return None,
    };
    let nesting = nesting.checked_sub(1)?;
    (0..items).try_for_each(|_| take(bytes, nesting))
}

/// How many answers the bytes are.
///
/// # Panics
/// When they are not a number of whole answers.
pub fn count(bytes: &[u8]) -> usize {
    let (mut rest, mut answers) = (bytes, 0);
    while !rest.is_empty() {
        let before = rest;
        let whole = take(&mut rest, NESTING_MAX);
        assert!(whole.is_some(), "no answer: {}", before.escape_ascii());
        answers += 1;
    }
    answers
}
