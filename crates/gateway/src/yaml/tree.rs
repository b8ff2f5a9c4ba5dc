//! YAML as a small tree in which every node knows its line and column.
//!
//! Aliases share the node they name, so no text becomes larger by being read. Depth and length are
//! bounded.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::YamlError;
use super::scalar::plain_type;

/// Longest text, in bytes: as many definitions as there may be, with ample descriptions.
const TEXT_MAX: usize = 16 << 20;
/// Deepest nesting: definitions need four levels.
const DEPTH_MAX: usize = 16;
/// Characters of a value that an error shows.
const SHOWN_MAX: usize = 60;

/// A node, shared by its aliases.
pub(super) type Link = Rc<Node>;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A scalar; `plain` when written without quotes, so that it may be a number.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Link>),
    Map(Vec<(Link, Link)>),
}

impl Node {
    pub(super) fn error(&self, why: impl Into<String>) -> YamlError {
        YamlError { line: self.line, column: self.column, why: why.into() }
    }

    /// Whether it is this text.
    pub(super) fn is_text(&self, expected: &str) -> bool {
        matches!(&self.value, Value::Scalar { text, .. } if text == expected)
    }

    /// Whether there is no value.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if plain_type(text) == Some("nothing"))
    }

    /// A short form of it.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Value::Scalar { text, .. } if text.chars().nth(SHOWN_MAX).is_some() => {
                format!("{:?}…", text.chars().take(SHOWN_MAX).collect::<String>())
            }
            Value::Scalar { text, .. } => format!("{text:?}"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    /// Its type and a short form of it.
    pub(super) fn described(&self) -> String {
        match &self.value {
            Value::Scalar { text, plain } => {
                let kind = plain_type(text).filter(|_| *plain).unwrap_or("the text");
                if kind == "nothing" { kind.into() } else { format!("{kind} {}", self.shown()) }
            }
            _ => self.shown(),
        }
    }
}

/// Reads every document of a text.
pub(super) fn read(text: &str) -> Result<Vec<Link>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > TEXT_MAX {
        let why =
            format!("the text has {} bytes, at most {TEXT_MAX} are read; split it", text.len());
        return Err(YamlError { line: 1, column: 1, why });
    }
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new() };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                reader.anchors.clear();
                let first = reader.next()?;
                documents.push(reader.node(first, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<I> {
    events: I,
    anchors: BTreeMap<usize, Link>,
}

impl<'a, I> Reader<I>
where
    I: Iterator<Item = Result<(Event<'a>, Span), ScanError>>,
{
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(at(*error.marker(), format!("this is not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Link, YamlError> {
        let start = span.start;
        if depth == DEPTH_MAX {
            return Err(at(start, format!("this is nested deeper than {DEPTH_MAX} levels")));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let named = self.anchors.get(&anchor).cloned();
                return named.ok_or_else(|| at(start, "this alias names a value around itself"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text_tag(tag.as_deref(), start)?;
                (Value::Scalar { text: text.into_owned(), plain }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), start)?;
                (Value::List(self.list(depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), start)?;
                (Value::Map(self.map(depth)?), anchor)
            }
            _ => return Err(at(start, "a value is missing here")),
        };
        let node = Rc::new(Node { line: start.line(), column: start.col() + 1, value });
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Link>, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Link, Link)>, YamlError> {
        let mut pairs = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd, _) => return Ok(pairs),
                event => {
                    let key = self.node(event, depth + 1)?;
                    let value = self.next()?;
                    pairs.push((key, self.node(value, depth + 1)?));
                }
            }
        }
    }
}

fn at(marker: Marker, why: impl Into<String>) -> YamlError {
    YamlError { line: marker.line().max(1), column: marker.col() + 1, why: why.into() }
}

/// Whether a tag says that a scalar is text; any other tag is refused.
fn is_text_tag(tag: Option<&Tag>, start: Marker) -> Result<bool, YamlError> {
    match tag {
        Some(tag) if tag.suffix == "str" => Ok(true),
        tag => refuse_tag(tag, start).map(|()| false),
    }
}

fn refuse_tag(tag: Option<&Tag>, start: Marker) -> Result<(), YamlError> {
    match tag {
        Some(tag) => Err(at(start, format!("the tag {tag} is not understood; remove it"))),
        None => Ok(()),
    }
}
