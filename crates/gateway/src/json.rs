//! The JSON forms that both ends of the door share.
//!
//! One convention carries bytes: a UTF-8 string under its own name, or standard base64 under the name
//! with `_base64` appended. An expiry is the text of a [`moment`]. Writing is canonical (text whenever it
//! can be text, fields always in the same order, no spaces), so that equal rows are equal lines.

use std::fmt;
use std::marker::PhantomData;
use std::time::SystemTime;

use data_encoding::BASE64;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidings::status::{DatabaseSummary, PeerStatus};
use tidings::{ApplyReport, Definition};

use crate::moment;

/// A key, with its value, its expiry and its version where there is one: a row of a listing, a scan or an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` in a listing of keys and in a delete.
    pub value: Option<Vec<u8>>,
    /// From when on the entry is hidden; `None`: it stays. Whole milliseconds travel.
    pub expires: Option<SystemTime>,
    /// The write that won, as text. Accepted and not kept where rows are written.
    pub version: Option<String>,
}

impl Row {
    /// A row of a key and a value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: Some(value.into()), expires: None, version: None }
    }
}

impl From<tidings::Entry> for Row {
    fn from(entry: tidings::Entry) -> Self {
        let version = Some(entry.version.to_string());
        Self { key: entry.key, value: Some(entry.value), expires: entry.expires, version }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        bytes_field(&mut map, "key", "key_base64", &self.key)?;
        if let Some(value) = &self.value {
            bytes_field(&mut map, "value", "value_base64", value)?;
        }
        if let Some(expires) = self.expires {
            map.serialize_entry("expires", &moment::format(expires))?;
        }
        if let Some(version) = &self.version {
            map.serialize_entry("version", version)?;
        }
        map.end()
    }
}

fn bytes_field<M: SerializeMap>(
    map: &mut M,
    text_name: &'static str,
    base64_name: &'static str,
    bytes: &[u8],
) -> Result<(), M::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => map.serialize_entry(text_name, text),
        Err(_) => map.serialize_entry(base64_name, &BASE64.encode(bytes)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    expires: Option<Moment>,
    version: Option<String>,
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(raw) = Object::<RawRow>::deserialize(deserializer)?;
        let key = either("key", raw.key, raw.key_base64).map_err(D::Error::custom)?;
        let value = either("value", raw.value, raw.value_base64).map_err(D::Error::custom)?;
        let key = key.ok_or_else(|| D::Error::custom("`key` or `key_base64` is missing"))?;
        let expires = raw.expires.map(|Moment(expires)| expires);
        Ok(Self { key, value, expires, version: raw.version })
    }
}

/// What is written as an object. What serde derives takes an array, too, by the order of the fields in
/// this program, which is nobody's business.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A moment in JSON.
struct Moment(SystemTime);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a moment such as \"2026-11-21T16:00:00.000Z\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Moment, E> {
                let moment =
                    moment::parse(text).map_err(|error| E::custom(format!("`expires`: {error}")));
                moment.map(Moment)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

fn either(
    name: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("`{name}` and `{name}_base64` are both given; keep one")),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => match BASE64.decode(base64.as_bytes()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => {
                Err(format!("`{name}_base64` is not standard base64 with padding: {error}"))
            }
        },
        (None, None) => Ok(None),
    }
}

/// One write of a batch, and one change of a watch: `{"put": {"key": …, "value": …}}`, where `"expires"`
/// may follow, or `{"delete": {"key": …}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The key has this value.
    Put(Row),
    /// The key has no value.
    Delete(Row),
}

impl Operation {
    /// Checks that a put has a value and a delete has neither value nor expiry.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Put(Row { value: None, .. }) => {
                Err("a put needs `value` or `value_base64`; the empty value is \"\"")
            }
            Self::Delete(Row { value: Some(_), .. }) => Err("a delete takes no value"),
            Self::Delete(Row { expires: Some(_), .. }) => Err("a delete takes no `expires`"),
            _ => Ok(()),
        }
    }
}

impl From<tidings::Change> for Operation {
    fn from(change: tidings::Change) -> Self {
        let put = change.value.is_some();
        let version = Some(change.version.to_string());
        let row = Row { key: change.key, value: change.value, expires: change.expires, version };
        if put { Self::Put(row) } else { Self::Delete(row) }
    }
}

