//! Every rule, just inside its bound and just outside, and the sentence that says so.

use alloc::string::ToString;
use alloc::vec;

use super::*;

fn definition() -> Definition {
    Definition {
        id: None,
        name: "history".into(),
        description: String::new(),
        tags: vec![],
        matcher: "profile/history/*".into(),
        replication: Replication { min: 2, max: 3 },
        size: Some(1),
        durability: Durability::Synced,
        ttl: Some(1),
        priority: -1,
    }
}

/// A definition changed so that it must be refused, and a part of the sentence.
fn refused(change: impl FnOnce(&mut Definition), part: &str) {
    let mut changed = definition();
    change(&mut changed);
    let error = changed.validate().unwrap_err();
    assert_eq!(error.code(), "bad-definition");
    assert!(error.to_string().contains(part), "{error}");
}

fn accepted(change: impl FnOnce(&mut Definition)) {
    let mut changed = definition();
    change(&mut changed);
    changed.validate().unwrap();
}

/// At the bounds, all is well.
#[test]
fn bounds_are_allowed() {
    accepted(|_| {});
    accepted(|d| d.name = "n".repeat(NAME_MAX));
    accepted(|d| d.name = "Verlauf (alt) – 2".into());
    accepted(|d| d.id = Some("bafy/…:1".into()));
    accepted(|d| d.description = "x\n".repeat(DESCRIPTION_MAX / 2));
    accepted(|d| d.tags = vec!["t".repeat(TAGS_MAX); TAGS_MAX]);
    accepted(|d| d.replication = Replication { min: 1, max: 1 });
    accepted(|d| d.replication = Replication { min: COPIES_MAX, max: COPIES_MAX });
    accepted(|d| d.size = None);
    accepted(|d| d.size = Some(u64::MAX));
    accepted(|d| d.ttl = None);
    accepted(|d| d.ttl = Some(TTL_MAX));
    accepted(|d| d.priority = i32::MIN);
}

/// Beyond a bound, the sentence names the value and the bound.
#[test]
fn refusals_name_value_and_bound() {
    refused(|d| d.name = String::new(), "its name is empty");
    refused(|d| d.name = "n".repeat(NAME_MAX + 1), "its name has 129 bytes, at most 128");
    refused(|d| d.name = " x".into(), "begins or ends with a space");
    refused(|d| d.name = "a\nb".into(), "its name has the character U+000A");
    refused(|d| d.name = "a\u{202e}b".into(), "U+202E");
    refused(|d| d.id = Some(String::new()), "its id is empty");
    refused(|d| d.id = Some("i".repeat(257)), "its id has 257 bytes, at most 256");
    refused(|d| d.description = "x".repeat(DESCRIPTION_MAX + 1), "4097 bytes, at most 4096");
    refused(|d| d.tags = vec!["t".into(); TAGS_MAX + 1], "it has 65 tags, at most 64");
    refused(|d| d.tags = vec!["t".repeat(TAGS_MAX + 1)], "its tag has 65 bytes, at most 64");
    refused(|d| d.replication.min = 0, "replication.min is 0");
    refused(|d| d.replication.max = 1, "replication.max is 1, less than replication.min, 2");
    refused(|d| d.replication.max = COPIES_MAX + 1, "replication.max is 257, at most 256 copies");
    refused(|d| d.size = Some(0), "size is 0");
    refused(|d| d.ttl = Some(0), "ttl is 0");
    refused(|d| d.ttl = Some(TTL_MAX + 1), "at most 3153600000000 ms");
    refused(|d| d.matcher = "a[".into(), "the matcher \"a[\" is refused at character 2");
}

/// The name in an error is bounded, whatever arrives.
#[test]
fn errors_stay_short() {
    let mut changed = definition();
    changed.name = "n".repeat(1 << 20);
    changed.matcher = "m".repeat(1 << 20);
    assert!(changed.validate().unwrap_err().to_string().len() < 1000);
}
