//! Precedence, beside a model that tries every definition; keeping what was there; advice.

extern crate std;

use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::definition::{Durability, Replication};

fn definition(name: &str, matcher: &str, priority: i32) -> Definition {
    Definition {
        id: None,
        name: name.into(),
        description: String::new(),
        tags: vec![],
        matcher: matcher.into(),
        replication: Replication { min: 1, max: 3 },
        size: None,
        durability: Durability::Buffered,
        ttl: None,
        priority,
    }
}

fn registry(definitions: &[(&str, &str, i32)]) -> Registry {
    let mut registry = Registry::new();
    for (name, matcher, priority) in definitions {
        registry.insert(definition(name, matcher, *priority)).unwrap();
    }
    registry
}

fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

fn winner<'a>(registry: &'a Registry, text: &str) -> Option<&'a str> {
    registry.resolve(&path(text)).map(|definition| definition.name.as_str())
}

/// Each rule of precedence decides where those before it are equal.
#[test]
fn precedence() {
    let all = registry(&[
        ("high", "**", 5),
        ("exact", "a/b", 0),
        ("glob", "a/*", 0),
        ("regex", "a/[a-z]", 0),
        ("low", "a/b", -1),
    ]);
    assert_eq!(winner(&all, "a/b"), Some("high"));
    for (removed, next) in
        [("high", "exact"), ("exact", "glob"), ("glob", "regex"), ("regex", "low")]
    {
        let mut rest = all.clone();
        for gone in ["high", "exact", "glob", "regex"] {
            rest.remove(gone);
            if gone == removed {
                break;
            }
        }
        assert_eq!(winner(&rest, "a/b"), Some(next));
    }
    let prefixes = registry(&[("z", "a/b/**", 0), ("y", "a/**", 0), ("x", "a/b/**", 0)]);
    assert_eq!(winner(&prefixes, "a/b/c"), Some("x"), "longest prefix, then smallest name");
    assert_eq!(winner(&prefixes, "a/c"), Some("y"));
    assert_eq!(winner(&prefixes, "b"), None);
    assert_eq!(winner(&prefixes, "/a/c"), None);
}

/// A definition of the same name takes the place of the former, with all its traces; a bad one
/// changes nothing.
#[test]
fn replacing_and_refusing() {
    let mut registry = registry(&[("one", "a/*", 0)]);
    let former = registry.insert(definition("one", "b/*", 0)).unwrap();
    assert_eq!(former.unwrap().matcher, "a/*");
    assert_eq!((winner(&registry, "a/x"), winner(&registry, "b/x")), (None, Some("one")));
    let error = registry.insert(definition("one", "c[", 0)).unwrap_err();
    assert_eq!(error.code(), "bad-definition");
    assert_eq!(winner(&registry, "b/x"), Some("one"));
    assert_eq!(registry.get("one").unwrap().matcher, "b/*");
    assert_eq!(registry.matcher("one").unwrap().as_str(), "b/*");
    assert_eq!(registry.remove("one").unwrap().matcher, "b/*");
    assert_eq!((registry.remove("one"), registry.len()), (None, 0));
    assert!(registry.by_prefix.is_empty() && registry.lengths.is_empty());
}

/// The reserved paths have no definition, not even under `**`.
#[test]
fn system_paths_are_not_governed() {
    let all = registry(&[("all", "**", 0), ("regex", ".*", 0)]);
    assert!(all.resolve(&Path::any("_tidings/definitions").unwrap()).is_none());
    assert_eq!(winner(&all, "tidings/x"), Some("all"));
}

/// There is a bound, and at the bound one can still be replaced.
#[test]
fn the_number_is_bounded() {
    let mut registry = Registry::new();
    for number in 0..DEFINITIONS_MAX {
        registry.insert(definition(&format!("d{number}"), &format!("p/{number}/*"), 0)).unwrap();
    }
    let error = registry.insert(definition("one more", "x", 0)).unwrap_err();
    assert!(error.to_string().contains("at most 10000"), "{error}");
    registry.insert(definition("d7", "x", 0)).unwrap();
    assert_eq!(winner(&registry, "x"), Some("d7"));
}

/// Opens stay fast with as many definitions as there may be, of all kinds.
#[test]
fn resolving_is_fast() {
    let mut registry = Registry::new();
    for number in 0..3000 {
        for (kind, text) in [
            ("e", format!("app/{number}/exact")),
            ("g", format!("app/{number}/*/log")),
            ("r", format!("app/{number}/[a-z]+/x")),
        ] {
            registry.insert(definition(&format!("{kind}{number}"), &text, 0)).unwrap();
        }
    }
    let start = Instant::now();
    for number in 0..1000 {
        assert_eq!(winner(&registry, &format!("app/{number}/ab/x")), Some(&*format!("r{number}")));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "1000 opens took {:?}", start.elapsed());
}