/// One page of a listing. `cursor` is there exactly when the page was truncated, which a page of a listing
/// with a filter may be although it has few entries or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPage {
    /// The rows.
    pub entries: Vec<Row>,
    /// Whether more follow.
    pub truncated: bool,
    /// Opaque: hand it back to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One page of the keyspaces of a database. `cursor` is there exactly when the page was truncated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspacePage {
    /// Their names, shorter ones first, and those of one length by their bytes; the default one is empty.
    pub keyspaces: Vec<String>,
    /// Whether more may follow.
    pub truncated: bool,
    /// Opaque: hand it back to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The answer to a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The version of the write.
    pub version: String,
}

/// The answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchWritten {
    /// How many writes it had.
    pub writes: usize,
    /// Their versions in the order of the batch, unless the request left them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<String>>,
}

/// The answer to an increment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// What the counter says at the holder that accepted the increment.
    pub value: i64,
    /// The version of the increment.
    pub version: String,
}

/// The answer to a delete of every key with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// How many keys there were.
    pub deleted: u64,
}

/// A database was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// That it was.
    pub dropped: bool,
}

/// One page of the databases of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabasePage {
    /// By path, ascending.
    pub databases: Vec<DatabaseSummary>,
    /// Whether more follow.
    pub truncated: bool,
    /// Hand it back to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The other peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerList {
    /// As the answering peer sees them.
    pub peers: Vec<PeerStatus>,
}

/// The definitions of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionList {
    /// By name, ascending.
    pub definitions: Vec<Definition>,
}

/// What applying definitions did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Names of the definitions that were new.
    pub created: Vec<String>,
    /// Names of those that were changed.
    pub changed: Vec<String>,
    /// Names of those that were there already.
    pub unchanged: Vec<String>,
    /// Sentences about matchers that overlap, and which wins.
    pub overlaps: Vec<String>,
}

impl From<ApplyReport> for Applied {
    fn from(report: ApplyReport) -> Self {
        Self {
            created: report.created,
            changed: report.changed,
            unchanged: report.unchanged,
            overlaps: report.overlaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn round_trip(row: &Row) -> String {
        let text = serde_json::to_string(row).unwrap();
        assert_eq!(&serde_json::from_str::<Row>(&text).unwrap(), row);
        text
    }

    #[test]
    fn bytes_are_text_when_they_can_be_and_base64_otherwise() {
        assert_eq!(round_trip(&Row::new("a\n", "é")), r#"{"key":"a\n","value":"é"}"#);
        assert_eq!(
            round_trip(&Row::new([0xff, 0], [0x80])),
            r#"{"key_base64":"/wA=","value_base64":"gA=="}"#
        );
        assert_eq!(round_trip(&Row::new("a", "")), r#"{"key":"a","value":""}"#);
    }

    #[test]
    fn an_expiry_travels_as_text() {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_276_800_007);
        let row = Row { expires: Some(expires), ..Row::new("a", "1") };
        let text = r#"{"key":"a","value":"1","expires":"2026-11-21T16:00:00.007Z"}"#;
        assert_eq!(round_trip(&row), text);
        let null = r#"{"key":"a","value":"1","expires":null}"#;
        assert_eq!(serde_json::from_str::<Row>(null).unwrap(), Row::new("a", "1"));
    }

    #[test]
    fn a_row_that_is_unclear_is_refused_with_the_reason() {
        for (text, why) in [
            (r#"{"value":"x"}"#, "`key` or `key_base64` is missing"),
            (r#"{"key":"a","key_base64":"YQ=="}"#, "both given"),
            (r#"{"key":"a","value_base64":"YQ"}"#, "not standard base64"),
            (r#"{"key":"a","valu":"x"}"#, "unknown field `valu`"),
            (r#"{"key":"a","expires":"7d"}"#, "`expires`: \"7d\" is not a moment"),
            (r#"{"key":"a","expires":7}"#, "invalid type: integer `7`, expected a moment such as"),
        ] {
            let error = serde_json::from_str::<Row>(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn an_operation_names_what_it_does() {
        let put = Operation::Put(Row::new("a", "1"));
        assert_eq!(serde_json::to_string(&put).unwrap(), r#"{"put":{"key":"a","value":"1"}}"#);
        let delete: Operation = serde_json::from_str(r#"{"delete":{"key":"a"}}"#).unwrap();
        assert!(delete.check().is_ok());
        let put: Operation = serde_json::from_str(r#"{"put":{"key":"a"}}"#).unwrap();
        assert!(put.check().unwrap_err().contains("needs `value`"));
        let until = r#"{"delete":{"key":"a","expires":"2026-11-21T16:00:00Z"}}"#;
        let delete: Operation = serde_json::from_str(until).unwrap();
        assert!(delete.check().unwrap_err().contains("no `expires`"));
    }
}
