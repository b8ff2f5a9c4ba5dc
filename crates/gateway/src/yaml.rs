//! Definitions in YAML, as `tidings apply -f` reads them.
//!
//! A text holds one definition, a list of them, or a mapping whose only field `definitions` is
//! such a list; it may consist of several documents (`---`), each of one of these forms. JSON is
//! YAML, so it is read too.
//!
//! ```yaml
//! name: history                  # required, unique
//! matcher: profile/history/*     # required
//! replication: { min: 2, max: 3 }  # required
//! id: bafy…                      # all others are optional
//! description: What people did
//! tags: [profile, private]
//! size: 10MB                     # or bytes as a number; kB MB GB TB, KiB MiB GiB TiB
//! durability: synced             # or buffered
//! ttl: 30d                       # or milliseconds as a number; ms s m h d
//! priority: 5
//! ```
//!
//! Whatever cannot be honoured is an error with its line and column, never ignored: unknown and
//! repeated fields, values of another type (a `name: 12` is a number, and has to be quoted), fields
//! without a value, and every rule of [`Definition::validate`]. Anchors and aliases are understood,
//! merge keys (`<<`) are not.

mod scalar;
mod tree;

use std::collections::BTreeMap;

use tidings::{Definition, Durability, Error, Replication, limits};

use scalar::{bytes, millis, plain_type};
use tree::{Node, Value};

/// Why a text is not a list of definitions, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct YamlError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong and what to do, as a sentence.
    pub why: String,
}

/// The fields of a definition.
const FIELDS: [&str; 10] = [
    "id",
    "name",
    "description",
    "tags",
    "matcher",
    "replication",
    "size",
    "durability",
    "ttl",
    "priority",
];

/// Reads definitions; each of them is valid, and no two have the same name.
///
/// # Errors
/// [`YamlError`], with the line and the column of the first thing that is wrong.
pub fn parse(text: &str) -> Result<Vec<Definition>, YamlError> {
    let documents = tree::read(text)?;
    let mut nodes = Vec::new();
    let mut any = false;
    for document in &documents {
        if document.is_null() {
            continue;
        }
        any = true;
        collect(document, &mut nodes)?;
    }
    if !any {
        let why = "there is no definition in this text; a definition is a mapping with the fields \
                   name, matcher and replication";
        return Err(YamlError { line: 1, column: 1, why: why.into() });
    }
    if let Some(node) = nodes.get(limits::DEFINITIONS_MAX) {
        return Err(node.error(format!(
            "this is definition number {}, at most {} are allowed; let one matcher accept what \
             several accept now",
            limits::DEFINITIONS_MAX + 1,
            limits::DEFINITIONS_MAX
        )));
    }
    let mut lines = BTreeMap::new();
    let mut definitions = Vec::with_capacity(nodes.len());
    for node in nodes {
        let definition = definition(node)?;
        if let Some(line) = lines.insert(definition.name.clone(), node.line) {
            return Err(node.error(format!(
                "the name {:?} is taken by the definition on line {line}; names are unique",
                definition.name
            )));
        }
        definitions.push(definition);
    }
    Ok(definitions)
}

/// The nodes that are definitions, in one document.
fn collect<'a>(document: &'a Node, nodes: &mut Vec<&'a Node>) -> Result<(), YamlError> {
    let list = match &document.value {
        Value::Map(fields) => {
            let Some((_, list)) = fields.iter().find(|(key, _)| key.is_text("definitions")) else {
                nodes.push(document);
                return Ok(());
            };
            if let Some((key, _)) = fields.iter().find(|(key, _)| !key.is_text("definitions")) {
                return Err(key.error(format!(
                    "{} stands beside `definitions`, which has to stand alone",
                    key.shown()
                )));
            }
            fields_once(fields)?;
            list
        }
        _ => document,
    };
    let Value::List(items) = &list.value else {
        return Err(list.error(format!(
            "{} is no definition; write a mapping of fields, or a list of those",
            list.described()
        )));
    };
    nodes.extend(items.iter().map(AsRef::as_ref));
    Ok(())
}

/// Refuses a field that is written twice.
fn fields_once(fields: &[(tree::Link, tree::Link)]) -> Result<(), YamlError> {
    let mut lines = BTreeMap::new();
    for (key, _) in fields {
        if let Some(line) = lines.insert(key.shown(), key.line) {
            return Err(key.error(format!(
                "the field {} stands here a second time, first on line {line}; remove one",
                key.shown()
            )));
        }
    }
    Ok(())
}

