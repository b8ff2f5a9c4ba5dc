//! What the kinds accept, beside a slow obvious model; hostile texts; overlaps against enumeration.

extern crate std;

use alloc::vec::Vec;
use alloc::{format, vec};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn matcher(text: &str) -> Matcher {
    Matcher::parse(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

fn refused(text: &str) -> MatcherError {
    Matcher::parse(text).unwrap_err()
}

/// The text alone decides the kind, by the rules of the module's table.
#[test]
fn the_text_decides_the_kind() {
    for (text, kind) in [
        ("profile/history", Kind::Exact),
        ("a.b-c_d:e", Kind::Exact),
        ("exact:a*", Kind::Exact),
        ("exact:[", Kind::Exact),
        ("EXACT:a", Kind::Exact),
        ("*", Kind::Glob),
        ("profile/*", Kind::Glob),
        ("a/**/b", Kind::Glob),
        ("glob:a?b", Kind::Glob),
        ("glob:plain", Kind::Glob),
        ("profile/.*", Kind::Regex),
        ("a+", Kind::Regex),
        ("a?", Kind::Regex),
        ("a|b", Kind::Regex),
        ("^a", Kind::Regex),
        ("a$", Kind::Regex),
        ("a{2}", Kind::Regex),
        ("[ab]", Kind::Regex),
        ("(a)", Kind::Regex),
        ("a\\.b", Kind::Regex),
        ("regex:plain", Kind::Regex),
    ] {
        assert_eq!(matcher(text).kind(), kind, "{text}");
        assert_eq!(matcher(text).to_string(), text);
    }
}

/// Every row of the module's tables of examples, and the corners between them.
#[test]
fn examples_hold() {
    for (text, accepted, rejected) in [
        ("profile/*", vec!["profile/a", "profile/é"], vec!["profile/", "profile/a/b", "profile"]),
        ("log-*", vec!["log-7"], vec!["log-", "log-7/x"]),
        ("profile/**", vec!["profile/a", "profile/a/b"], vec!["profile", "profile/"]),
        ("a/**/z", vec!["a/z", "a/b/z", "a/b/c/z"], vec!["az", "a/bz", "a/z/y"]),
        ("**/z", vec!["z", "a/z", "a/b/z"], vec!["az", "z/"]),
        ("a/[0-9]+", vec!["a/12"], vec!["a/", "a/12/b", "xa/12"]),
        ("glob:a[*]", vec!["a[b]"], vec!["ab", "a[]"]),
        ("*", vec!["a"], vec!["a/b", "/a"]),
        ("**", vec!["a", "a/b", "/"], vec![]),
        ("*/*", vec!["a/b"], vec!["a", "a/b/c", "/b"]),
        ("a*b", vec!["axb", "axbxb"], vec!["ab", "a/b"]),
        ("a**b", vec!["axb", "a/b", "a/x/b"], vec!["ab"]),
        ("a/**/**/z", vec!["a/z", "a/b/z"], vec!["az"]),
        ("x", vec!["x"], vec!["/x", "x/", "X"]),
        ("/x", vec!["/x"], vec!["x"]),
        ("exact:exact:x", vec!["exact:x"], vec!["x"]),
        ("a|ab", vec!["a", "ab"], vec!["abb"]),
        ("^a|b$", vec!["a", "b"], vec!["ax", "xb"]),
        ("a.*", vec!["a", "a/b/c"], vec!["ba"]),
        ("(?i)user/x", vec!["user/x", "USER/X"], vec!["user/y"]),
        ("(?x)a b # a remark", vec!["ab"], vec!["a b"]),
        ("(?m)^a$", vec!["a"], vec!["ab"]),
        (r"user/\w+", vec!["user/ünï"], vec!["user/", "user/a-b"]),
    ] {
        let matcher = matcher(text);
        for one in accepted {
            assert!(matcher.matches(&path(one)), "{text} should accept {one}");
        }
        for one in rejected {
            assert!(!matcher.matches(&path(one)), "{text} should reject {one}");
        }
    }
}

/// The literal prefix is what all accepted paths share, as far as the text shows it.
#[test]
fn literal_prefixes() {
    for (text, prefix) in [
        ("profile/history", "profile/history"),
        ("glob:profile", "profile"),
        ("profile/*", "profile/"),
        ("a/**/z", "a/"),
        ("**", ""),
        ("profile/[a-z]+", "profile/"),
        ("^profile/(x|y)$", "profile/"),
        ("(abc|abd)", "ab"),
        ("(?i)abc", ""),
        (".*", ""),
        ("é[ab]", "é"),
        ("(é|è)", ""),
    ] {
        assert_eq!(matcher(text).literal_prefix(), prefix, "{text}");
    }
}

/// A refusal shows the matcher, what is wrong, and where.
#[test]
fn refusals_are_sentences() {
    for (text, at, part) in [
        ("", None, "at least 1 character"),
        ("glob:", None, "glob matchers have at least 1 character"),
        ("a***b", Some(2), "`***` means nothing"),
        ("é***", Some(2), "`***`"),
        ("glob:é***", Some(7), "`***`"),
        ("a\nb", Some(2), "control characters"),
        ("profile/[a", Some(9), "unclosed character class"),
        ("regex:profile/[a", Some(15), "unclosed character class"),
        ("a)|(b", Some(2), "unopened group"),
        ("a{2", Some(2), "repetition"),
        ("(?<n>a)\\k<n>", Some(8), "unrecognized escape"),
        ("(?=a)b", Some(1), "look-around"),
        ("_tidings/*", None, "reserved"),
        ("exact:_tidings/x", None, "reserved"),
        ("a^b", None, "no path can match it"),
        ("[a&&b]", None, "no path can match it"),
        ("x{513}", None, "shorter than 513 bytes"),
    ] {
        let error = refused(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.why.contains(part), "{text}: {error}");
        assert!(text.is_empty() || text.contains('\n') || error.to_string().contains(text));
    }
    assert_eq!(
        refused("profile/[a").to_string(),
        "the matcher \"profile/[a\" is refused at character 9: unclosed character class, in this \
         regular expression; `glob:` or `exact:` in front takes it as that"
    );
    assert!(refused(&"a".repeat(MATCHER_MAX + 1)).why.contains("1025 bytes, at most 1024"));
    assert!(refused(&"a".repeat(PATH_MAX + 1)).why.contains("513 bytes"));
    assert!(refused(&format!("{}*", "é".repeat(256))).why.contains("513 bytes"));
    assert!(Matcher::parse(&format!("{}*", "a".repeat(PATH_MAX - 1))).is_ok());
}

/// Expressions that blow up when compiled, nest deeply, or loop on nothing are answered fast.
#[test]
fn blow_ups_are_refused_fast() {
    let deep = format!("{}a{}", "(".repeat(400), ")".repeat(400));
    let texts = [
        "(a{1000}){1000}",
        "((a{100}){100}){100}",
        r"\w{500}",
        r"(\pL{50}){50}",
        r"(((\w*)*)*)*x{400}y{400}",
        "a{4294967295}",
        "(.{1,100}){1,100}",
        &deep,
    ];
    for text in texts {
        let start = Instant::now();
        assert!(Matcher::parse(text).is_err(), "{text}");
        assert!(start.elapsed() < Duration::from_secs(1), "{text} took {:?}", start.elapsed());
    }
    let fine = [
        "(?:){4294967295}a",
        "(a*)*b",
        "(a|aa)+b",
        "(x+x+)+y",
        r"(|\w|\W){9}z",
        "(.*)(.*)(.*)(.*)z",
    ];
    for text in fine {
        let start = Instant::now();
        let matcher = matcher(text);
        let long = path(&"x".repeat(PATH_MAX));
        for _ in 0..10 {
            matcher.matches(&long);
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{text} took {:?}", start.elapsed());
    }
}

/// The worst globs, of nothing but stars and letters that match, stay cheap.
#[test]
fn the_worst_globs_are_cheap() {
    let text = "*a".repeat(255) + "z";
    let long = path(&"a".repeat(PATH_MAX));
    let matcher = matcher(&text);
    let start = Instant::now();
    for _ in 0..10 {
        assert!(!matcher.matches(&long));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
}

/// Globs by their definition, in exponential time.
fn model(glob: &[char], text: &[char], segment_starts: bool) -> bool {
    match glob {
        ['*', '*', '/', rest @ ..] if segment_starts => {
            let behind_slash = (1..text.len()).filter(|&at| text[at] == '/').map(|at| at + 1);
            core::iter::once(0).chain(behind_slash).any(|at| model(rest, &text[at..], true))
        }
        ['*', '*', rest @ ..] => (1..=text.len()).any(|at| model(rest, &text[at..], false)),
        ['*', rest @ ..] => (1..=text.len())
            .take_while(|&at| text[at - 1] != '/')
            .any(|at| model(rest, &text[at..], false)),
        [c, rest @ ..] => text.first() == Some(c) && model(rest, &text[1..], *c == '/'),
        [] => text.is_empty(),
    }
}

/// Every text of up to `most` characters over `a`, `b` and `/`.
fn short_paths(most: usize) -> Vec<Path> {
    let mut all = Vec::new();
    let mut last = vec![String::new()];
    for _ in 0..most {
        last = last.iter().flat_map(|t| ["a", "b", "/"].map(|c| format!("{t}{c}"))).collect();
        all.extend(last.iter().map(|text| path(text)));
    }
    all
}

fn glob_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("a"),
            Just("b"),
            Just("/"),
            Just("*"),
            Just("**"),
            Just("/**/"),
            Just("é")
        ],
        1..7,
    )
    .prop_map(|parts| parts.concat())
    .prop_filter("three stars are refused", |text| !text.contains("***"))
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let regex = proptest::collection::vec(
        prop_oneof![
            Just("a"),
            Just("b"),
            Just("/"),
            Just("[ab]"),
            Just("[^/]+"),
            Just("(a|ab)"),
            Just("b*"),
            Just("(?i:A)"),
            Just(".*"),
            Just("(/b)?")
        ],
        1..5,
    )
    .prop_map(|parts| format!("regex:{}", parts.concat()));
    let exact = "[ab/]{1,4}".prop_map(|text| format!("exact:{text}"));
    let glob = glob_text().prop_map(|text| format!("glob:{text}"));
    prop_oneof![2 => glob, 2 => regex, 1 => exact].prop_map(|text| Matcher::parse(&text).unwrap())
}

proptest! {
    /// A glob, its model and its translation to a regular expression accept the same paths.
    #[test]
    fn globs_follow_their_model(glob in glob_text(), text in "[abé/]{1,9}") {
        let parsed = matcher(&format!("glob:{glob}"));
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = model(&chars(&glob), &chars(&text), true);
        prop_assert_eq!(parsed.accepts(&text), expected, "{} on {}", glob, text);
        let Program::Glob(inner) = &parsed.program else { panic!("no glob") };
        let regex = matcher(&format!("regex:{}", inner.to_regex()));
        prop_assert_eq!(regex.accepts(&text), expected, "{} on {}", regex, text);
    }

    /// Whatever is accepted begins with the literal prefix.
    #[test]
    fn accepted_paths_begin_with_the_prefix(matcher in any_matcher()) {
        for path in short_paths(4) {
            if matcher.matches(&path) {
                prop_assert!(path.as_str().starts_with(matcher.literal_prefix()));
            }
        }
    }

    /// Overlaps agree with trying every short path, and show a path that both accept.
    #[test]
    fn overlaps_agree_with_enumeration(a in any_matcher(), b in any_matcher()) {
        let common = short_paths(5).into_iter().find(|p| a.matches(p) && b.matches(p));
        match Overlap::between(&a, &b, &mut None) {
            Overlap::Never => prop_assert_eq!(common, None, "{} and {}", a, b),
            Overlap::Both(path) => prop_assert!(a.matches(&path) && b.matches(&path)),
            Overlap::Unknown => prop_assert!(false, "{} and {} should be decided", a, b),
        }
    }

    /// No text makes parsing or matching panic, and none takes long.
    #[test]
    fn hostile_texts_never_panic(
        text in prop_oneof![any::<String>(), r"[\[\](){}+?|^$\\.*a-c0-9,:<>=!&-]{0,60}"],
        against in "[a-c/é]{1,30}",
    ) {
        let start = Instant::now();
        for prefix in ["", "glob:", "regex:"] {
            match Matcher::parse(&format!("{prefix}{text}")) {
                Ok(matcher) => { matcher.matches(&path(&against)); }
                Err(error) => prop_assert!(!error.to_string().chars().any(char::is_control)),
            }
        }
        prop_assert!(start.elapsed() < Duration::from_secs(2));
    }
}

/// Overlaps that need the automata: disjoint at the end, in the middle, by length, beyond ASCII.
#[test]
fn overlaps_are_decided() {
    let between = |a: &str, b: &str| Overlap::between(&matcher(a), &matcher(b), &mut None);
    assert_eq!(between("a/*", "b/*"), Overlap::Never);
    assert_eq!(between("a/*", "a/*/c"), Overlap::Never);
    assert_eq!(between("a/*-x", "a/*-y"), Overlap::Never);
    assert_eq!(between("a/[0-9]+", "a/[a-z]+"), Overlap::Never);
    assert_eq!(between("(aa)+", "regex:a(aa)*"), Overlap::Never);
    assert_eq!(between("a", "regex:b"), Overlap::Never);
    assert_eq!(between(".{300}", ".{301}"), Overlap::Never);
    assert_eq!(between("a/*", "a/**"), Overlap::Both(path("a/a")));
    assert_eq!(between("*/x", "y/*"), Overlap::Both(path("y/x")));
    assert_eq!(between("exact:a/b", "a/*"), Overlap::Both(path("a/b")));
    assert_eq!(between("[é-ü]+", "*"), Overlap::Both(path("é")));
    assert_eq!(between("(aa)+", "(aaa)+"), Overlap::Both(path("aaaaaa")));
    // Nothing but control characters, which no path has, in common.
    assert_eq!(between(r"[\x00-a]", r"[\x00-\x1f\x{80}-\x{9f}é]"), Overlap::Never);
}
