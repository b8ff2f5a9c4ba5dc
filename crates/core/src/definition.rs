//! Definitions: named settings for every database whose path their matcher accepts.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::limits::{COPIES_MAX, DESCRIPTION_MAX, IDENTIFIER_MAX, NAME_MAX, TAGS_MAX, TTL_MAX};
use crate::matcher::Matcher;
use crate::stamp::Millis;

/// When a write is acknowledged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It survives the process (the operating system has it).
    #[default]
    Buffered,
    /// It survives power loss (the disk has it); many writers share one sync.
    Synced,
}

impl Durability {
    /// The word for it: `buffered` or `synced`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Synced => "synced",
        }
    }

    /// What a word names, if it is one of the two.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Buffered, Self::Synced].into_iter().find(|one| one.name() == word)
    }
}

/// How many live copies of a database there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    /// At least this many, as far as peers live; at least 1.
    pub min: u32,
    /// At most this many; at least `min`.
    pub max: u32,
}

/// Named settings: which paths are databases, how many copies, how large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// A free identifier for the user's own use, such as a CID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name: unique in the cluster.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Which paths it accepts: see the module `matcher`.
    pub matcher: String,
    /// Copies of each database.
    pub replication: Replication,
    /// Most bytes of keys and values of live entries in each database; `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When writes are acknowledged, unless the call says otherwise.
    #[serde(default)]
    pub durability: Durability,
    /// Entries vanish this long after they were put, in milliseconds, unless the call says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Millis>,
    /// Where several definitions accept a path, the greatest priority comes first.
    #[serde(default)]
    pub priority: i32,
}

impl Definition {
    /// A definition with a name, a matcher, and how many live copies there shall be.
    pub fn new(name: &str, matcher: &str, min: u32, max: u32) -> Self {
        Self {
            id: None,
            name: name.into(),
            description: String::new(),
            tags: Vec::new(),
            matcher: matcher.into(),
            replication: Replication { min, max },
            size: None,
            durability: Durability::default(),
            ttl: None,
            priority: 0,
        }
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// [`Error::BadDefinition`], with a sentence on the first field that breaks a rule.
    pub fn validate(&self) -> Result<(), Error> {
        self.compile().map(drop)
    }

    /// Checks every field and returns the matcher, parsed.
    pub(crate) fn compile(&self) -> Result<Matcher, Error> {
        self.check_fields()
            .and_then(|()| Matcher::parse(&self.matcher).map_err(|error| error.to_string()))
            .map_err(|why| {
                let name = self.name.chars().take(NAME_MAX).collect();
                Error::BadDefinition { name, why }
            })
    }

    fn check_fields(&self) -> Result<(), String> {
        check_line("name", &self.name, NAME_MAX)?;
        if let Some(id) = &self.id {
            check_line("id", id, IDENTIFIER_MAX)?;
        }
        if self.description.len() > DESCRIPTION_MAX {
            return Err(format!(
                "its description has {} bytes, at most {DESCRIPTION_MAX} are allowed; shorten it",
                self.description.len()
            ));
        }
        if self.tags.len() > TAGS_MAX {
            return Err(format!(
                "it has {} tags, at most {TAGS_MAX} are allowed; leave some out",
                self.tags.len()
            ));
        }
        self.tags.iter().try_for_each(|tag| check_line("tag", tag, TAGS_MAX))?;
        let Replication { min, max } = self.replication;
        if min == 0 {
            return Err(
                "replication.min is 0, at least 1 copy is needed; set it to 1 or more".into()
            );
        }
        if max < min {
            return Err(format!(
                "replication.max is {max}, less than replication.min, {min}; raise max or lower min"
            ));
        }
        if max > COPIES_MAX {
            return Err(format!(
                "replication.max is {max}, at most {COPIES_MAX} copies are allowed; lower it"
            ));
        }
        if self.size == Some(0) {
            return Err("size is 0, so nothing could be stored; set it to 1 byte or more, \
                        or leave it out for no limit"
                .into());
        }
        match self.ttl {
            Some(0) => Err("ttl is 0, so entries would vanish at once; set it to 1 ms or more, \
                            or leave it out for entries that stay"
                .into()),
            Some(ttl) if ttl > TTL_MAX => Err(format!(
                "ttl is {ttl} ms, at most {TTL_MAX} ms (100 years) are allowed; \
                 leave it out for entries that stay"
            )),
            _ => Ok(()),
        }
    }
}

/// Checks a text that people read in listings: 1 to `most` bytes on one line, nothing invisible.
fn check_line(field: &str, text: &str, most: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("its {field} is empty, at least 1 byte is needed"));
    }
    if text.len() > most {
        return Err(format!(
            "its {field} has {} bytes, at most {most} are allowed; shorten it",
            text.len()
        ));
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(format!("its {field} {text:?} begins or ends with a space; remove that"));
    }
    match text.chars().find(|&c| invisible(c)) {
        Some(c) => Err(format!(
            "its {field} has the character U+{:04X}, which nobody can see or type; remove it",
            u32::from(c)
        )),
        None => Ok(()),
    }
}

/// Control and formatting characters, and every space but the ordinary one.
fn invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests;
