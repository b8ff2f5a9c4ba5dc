//! What users can ask of each door, in one language: an [`Ask`], and the answer as text.
#![allow(unreachable_pub, reason = "one test uses it")]

pub mod cli;
pub mod http;
pub mod library;
pub mod redis;

/// What is asked of a door.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Get(&'static str),
    GetMany(&'static [&'static str]),
    Put(&'static str, &'static str),
    /// To a database that no definition accepts.
    PutNowhere,
    /// To a database of at most 1,000 bytes.
    PutTooMuch,
    /// With seconds to live.
    PutFor(&'static str, &'static str, u64),
    PutIfAbsent(&'static str, &'static str),
    /// Where the version is still the one of the last put of this key.
    PutIfCurrent(&'static str, &'static str),
    Delete(&'static str),
    /// Puts, and deletes where there is no value.
    Batch(&'static [(&'static str, Option<&'static str>)]),
    /// Keys with a prefix.
    List(&'static str),
    /// Keys that a glob matches as a whole.
    ListGlob(&'static str),
    /// The first so many, in descending order.
    ListLast(&'static str, usize),
    /// All entries, two a page.
    Pages(&'static str),
    /// Keys and values of a range, the end excluded.
    Scan(&'static str, &'static str),
    Incr(&'static str, i64),
    /// Whether it expires.
    Ttl(&'static str),
    Expire(&'static str, u64),
    Persist(&'static str),
    DeletePrefix(&'static str),
    /// In a keyspace.
    PutIn(&'static str, &'static str, &'static str),
    GetIn(&'static str, &'static str),
    /// The names of keyspaces with keys.
    Keyspaces,
    /// How many entries there are.
    Usage,
    Sync,
    /// What a watch with this prefix says of a put of this key and value, and its delete.
    Watch(&'static str, &'static str, &'static str),
    Drop,
}

/// One door to one database.
pub trait Door {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The answer; `None`: this door does not offer it.
    fn ask(&mut self, ask: &Ask) -> Option<String>;
}

pub const OK: &str = "ok";
pub const ABSENT: &str = "absent";
/// The database of a definition that allows 1,000 bytes.
pub const SMALL: &str = "small/one";
pub const NOWHERE: &str = "nowhere/at/all";

/// What an error says, whatever the door: by its code, or by what stands in its sentence.
pub fn refusal(text: &str) -> String {
    const KINDS: [(&str, &[&str]); 5] = [
        ("no-match", &["no-match", "no definition matches"]),
        ("no-space", &["no-space", "no space"]),
        ("not-a-counter", &["not-a-counter", "cannot be counted", "not an integer", "overflow"]),
        ("condition-failed", &["condition-failed", "condition does not hold", "has the version"]),
        ("key-length", &["key-length", "a key of 0 bytes"]),
    ];
    let kind = KINDS.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign)));
    format!("refused: {}", kind.map_or(text, |(kind, _)| kind))
}

/// Entries as one line.
pub fn line(entries: impl IntoIterator<Item = (String, Option<String>)>) -> String {
    let entry = |(key, value): (String, Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key,
    };
    entries.into_iter().map(entry).collect::<Vec<_>>().join(" ")
}
