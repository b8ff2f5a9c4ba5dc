//! Requests that people type: words with blanks between them, and quotes, as in Redis.

use crate::parser::Place;

/// Splits a line, and appends each word and where it lies. `None`: a quote has no other one, or is
/// followed by something else than a blank.
pub(crate) fn split(line: &[u8], words: &mut Vec<u8>, places: &mut Vec<Place>) -> Option<()> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_blank(*byte)) {
            at += 1;
        }
        if at == line.len() {
            return Some(());
        }
        let from = words.len();
        while let Some(byte) = line.get(at).copied().filter(|byte| !is_blank(*byte)) {
            match byte {
                b'"' => at = double_quoted(line, at + 1, words)?,
                b'\'' => at = single_quoted(line, at + 1, words)?,
                _ => {
                    words.push(byte);
                    at += 1;
                }
            }
        }
        places.push((from as u32, words.len() as u32));
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The word ends where a quote ends.
fn closed(line: &[u8], at: usize) -> Option<usize> {
    line.get(at).is_none_or(|byte| is_blank(*byte)).then_some(at)
}

fn double_quoted(line: &[u8], mut at: usize, words: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'"' => return closed(line, at + 1),
            b'\\' => {
                let (byte, length) = escaped(&line[at + 1..])?;
                words.push(byte);
                at += 1 + length;
            }
            byte => {
                words.push(byte);
                at += 1;
            }
        }
    }
}

/// What stands behind a backslash, and how many bytes it takes.
fn escaped(rest: &[u8]) -> Option<(u8, usize)> {
    if let [b'x', high, low, ..] = rest
        && let (Some(high), Some(low)) = (hexadecimal(*high), hexadecimal(*low))
    {
        return Some((high * 16 + low, 3));
    }
    let byte = match *rest.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    };
    Some((byte, 1))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

fn single_quoted(line: &[u8], mut at: usize, words: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [b'\\', b'\'', ..] => {
                words.push(b'\'');
                at += 2;
            }
            [b'\'', ..] => return closed(line, at + 1),
            [byte, ..] => {
                words.push(*byte);
                at += 1;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut bytes, &mut places)?;
        let word = |(from, to): &Place| &bytes[*from as usize..*to as usize];
        Some(places.iter().map(|place| word(place).escape_ascii().to_string()).collect())
    }

    #[test]
    fn words_may_be_quoted() {
        let is = |line: &str, expected: &[&str]| {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        };
        is("  get   key ", &["get", "key"]);
        is("", &[]);
        is(r#"set "" 'it\'s'"#, &["set", "", r"it\'s"]);
        is(r#"set k "a b\x00\n\"\q""#, &["set", "k", r#"a b\x00\n\"q"#]);
        is(r#"pre"fix""#, &["prefix"]);
        is(r#"'\x41' "\x4""#, &[r"\\x41", "x4"]);
        for unbalanced in [r#"get "a"#, "get 'a", r#""a"b"#, "'a'b", "\"a\\"] {
            assert_eq!(words(unbalanced), None, "{unbalanced}");
        }
    }
}
