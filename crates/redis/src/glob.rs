//! Redis' patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` before a byte that shall stand for itself.
//!
//! Matching goes back to the last star only, so that no pattern takes more than its length times that
//! of the text.

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
