//! TOML as a tree that remembers where everything stands, so that every mistake has a place.
//!
//! [`Fields`] reads a table strictly: what nobody asked for is an error that names the keys that are
//! accepted there. [`Table::set`] overrides a value by its dotted path, as `--set` does.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::WHOLE;
use super::units;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A file, or the argument that said it.
    source: Arc<str>,
    /// Line and column, both from 1, where the source has lines.
    at: Option<(usize, usize)>,
}

impl Place {
    /// A whole source.
    pub fn of(source: &str) -> Self {
        Self { source: source.into(), at: None }
    }

    /// An error here.
    pub fn error(&self, message: impl Into<String>) -> BadScenario {
        BadScenario { place: self.clone(), message: message.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// A scenario cannot be read: where, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct BadScenario {
    /// Where.
    pub place: Place,
    /// What is wrong, what is accepted, and the way out.
    pub message: String,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub value: Value,
}

/// What a value says.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number, as it was written.
    Number(String),
    /// Yes or no.
    Boolean(bool),
    /// Values in order.
    List(Vec<Item>),
    /// Values by name.
    Table(Table),
}

/// Values by name, with the places of the names.
#[derive(Clone, Debug)]
pub struct Table {
    place: Place,
    entries: Vec<(String, Place, Item)>,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => f.write_str(number),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { ", " } else { "" }, item.value)?;
                }
                f.write_str("]")
            }
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

/// Turns what the parser found into our tree.
struct Builder<'a> {
    source: Arc<str>,
    /// The text, where places in it are of use, and where each of its lines begins.
    text: Option<(&'a str, Vec<usize>)>,
}

impl Builder<'_> {
    fn place(&self, at: usize) -> Place {
        let at = self.text.as_ref().map(|(text, lines)| line_and_column(text, lines, at));
        Place { source: Arc::clone(&self.source), at }
    }

    fn table(&self, at: usize, table: &DeTable<'_>) -> Table {
        let entries = table.iter().map(|(key, value)| {
            let place = self.place(key.span().start);
            let item = self.item(value.span().start, value.get_ref());
            (key.get_ref().to_string(), place, item)
        });
        Table { place: self.place(at), entries: entries.collect() }
    }

    fn item(&self, at: usize, value: &DeValue<'_>) -> Item {
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let plain = i128::from_str_radix(number.as_str(), number.radix());
                Value::Number(plain.map_or_else(|_| number.to_string(), |plain| plain.to_string()))
            }
            DeValue::Float(number) => Value::Number(number.as_str().to_string()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Array(items) => Value::List(
                items.iter().map(|item| self.item(item.span().start, item.get_ref())).collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(at, table)),
        };
        Item { place: self.place(at), value }
    }
}

/// Where the lines of a text begin.
fn lines(text: &str) -> Vec<usize> {
    [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn line_and_column(text: &str, lines: &[usize], at: usize) -> (usize, usize) {
    let line = lines.partition_point(|begins| *begins <= at);
    let begins = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
    let before = text.get(begins..at).or_else(|| text.get(begins..)).unwrap_or_default();
    (line, before.chars().count() + 1)
}

impl Table {
    /// Parses a text; `source` is its name for errors.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn parse(source: &str, text: &str) -> Result<Self, BadScenario> {
        let builder = Builder { source: source.into(), text: Some((text, lines(text))) };
        match DeTable::parse(text) {
            Ok(table) => Ok(builder.table(0, table.get_ref())),
            Err(error) => {
                let place = builder.place(error.span().map_or(0, |span| span.start));
                Err(place.error(format!("this is not TOML: {}", error.message())))
            }
        }
    }

    /// The value of a name.
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.entries.iter().find(|(own, ..)| own == key).map(|(.., item)| item)
    }

    /// Takes the value of a name out.
    pub fn remove(&mut self, key: &str) -> Option<Item> {
        let at = self.entries.iter().position(|(own, ..)| own == key)?;
        Some(self.entries.remove(at).2)
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.entries.iter().map(|(key, _, item)| (key.as_str(), item))
    }

    /// Puts a value at a dotted path, in place of what stood there; tables on the way are made, and
    /// elements of lists are named by their number from 0.
    ///
    /// # Errors
    /// When the path leads through something that is no table, or past the end of a list.
    pub fn set(&mut self, path: &str, item: Item) -> Result<(), BadScenario> {
        let place = item.place.clone();
        let (key, rest) = path.split_once('.').unwrap_or((path, ""));
        let at = self.entries.iter().position(|(own, ..)| own == key);
        let Some(at) = at else {
            let item = if rest.is_empty() {
                item
            } else {
                let mut table = Self { place: place.clone(), entries: Vec::new() };
                table.set(rest, item)?;
                Item { place: place.clone(), value: Value::Table(table) }
            };
            self.entries.push((key.into(), place, item));
            return Ok(());
        };
        let (_, own, found) = &mut self.entries[at];
        if rest.is_empty() {
            *own = place;
            *found = item;
            return Ok(());
        }
        match &mut found.value {
            Value::Table(table) => table.set(rest, item),
            Value::List(items) => {
                let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
                let length = items.len();
                let element = number.parse::<usize>().ok().and_then(|n| items.get_mut(n));
                match element {
                    None => Err(place.error(format!(
                        "{key:?} is a list of {length}, and {number:?} names none of them; \
                         write {key}.0 to {key}.{}",
                        length.saturating_sub(1)
                    ))),
                    Some(element) if rest.is_empty() => {
                        *element = item;
                        Ok(())
                    }
                    Some(Item { value: Value::Table(table), .. }) => table.set(rest, item),
                    Some(_) => Err(place.error(format!("{key}.{number} is no table"))),
                }
            }
            other => Err(place.error(format!("{key:?} is {other}, which has no {rest:?} in it"))),
        }
    }
}

