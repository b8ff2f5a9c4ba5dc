//! Every form that is read, every mistake that is told with its place, and hostile texts.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const SMALL: &str = "name: a\nmatcher: a/*\nreplication: {min: 1, max: 2}\n";

fn names(text: &str) -> Vec<String> {
    parse(text).unwrap().into_iter().map(|definition| definition.name).collect()
}

/// The text is refused at this line and column, with a sentence that has this part.
#[track_caller]
fn refused(text: &str, line: usize, column: usize, part: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!((error.line, error.column), (line, column), "{error}\n{text}");
    assert!(error.why.contains(part), "{error}");
}

/// One definition, followed by a line, which is refused at this column.
#[track_caller]
fn refused_line(line: &str, column: usize, part: &str) {
    refused(&format!("{SMALL}{line}\n"), 4, column, part);
}

fn with_line(line: &str) -> Definition {
    parse(&format!("{SMALL}{line}\n")).unwrap().remove(0)
}

/// One mapping, a list, a `definitions` list, several documents, JSON: all are read.
#[test]
fn every_form_is_read() {
    let item =
        |name: &str| format!("{{name: {name}, matcher: x, replication: {{min: 1, max: 1}}}}");
    assert_eq!(names(SMALL), ["a"]);
    assert_eq!(names(&format!("\u{feff}{SMALL}")), ["a"]);
    assert_eq!(names(&SMALL.replace('\n', "\r\n")), ["a"]);
    assert_eq!(names(&format!("- {}\n- {}\n", item("a"), item("b"))), ["a", "b"]);
    assert_eq!(names(&format!("definitions:\n- {}\n- {}\n", item("a"), item("b"))), ["a", "b"]);
    let documents = format!("{SMALL}---\n# nothing\n---\n- {}\n---\n", item("b"));
    assert_eq!(names(&documents), ["a", "b"]);
    let json =
        r#"{"definitions": [{"name": "a", "matcher": "x", "replication": {"min": 1, "max": 1}}]}"#;
    assert_eq!(names(json), ["a"]);
    assert_eq!(names("definitions: []"), Vec::<String>::new());
}