/// The fields of a mapping by name: each known and there at most once.
fn fields<'a>(
    node: &'a Node,
    what: &str,
    known: &[&'static str],
) -> Result<BTreeMap<&'static str, &'a Node>, YamlError> {
    let Value::Map(pairs) = &node.value else {
        return Err(node.error(format!(
            "{} stands where {what} is expected; write a mapping with the fields {}",
            node.described(),
            known.join(", ")
        )));
    };
    fields_once(pairs)?;
    let mut found = BTreeMap::new();
    for (key, value) in pairs {
        let Some(name) = known.iter().find(|name| key.is_text(name)) else {
            return Err(key.error(format!(
                "{} is not a field of {what}; the fields are {}",
                key.shown(),
                known.join(", ")
            )));
        };
        if value.is_null() {
            return Err(key.error(format!("{name} has no value; give it one or remove the line")));
        }
        found.insert(*name, &**value);
    }
    Ok(found)
}

fn required<'a>(
    node: &Node,
    found: &BTreeMap<&'static str, &'a Node>,
    name: &str,
    what: &str,
) -> Result<&'a Node, YamlError> {
    found
        .get(name)
        .copied()
        .ok_or_else(|| node.error(format!("{what} here has no {name}, which it needs")))
}

fn definition(node: &Node) -> Result<Definition, YamlError> {
    let found = fields(node, "a definition", &FIELDS)?;
    let name = text(required(node, &found, "name", "the definition")?, "name")?;
    let matcher = text(required(node, &found, "matcher", "the definition")?, "matcher")?;
    let copies = required(node, &found, "replication", "the definition")?;
    let Replication { min, max } = replication(copies)?;
    let mut definition = Definition::new(&name, &matcher, min, max);
    if let Some(id) = found.get("id") {
        definition.id = Some(text(id, "id")?);
    }
    if let Some(description) = found.get("description") {
        definition.description = text(description, "description")?;
    }
    if let Some(list) = found.get("tags") {
        definition.tags = tags(list)?;
    }
    if let Some(size) = found.get("size") {
        definition.size = Some(quantity(size, "size", bytes)?);
    }
    if let Some(word) = found.get("durability") {
        definition.durability = durability(word)?;
    }
    if let Some(ttl) = found.get("ttl") {
        definition.ttl = Some(quantity(ttl, "ttl", millis)?);
    }
    if let Some(priority) = found.get("priority") {
        definition.priority = number(priority, "priority")?;
    }
    definition.validate().map_err(|error| {
        let why = match error {
            Error::BadDefinition { why, .. } => why,
            other => other.to_string(),
        };
        // The sentence names the field at its beginning; point at it.
        let named = FIELDS.iter().filter_map(|field| Some((why.find(field)?, *field))).min();
        let at = named.and_then(|(_, field)| found.get(field)).copied().unwrap_or(node);
        at.error(why)
    })?;
    Ok(definition)
}

fn replication(node: &Node) -> Result<Replication, YamlError> {
    let found = fields(node, "replication", &["min", "max"])?;
    let count = |name| number(required(node, &found, name, "replication")?, name);
    Ok(Replication { min: count("min")?, max: count("max")? })
}

fn tags(node: &Node) -> Result<Vec<String>, YamlError> {
    match &node.value {
        Value::List(items) => items.iter().map(|item| text(item, "a tag")).collect(),
        _ => {
            Err(node
                .error(format!("tags are {}; write a list, such as [one, two]", node.described())))
        }
    }
}

fn durability(node: &Node) -> Result<Durability, YamlError> {
    Durability::named(&text(node, "durability")?).ok_or_else(|| {
        node.error(format!("durability is {}; it is either buffered or synced", node.shown()))
    })
}

/// A text: quoted, or plain and of no other type.
fn text(node: &Node, what: &str) -> Result<String, YamlError> {
    match &node.value {
        Value::Scalar { text, plain } if !plain || plain_type(text).is_none() => Ok(text.clone()),
        Value::Scalar { text, .. } => Err(node.error(format!(
            "{what} is {}, not text; if the text is meant, quote it: \"{text}\"",
            node.described()
        ))),
        _ => Err(node.error(format!("{what} is {}, not text", node.described()))),
    }
}

/// A whole number, not quoted.
fn number<N: TryFrom<i64>>(node: &Node, what: &str) -> Result<N, YamlError> {
    let read = match &node.value {
        Value::Scalar { text, plain: true } => text.parse::<i64>().ok(),
        _ => None,
    };
    read.and_then(|number| N::try_from(number).ok()).ok_or_else(|| {
        node.error(format!(
            "{what} is {}; write a whole number in digits, without quotes, that is not out of range",
            node.described()
        ))
    })
}

/// A number with a unit, or a plain number without.
fn quantity(
    node: &Node,
    what: &str,
    read: impl Fn(&str) -> Result<u64, String>,
) -> Result<u64, YamlError> {
    match &node.value {
        Value::Scalar { text, .. } => {
            read(text).map_err(|why| node.error(format!("{what} is {}; {why}", node.shown())))
        }
        _ => read("").map_err(|why| node.error(format!("{what} is {}; {why}", node.described()))),
    }
}

#[cfg(test)]
mod tests;