impl Item {
    /// Reads a value as it is written on a command line; what is not TOML is text.
    pub fn parse(source: &str, text: &str) -> Self {
        let builder = Builder { source: source.into(), text: None };
        match DeValue::parse(text) {
            Ok(value) => builder.item(0, value.get_ref()),
            Err(_) => Self { place: builder.place(0), value: Value::Text(text.into()) },
        }
    }

    fn wrong(&self, name: &str, wanted: &str) -> BadScenario {
        self.place.error(format!("{name} is {}; {wanted}", self.value))
    }

    /// Text.
    ///
    /// # Errors
    /// When it is something else; so for all that follow.
    pub fn text(&self, name: &str) -> Result<String, BadScenario> {
        match &self.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong(name, "write text in quotes")),
        }
    }

    /// One of some words.
    pub fn word<T>(
        &self,
        name: &str,
        of: impl IntoIterator<Item = (&'static str, T)>,
    ) -> Result<T, BadScenario> {
        let mut words = Vec::new();
        for (word, value) in of {
            if matches!(&self.value, Value::Text(text) if text == word) {
                return Ok(value);
            }
            words.push(word);
        }
        Err(self.wrong(name, &format!("write one of: {}", words.join(", "))))
    }

    /// Yes or no.
    pub fn boolean(&self, name: &str) -> Result<bool, BadScenario> {
        match &self.value {
            Value::Boolean(value) => Ok(*value),
            _ => Err(self.wrong(name, "write true or false")),
        }
    }

    /// A whole number within bounds.
    pub fn count<T>(&self, name: &str, bounds: RangeInclusive<T>) -> Result<T, BadScenario>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let number = match &self.value {
            Value::Number(text) => text.parse().ok().filter(|number| bounds.contains(number)),
            _ => None,
        };
        let (low, high) = (bounds.start(), bounds.end());
        number
            .ok_or_else(|| self.wrong(name, &format!("write a whole number from {low} to {high}")))
    }

    /// A decimal number of parts: `scale` parts are 1, and at most `most` parts are allowed.
    pub fn parts(&self, name: &str, scale: u64, most: u64) -> Result<u64, BadScenario> {
        let number = match &self.value {
            Value::Number(text) => units::scaled(text, scale).filter(|parts| *parts <= most),
            _ => None,
        };
        number.ok_or_else(|| {
            let (most, digits) = (units::decimal(most, scale), scale.ilog10());
            let wanted = format!(
                "write a number from 0 to {most} with at most {digits} digits after the point"
            );
            self.wrong(name, &wanted)
        })
    }

    /// A share from 0 to 1, in parts per million.
    pub fn share(&self, name: &str) -> Result<u64, BadScenario> {
        self.parts(name, WHOLE, WHOLE)
    }

    /// A duration within bounds, in microseconds.
    pub fn duration(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<u64, BadScenario> {
        let micros = match &self.value {
            Value::Text(text) => units::duration(text).filter(|micros| bounds.contains(micros)),
            _ => None,
        };
        micros.ok_or_else(|| {
            let (low, high) =
                (units::show_duration(*bounds.start()), units::show_duration(*bounds.end()));
            let wanted = format!(
                "write a duration from {low} to {high} as a number and a unit (us, ms, s, m, h, d) \
                 in quotes, such as \"250ms\" or \"1.5s\""
            );
            self.wrong(name, &wanted)
        })
    }

    /// A duration with a sign, in milliseconds.
    pub fn offset(&self, name: &str, most: u64) -> Result<i64, BadScenario> {
        let millis = match &self.value {
            Value::Text(text) => {
                let (sign, text) = text.strip_prefix('-').map_or((1, text.as_str()), |t| (-1, t));
                let micros = units::duration(text.strip_prefix('+').unwrap_or(text));
                micros
                    .filter(|micros| micros.is_multiple_of(1_000) && *micros <= most)
                    .map(|micros| sign * (micros / 1_000).cast_signed())
            }
            _ => None,
        };
        millis.ok_or_else(|| {
            let most = units::show_duration(most);
            self.wrong(name, &format!("write whole milliseconds from \"-{most}\" to \"{most}\""))
        })
    }

    /// A number of bytes within bounds: a whole number, or one with a unit in quotes.
    pub fn bytes(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<u64, BadScenario> {
        let bytes = match &self.value {
            Value::Text(text) => units::size(text),
            Value::Number(number) => number.parse().ok(),
            _ => None,
        };
        bytes.filter(|bytes| bounds.contains(bytes)).ok_or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            let wanted = format!(
                "write {low} to {high} bytes, as a number or with a unit in quotes, such as \"64KiB\""
            );
            self.wrong(name, &wanted)
        })
    }

    /// A table.
    pub fn table(&self, name: &str) -> Result<&Table, BadScenario> {
        match &self.value {
            Value::Table(table) => Ok(table),
            _ => Err(self.wrong(name, "write a table")),
        }
    }

    /// A list.
    pub fn list(&self, name: &str) -> Result<&[Item], BadScenario> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.wrong(name, "write a list in brackets")),
        }
    }
}