/// The nearest matchers come first, as the error for an open without a definition shows them.
#[test]
fn nearest_matchers() {
    let some = registry(&[
        ("mail", "mail/**", 0),
        ("history", "profile/history/*", 0),
        ("sessions", "session/[0-9]+", 0),
    ]);
    assert_eq!(
        some.nearest(&path("/profile/histroy/sessions"), 2),
        ["history: profile/history/*", "sessions: session/[0-9]+"]
    );
    assert_eq!(some.nearest(&path("x"), 9).len(), 3);
    assert!(Registry::new().nearest(&path("x"), 3).is_empty());
}

/// An overlap names both, a path of both, the winner and the rule.
#[test]
fn overlaps_are_described() {
    let some = registry(&[("all", "**", 0), ("mail", "mail/*", 0), ("old", "profile/a", -2)]);
    assert_eq!(
        some.overlaps(&definition("new", "profile/*", 0)),
        [
            "\"new\" (glob profile/*) and \"all\" (glob **) can both accept the path profile/a; \
             where they do, \"new\" wins: its literal prefix has 8 bytes, the other's 0.",
            "\"new\" (glob profile/*) and \"old\" (exact profile/a) can both accept the path \
             profile/a; where they do, \"new\" wins: priority 0 is above -2."
        ]
    );
    assert!(some.overlaps(&definition("all", "x/*", 0)).is_empty());
    assert!(some.overlaps(&definition("bad", "x[", 0))[0].contains("refused"));
    // Too many states to walk: nothing is claimed.
    let heavy = registry(&[("heavy", "(a|b)*a(a|b){14}", 0)]);
    let said = heavy.overlaps(&definition("more", "(a|b)*b(a|b){15}", 0));
    assert!(said[0].contains("may both accept some path"), "{said:?}");
}

/// With thousands of overlapping definitions the list is cut, and says so.
#[test]
fn overlaps_are_bounded() {
    let mut registry = Registry::new();
    for number in 0..2000 {
        registry.insert(definition(&format!("d{number:04}"), &format!("p/*/{number}"), 0)).unwrap();
    }
    let start = Instant::now();
    let said = registry.overlaps(&definition("wide", "p/**", 0));
    assert_eq!(said.len(), 33);
    assert_eq!(
        said[32],
        "1968 more definitions may share paths with it: their matchers begin alike and were \
                not compared further."
    );
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

fn some_definition() -> impl Strategy<Value = Definition> {
    let matcher = prop_oneof![
        "[ab/]{1,3}",
        "[ab/]{0,2}\\*{1,2}[ab/]{0,2}",
        "[ab/]{0,2}(\\[ab\\]\\+|\\.\\*)[ab/]{0,2}",
    ];
    ("[a-f]", matcher, -1..2)
        .prop_map(|(name, matcher, priority)| definition(&name, &matcher, priority))
}

proptest! {
    /// Resolving agrees with trying all and taking the first by the written rules, whatever was
    /// inserted, replaced and removed before.
    #[test]
    fn resolving_follows_its_model(
        changes in proptest::collection::vec((some_definition(), any::<bool>()), 1..20),
        text in "[ab/]{1,5}",
    ) {
        let mut registry = Registry::new();
        for (definition, keep) in changes {
            if keep {
                registry.insert(definition).unwrap();
            } else {
                registry.remove(&definition.name);
            }
        }
        let path = path(&text);
        let mut all: Vec<_> = registry
            .iter()
            .map(|d| (d, Matcher::parse(&d.matcher).unwrap()))
            .filter(|(_, matcher)| matcher.matches(&path))
            .collect();
        all.sort_by(|(a, x), (b, y)| {
            b.priority.cmp(&a.priority)
                .then(x.kind().cmp(&y.kind()))
                .then(y.literal_prefix().len().cmp(&x.literal_prefix().len()))
                .then(a.name.cmp(&b.name))
        });
        prop_assert_eq!(registry.resolve(&path).map(|d| &**d), all.first().map(|(d, _)| *d));
    }

    /// Of two definitions that overlap on a path, the one said to win is the one that governs it.
    #[test]
    fn the_winner_governs(a in some_definition(), b in some_definition()) {
        prop_assume!(a.name != b.name);
        let mut registry = Registry::new();
        registry.insert(a).unwrap();
        let said = registry.overlaps(&b);
        registry.insert(b).unwrap();
        if let Some((path_text, rest)) = said.first()
            .and_then(|s| s.split_once("accept the path "))
            .and_then(|(_, rest)| rest.split_once("; where they do, "))
        {
            let name = winner(&registry, path_text).unwrap();
            let expected = format!("{name:?} wins");
            prop_assert!(rest.starts_with(&expected), "{}", rest);
        }
    }
}