/// All fields arrive, with their units.
#[test]
fn every_field_is_read() {
    let text = "
id: bafy123
name: history
description: |
  Two
  lines
tags: [one, 'two']
matcher: profile/history/*
replication:
  min: 2
  max: 3
size: 10MB
durability: synced
ttl: 7d
priority: -5
";
    let read = parse(text).unwrap().remove(0);
    let expected = Definition {
        id: Some("bafy123".into()),
        description: "Two\nlines\n".into(),
        tags: vec!["one".into(), "two".into()],
        size: Some(10_000_000),
        durability: Durability::Synced,
        ttl: Some(7 * 24 * 3_600_000),
        priority: -5,
        ..Definition::new("history", "profile/history/*", 2, 3)
    };
    assert_eq!(read, expected);
    assert_eq!(parse(SMALL).unwrap(), [Definition::new("a", "a/*", 1, 2)]);
}

/// Sizes are bytes or have a unit; so are times to live.
#[test]
fn quantities_have_units() {
    for (text, bytes) in [
        ("1", 1),
        ("\"1\"", 1),
        ("500kB", 500_000),
        ("10 MB", 10_000_000),
        ("10mb", 10_000_000),
        ("2GB", 2_000_000_000),
        ("1KiB", 1024),
        ("1GiB", 1 << 30),
        ("3TiB", 3 << 40),
        ("7B", 7),
    ] {
        assert_eq!(with_line(&format!("size: {text}")).size, Some(bytes), "{text}");
    }
    for (text, millis) in
        [("1", 1), ("250ms", 250), ("30s", 30_000), ("15m", 900_000), ("12h", 43_200_000)]
    {
        assert_eq!(with_line(&format!("ttl: {text}")).ttl, Some(millis), "{text}");
    }
    for text in
        ["-1", "1.5GB", "10M", "MB", "1e3", "0x10", "'1 0'", "99999999999TiB", "[1]", "true"]
    {
        refused_line(&format!("size: {text}"), 7, "such as 500kB, 10MB or 1GiB");
    }
    for text in ["-1", "1.5h", "7w", "s", "{a: 1}", "99999999999999999999"] {
        refused_line(&format!("ttl: {text}"), 6, "such as 250ms, 30s, 15m, 12h or 7d");
    }
    refused_line("size: 0", 7, "size is 0");
    refused_line("size: 0MB", 7, "size is 0");
    refused_line("ttl: 0s", 6, "ttl is 0");
    refused_line("ttl: 99999999d", 6, "at most 3153600000000 ms");
}

/// What is not YAML is refused where it stops being so.
#[test]
fn malformed_yaml_has_a_place() {
    refused("name: a\n\tmatcher: b\n", 1, 7, "found a tab");
    refused("name: \"a\nmatcher: b\n", 1, 7, "not YAML");
    refused("a: b: c\n", 1, 5, "not YAML");
    refused("[a, b\n", 2, 1, "not YAML");
    refused("name: *nowhere\n", 1, 7, "not YAML");
    refused("name: !custom a\n", 1, 7, "the tag !custom is not understood");
    refused(&"[".repeat(20), 1, 17, "deeper than 16 levels");
}

/// Unknown and repeated fields are refused, with the fields there are.
#[test]
fn unknown_fields_are_refused() {
    let fields =
        "id, name, description, tags, matcher, replication, size, durability, ttl, priority";
    refused_line(
        "replicas: 3",
        1,
        &format!("\"replicas\" is not a field of a definition; the fields are {fields}"),
    );
    refused_line("<<: {size: 1}", 1, "\"<<\" is not a field");
    refused_line("? [a]\n: b", 3, "a list is not a field");
    refused_line("name: b", 1, "\"name\" stands here a second time, first on line 1");
    refused(
        "name: a\nmatcher: x\nreplication:\n  min: 1\n  most: 2\n",
        5,
        3,
        "\"most\" is not a field of replication; the fields are min, max",
    );
    refused("definitions: []\nother: 1\n", 2, 1, "\"other\" stands beside `definitions`");
    refused("definitions: []\ndefinitions: []\n", 2, 1, "a second time");
}

/// A value of the wrong type is refused, and the sentence says what it is.
#[test]
fn wrong_types_are_refused() {
    refused("just text", 1, 1, "the text \"just text\" is no definition");
    refused("definitions: 3", 1, 14, "the number \"3\" is no definition");
    refused("- just text", 1, 3, "the text \"just text\" stands where a definition is expected");
    refused("name: a\n", 1, 1, "has no matcher");
    refused(
        &SMALL.replace("name: a", "name: 12"),
        1,
        7,
        "name is the number \"12\", not text; if the text is meant, quote it: \"12\"",
    );
    refused(
        &SMALL.replace("name: a", "name: true"),
        1,
        7,
        "name is the truth value \"true\", not text",
    );
    refused(&SMALL.replace("name: a", "name: [a]"), 1, 7, "name is a list, not text");
    refused(
        &SMALL.replace("min: 1", "min: one"),
        3,
        20,
        "min is the text \"one\"; write a whole number",
    );
    refused(&SMALL.replace("min: 1", "min: \"1\""), 3, 20, "min is the text \"1\"");
    refused(&SMALL.replace("min: 1", "min: 1.5"), 3, 20, "min is the number \"1.5\"");
    refused(&SMALL.replace("min: 1", "min: -1"), 3, 20, "min is the number \"-1\"");
    refused(
        &SMALL.replace("{min: 1, max: 2}", "3"),
        3,
        14,
        "the number \"3\" stands where replication is expected",
    );
    refused_line("tags: one", 7, "tags are the text \"one\"; write a list");
    refused_line("tags: [1]", 8, "a tag is the number \"1\", not text");
    refused_line("durability: eventually", 13, "\"eventually\"; it is either buffered or synced");
    refused_line("priority: high", 11, "priority is the text \"high\"");
    refused_line("priority: 3000000000", 11, "out of range");
    refused_line("size:", 1, "size has no value");
    refused_line("description: ~", 1, "description has no value");
    assert_eq!(with_line("description: \"~\"").description, "~");
    assert_eq!(with_line("description: !!str 12").description, "12");
}

/// What is missing, repeated, or against a rule of definitions is refused where it stands.
#[test]
fn rules_are_kept() {
    refused("", 1, 1, "there is no definition in this text");
    refused("# nothing\n---\n", 1, 1, "there is no definition in this text");
    refused("- name: a\n  matcher: x\n", 1, 3, "the definition here has no replication");
    refused("name: a\nmatcher: x\nreplication: {min: 1}\n", 3, 14, "replication here has no max");
    let twice = format!("{SMALL}---\n{SMALL}");
    refused(&twice, 5, 1, "the name \"a\" is taken by the definition on line 1");
    refused(&SMALL.replace("a/*", "a/[b"), 2, 10, "refused at character 3: unclosed");
    refused(&SMALL.replace("max: 2", "max: 0"), 3, 14, "less than replication.min, 1");
    refused(&SMALL.replace("min: 1", "min: 0"), 3, 14, "replication.min is 0");
    refused(&SMALL.replace("name: a", "name: ' a'"), 1, 7, "begins or ends with a space");
}

/// Aliases are understood, and cannot make a text grow.
#[test]
fn aliases_are_bounded() {
    let shared = "- {name: a, matcher: x, replication: &copies {min: 2, max: 3}}
- {name: b, matcher: y, replication: *copies}\n";
    assert_eq!(parse(shared).unwrap()[1].replication, Replication { min: 2, max: 3 });
    refused("&a [*a]", 1, 5, "around itself");
    let mut laughs = String::from("x0: &x0 [ha, ha]\n");
    for level in 1..30 {
        let below = format!("*x{}, ", level - 1).repeat(9);
        writeln!(laughs, "x{level}: &x{level} [{below}]").unwrap();
    }
    let start = Instant::now();
    assert!(parse(&laughs).is_err());
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
}

/// As many definitions as there may be are read in good time, and one more is refused.
#[test]
fn the_number_is_bounded() {
    let mut text = String::new();
    for number in 0..limits::DEFINITIONS_MAX {
        writeln!(
            text,
            "- name: d{number}\n  matcher: p/{number}/*\n  replication:\n    min: 1\n    max: 2"
        )
        .unwrap();
    }
    let start = Instant::now();
    assert_eq!(parse(&text).unwrap().len(), limits::DEFINITIONS_MAX);
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    text += "- {name: more, matcher: x, replication: {min: 1, max: 1}}\n";
    refused(&text, 50_001, 3, "this is definition number 10001, at most 10000");
}

/// The committed example is read, and shows every kind of matcher.
#[test]
fn the_example_is_read() {
    let text = include_str!("../../../../examples/definitions.yaml");
    let read = parse(text).unwrap();
    assert_eq!(read.len(), 5);
    assert_eq!(read[0].size, Some(10_000_000));
}

proptest! {
    /// No text makes reading panic or hang.
    #[test]
    fn hostile_texts_never_panic(
        text in prop_oneof![
            any::<String>(),
            "[-a-c:{}\\[\\],&*!|>'\"#%@?~ \n\t0-9]{0,80}",
            "(name|matcher|replication|size|definitions|- |: |\n| |a|\\{|\\}|min|max|1|,|\\[|\\]|---\n){0,40}",
        ],
    ) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.line >= 1 && error.column >= 1);
        }
    }
}