/// Reads a table, strictly.
pub struct Fields<'a> {
    table: &'a Table,
    name: String,
    asked: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads a table that goes by a dotted name; the outermost one has none.
    pub fn new(table: &'a Table, name: impl Into<String>) -> Self {
        Self { table, name: name.into(), asked: BTreeSet::new() }
    }

    /// The full name of a key.
    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }

    /// The value of a key, if it is there; from now on the key is accepted.
    pub fn item(&mut self, key: &'static str) -> Option<&'a Item> {
        self.asked.insert(key);
        self.table.get(key)
    }

    /// Reads the value of a key by one of the readers of [`Item`], if it is there.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Item, &str) -> Result<T, BadScenario>,
    ) -> Result<Option<T>, BadScenario> {
        let full = self.full(key);
        self.item(key).map(|item| read(item, &full)).transpose()
    }

    /// As [`Fields::read`], into a place that keeps what it has when the key is not there.
    pub fn fill<T>(
        &mut self,
        key: &'static str,
        into: &mut T,
        read: impl FnOnce(&'a Item, &str) -> Result<T, BadScenario>,
    ) -> Result<(), BadScenario> {
        if let Some(value) = self.read(key, read)? {
            *into = value;
        }
        Ok(())
    }

    /// As [`Fields::read`], for a key that must be there.
    pub fn need<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Item, &str) -> Result<T, BadScenario>,
    ) -> Result<T, BadScenario> {
        let full = self.full(key);
        let place = self.table.place.clone();
        self.read(key, read)?
            .ok_or_else(|| place.error(format!("{full} is missing; write it here")))
    }

    /// Where the table stands.
    pub fn place(&self) -> &Place {
        &self.table.place
    }

    /// Refuses every key that nobody asked for.
    ///
    /// # Errors
    /// With the first of them, and the keys that are accepted.
    pub fn done(self) -> Result<(), BadScenario> {
        let unknown =
            self.table.entries.iter().find(|(key, ..)| !self.asked.contains(key.as_str()));
        let Some((key, place, _)) = unknown else { return Ok(()) };
        let accepted: Vec<&str> = self.asked.iter().copied().collect();
        let within = if self.name.is_empty() { "here".into() } else { format!("in {}", self.name) };
        Err(place.error(format!(
            "the key {key:?} is not known {within}; accepted are: {}",
            accepted.join(", ")
        )))
    }
}
