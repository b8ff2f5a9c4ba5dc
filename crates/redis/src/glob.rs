//! Redis' patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` before a byte that shall stand for itself.
//!
//! Matching goes back to the last star only, so that no pattern takes more than its length times that
//! of the text.

use std::fmt::Write as _;

use tidings::Filter;

/// Whether a pattern accepts a whole text.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    // Behind the last star, and how far what the star takes reaches.
    let mut star: Option<(&[u8], usize)> = None;
    loop {
        if let [b'*', behind @ ..] = rest {
            star = Some((behind, at));
            rest = behind;
            continue;
        }
        if let Some(byte) = text.get(at) {
            if let Some((true, behind)) = one(rest, *byte) {
                rest = behind;
                at += 1;
                continue;
            }
        } else if rest.is_empty() {
            return true;
        }
        match &mut star {
            Some((behind, taken)) if *taken < text.len() => {
                *taken += 1;
                (rest, at) = (behind, *taken);
            }
            _ => return false,
        }
    }
}

/// Whether the first part of a pattern, which is no star, accepts a byte, and what stands behind the
/// part. `None` at the end of the pattern.
fn one(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'?', behind @ ..] => (true, behind),
        [b'[', class @ ..] => one_of(class, byte),
        [b'\\', own, behind @ ..] | [own, behind @ ..] => (*own == byte, behind),
    })
}

/// A class up to its `]`, or to the end of the pattern where that is missing, as in Redis.
fn one_of(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match class {
        [b'^', behind @ ..] => (true, behind),
        _ => (false, class),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [b']', behind @ ..] => {
                rest = behind;
                break;
            }
            [b'\\', own, behind @ ..] => {
                found |= *own == byte;
                behind
            }
            [from, b'-', to, behind @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                behind
            }
            [own, behind @ ..] => {
                found |= *own == byte;
                behind
            }
        };
    }
    (found != negated, rest)
}

/// The same pattern as a filter, which is evaluated where the copy is: a regular expression over bytes.
/// `None` where it is too large for one, and where the prefix says it all.
pub(crate) fn filter(pattern: &[u8]) -> Option<Filter> {
    let mut regex = String::from("(?s-u)");
    let (mut rest, mut plain) = (pattern, true);
    loop {
        rest = match rest {
            [] if plain && regex.ends_with(".*") => return None,
            [] => return Filter::regex(regex).ok(),
            [b'*', behind @ ..] => {
                if !regex.ends_with(".*") {
                    regex += ".*";
                }
                behind
            }
            [b'?', behind @ ..] => {
                plain = false;
                regex.push('.');
                behind
            }
            [b'[', class @ ..] => {
                plain = false;
                write_class(&mut regex, class)
            }
            [b'\\', own, behind @ ..] | [own, behind @ ..] => {
                plain &= !regex.ends_with(".*");
                write_byte(&mut regex, *own);
                behind
            }
        };
    }
}

/// Writes the bytes that a class accepts; gives what stands behind it.
fn write_class<'a>(regex: &mut String, class: &'a [u8]) -> &'a [u8] {
    let accepted: Vec<u8> = (0..=u8::MAX).filter(|byte| one_of(class, *byte).0).collect();
    if accepted.is_empty() {
        // No byte at all.
        regex.push_str(r"[^\x00-\xff]");
    } else {
        regex.push('[');
        for run in accepted.chunk_by(|byte, next| byte + 1 == *next) {
            if let [first, .., last] = run {
                write_byte(regex, *first);
                regex.push('-');
                write_byte(regex, *last);
            } else if let [only] = run {
                write_byte(regex, *only);
            }
        }
        regex.push(']');
    }
    one_of(class, 0).1
}

fn write_byte(regex: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() {
        regex.push(byte.into());
    } else {
        // Writing to memory cannot fail.
        let _ = write!(regex, r"\x{byte:02x}");
    }
}

/// The bytes that every accepted text begins with.
pub(crate) fn prefix(pattern: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::new();
    let mut rest = pattern;
    loop {
        rest = match rest {
            [] | [b'*' | b'?' | b'[', ..] => return prefix,
            [b'\\', own, behind @ ..] | [own, behind @ ..] => {
                prefix.push(*own);
                behind
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        let yes = [
            ("*", ""),
            ("*", "a"),
            ("", ""),
            ("h?llo", "hallo"),
            ("h*llo", "hllo"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            (r"h\*llo", "h*llo"),
            (r"h\?", "h?"),
            (r"[\]]", "]"),
            ("[abc", "c"),
            ("a*b*c", "axxbyyc"),
            ("**a", "ba"),
            ("user:*:name", "user:7:name"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            assert!(text.as_bytes().starts_with(&prefix(pattern.as_bytes())), "{pattern}");
        }
        let no = [
            ("", "a"),
            ("?", ""),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("h[a-c]llo", "hdllo"),
            (r"h\*llo", "hxllo"),
            ("a*b", "a"),
            ("*a", "b"),
            ("[]", "a"),
            ("a", "ab"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    /// All short patterns, as filters and by themselves, for all short texts.
    #[test]
    fn filters_say_the_same() {
        let texts: Vec<Vec<u8>> = words(b"ab-]\xff\n/", 3);
        for pattern in words(b"ab*?[]^-\\\xff", 3) {
            let Some(filter) = filter(&pattern) else {
                assert!(pattern.is_empty() || pattern.ends_with(b"*"), "{pattern:?}");
                let prefix = prefix(&pattern);
                assert!(texts.iter().all(|t| matches(&pattern, t) == t.starts_with(&prefix)));
                continue;
            };
            for text in &texts {
                let expected = matches(&pattern, text);
                assert_eq!(filter.matches(text), expected, "{pattern:?} {text:?}");
            }
        }
    }

    /// Every word of at most so many letters, the empty one included.
    fn words(letters: &[u8], most: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut longest = all.clone();
        for _ in 0..most {
            let longer = |word: &Vec<u8>| {
                letters.iter().map(|letter| [&word[..], &[*letter]].concat()).collect::<Vec<_>>()
            };
            longest = longest.iter().flat_map(longer).collect();
            all.extend(longest.clone());
        }
        all
    }

    #[test]
    fn a_filter_is_for_what_the_prefix_does_not_say() {
        assert!(
            filter(b"*").is_none() && filter(b"user:**").is_none() && filter(br"a\**").is_none()
        );
        assert!(filter(b"user:*:name").is_some() && filter(b"plain").is_some());
        assert_eq!(filter(b"user:?*").unwrap().literal_prefix(), b"user:");
        assert!(filter(&b"?".repeat(1000)).is_some());
        assert!(filter(&b"[^a]".repeat(1000)).is_none(), "it is evaluated at the door");
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = b"*a".repeat(500);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &vec![b'a'; 20_000]));
    }

    #[test]
    fn what_every_match_begins_with_is_known() {
        assert_eq!(prefix(b"user:*"), b"user:");
        assert_eq!(prefix(br"a\*b?c"), b"a*b");
        assert_eq!(prefix(b"plain"), b"plain");
        assert_eq!(prefix(b"[ab]c"), b"");
    }
}
