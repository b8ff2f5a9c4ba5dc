//! `SUBSCRIBE` and `PSUBSCRIBE`: changes of keys, under the names that Redis gives such events.
//!
//! A change of the key `k` in database 0 is told to the subscribers of `__keyspace@0__:k`, with `set` or
//! `del`, and to those of `__keyevent@0__:set` or `…:del`, with the key. In the place of the number may
//! stand a path; the keyspace is the one that is selected when the channel is subscribed to. There are no other channels, and no other events: an expiry is a `set` with a time, and
//! when it comes, nobody is told.
//!
//! Each database that is listened to is one watch of the library, so that changes made anywhere are told,
//! once they win here. A client that reads too slowly, or a watch that cannot go on, ends the connection:
//! there is never a silent gap.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::future::FutureExt as _;
use futures::stream::{BoxStream, SelectAll};
use tidings::limits::{KEY_MAX, PATH_MAX};
use tidings::{Change, Error};

use crate::command::{Command, Spec};
use crate::connection::ANSWER_BYTES;
use crate::glob;
use crate::number;
use crate::parser::Arguments;
use crate::refusal::{Answer, NOT_AN_INTEGER, Refusal, shown};
use crate::reply::{Output, Protocol};
use crate::session::{Selected, Session};

/// Most channels and patterns of one connection.
const SUBSCRIPTIONS_MAX: usize = 1024;
/// Most databases that one connection listens to.
const WATCHED_MAX: usize = 16;
/// Longest name of a channel: a key and a path with what stands around them.
const NAME_MAX: usize = KEY_MAX + PATH_MAX + 32;
/// Most changes told at once, before the client is written to.
const TOLD_AT_ONCE: usize = 256;

/// Channels of one key each.
const KEYSPACE: &[u8] = b"__keyspace@";
/// Channels of one kind of change each.
const KEYEVENT: &[u8] = b"__keyevent@";
/// What stands behind the database in both.
const BEHIND: &[u8] = b"__:";

type Event = (usize, Result<Change, Error>);

/// What one connection listens to.
#[derive(Default)]
pub(crate) struct Subscriptions {
    channels: BTreeSet<Vec<u8>>,
    /// Patterns, and the database that each is for.
    patterns: Vec<(Vec<u8>, usize)>,
    /// The names of the databases, as the client says them.
    watched: Vec<String>,
    /// The keyspace of all of them.
    keyspace: String,
    events: SelectAll<BoxStream<'static, Event>>,
}

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriptions").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Subscriptions {
    /// Channels and patterns together.
    pub(crate) fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Channels, and patterns.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    /// Whether there is anything to wait for.
    pub(crate) fn is_watching(&self) -> bool {
        !self.events.is_empty()
    }

    /// Waits for changes, and tells them. False: the connection has to end.
    ///
    /// Cancel-safe: nothing is taken before something is there.
    pub(crate) async fn tell(&mut self, out: &mut Output) -> bool {
        let Some(event) = self.events.next().await else { return true };
        let mut event = Some(event);
        let mut told = 0;
        while let Some((database, change)) = event {
            match change {
                Ok(change) => self.told(database, &change, out),
                Err(error) => {
                    tracing::warn!(%error, "a subscriber of the Redis door is let go");
                    return false;
                }
            }
            told += 1;
            if told == TOLD_AT_ONCE || out.bytes().len() > ANSWER_BYTES {
                break;
            }
            event = self.events.next().now_or_never().flatten();
        }
        true
    }

    fn told(&self, database: usize, change: &Change, out: &mut Output) {
        let Some(label) = self.watched.get(database) else { return };
        let event: &[u8] = if change.value.is_some() { b"set" } else { b"del" };
        let name = |kind: &[u8], rest: &[u8]| [kind, label.as_bytes(), BEHIND, rest].concat();
        for (channel, payload) in
            [(name(KEYSPACE, &change.key), event), (name(KEYEVENT, event), change.key.as_slice())]
        {
            if self.channels.contains(&channel) {
                out.push(3);
                out.bulk(b"message");
                out.bulk(&channel);
                out.bulk(payload);
            }
            for (pattern, own) in &self.patterns {
                if *own == database && glob::matches(pattern, &channel) {
                    out.push(4);
                    out.bulk(b"pmessage");
                    out.bulk(pattern);
                    out.bulk(&channel);
                    out.bulk(payload);
                }
            }
        }
    }

    /// `UNSUBSCRIBE [channel …]` and `PUNSUBSCRIBE [pattern …]`.
    pub(crate) fn unsubscribe(&mut self, spec: &Spec, arguments: Arguments<'_>, out: &mut Output) {
        let patterns = spec.command == Command::PUnsubscribe;
        let named: Vec<Vec<u8>> = match arguments.len() {
            1 if patterns => self.patterns.iter().map(|(pattern, _)| pattern.clone()).collect(),
            1 => self.channels.iter().cloned().collect(),
            _ => arguments.from(1).iter().map(<[u8]>::to_vec).collect(),
        };
        for name in &named {
            if patterns {
                self.patterns.retain(|(pattern, _)| pattern != name);
            } else {
                self.channels.remove(name);
            }
            self.confirm(spec, Some(name), out);
        }
        if named.is_empty() {
            self.confirm(spec, None, out);
        }
        if self.count() == 0 {
            *self = Self::default();
        }
    }

    fn confirm(&self, spec: &Spec, name: Option<&[u8]>, out: &mut Output) {
        out.push(3);
        out.bulk(spec.name.as_bytes());
        out.value(name);
        out.count(self.count());
    }
}

/// `SUBSCRIBE channel [channel …]` and `PSUBSCRIBE pattern [pattern …]`: all of them or none. What
/// changes after the answer is told.
pub(crate) async fn subscribe(
    session: &mut Session,
    spec: &Spec,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let patterns = spec.command == Command::PSubscribe;
    let count = session.subscriptions.count() + arguments.len() - 1;
    if count > SUBSCRIPTIONS_MAX {
        return Err(format!(
            "ERR {count} channels and patterns: a connection has at most {SUBSCRIPTIONS_MAX}; subscribe to a pattern"
        )
        .into());
    }
    let keyspace = session.selected.keyspace.clone();
    if session.subscriptions.keyspace != keyspace {
        if session.subscriptions.count() > 0 {
            return Err(Refusal::new(
                "ERR a connection listens to one keyspace: open another connection for this one",
            ));
        }
        let keyspace = keyspace.clone();
        session.subscriptions = Subscriptions { keyspace, ..Subscriptions::default() };
    }
    let mut databases = Vec::with_capacity(arguments.len() - 1);
    for name in arguments.from(1).iter() {
        let mut selected =
            if patterns { of_pattern(session, name)? } else { of_channel(session, name)? };
        selected.keyspace.clone_from(&keyspace);
        session.access.may_read(spec.name, &selected.path)?;
        databases.push(watched(session, selected).await?);
    }
    for (name, database) in arguments.from(1).iter().zip(databases) {
        let subscriptions = &mut session.subscriptions;
        if !patterns {
            subscriptions.channels.insert(name.to_vec());
        } else if !subscriptions.patterns.iter().any(|(pattern, _)| pattern == name) {
            subscriptions.patterns.push((name.to_vec(), database));
        }
        subscriptions.confirm(spec, Some(name), out);
    }
    Ok(())
}

/// Makes sure that a database is watched, and gives its place.
async fn watched(session: &mut Session, selected: Selected) -> Result<usize, Refusal> {
    let place = session.subscriptions.watched.iter().position(|own| *own == selected.label);
    if let Some(place) = place {
        return Ok(place);
    }
    let place = session.subscriptions.watched.len();
    if place == WATCHED_MAX {
        return Err(format!(
            "ERR a connection listens to at most {WATCHED_MAX} databases: open another connection for {:?}",
            selected.label
        )
        .into());
    }
    let database = session.door.open(&selected).await?;
    let watch = database.watch(Vec::new()).await?;
    let events = futures::stream::unfold(watch, move |mut watch| async move {
        let change = watch.next().await?;
        Some(((place, change), watch))
    });
    session.subscriptions.events.push(events.boxed());
    session.subscriptions.watched.push(selected.label);
    Ok(place)
}

/// The database and the rest of a name such as `__keyspace@0__:key`.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = name.strip_prefix(KEYSPACE).or_else(|| name.strip_prefix(KEYEVENT))?;
    let end = rest.windows(BEHIND.len()).position(|window| window == BEHIND)?;
    Some((&rest[..end], &rest[end + BEHIND.len()..]))
}

fn no_channel(name: &[u8]) -> Refusal {
    format!(
        "ERR the channel '{}' is not offered: there are __keyspace@0__:KEY, __keyevent@0__:set and __keyevent@0__:del, with the number or the path of a database",
        shown(name)
    )
    .into()
}

fn of_channel(session: &Session, name: &[u8]) -> Result<Selected, Refusal> {
    let (label, rest) = split(name).ok_or_else(|| no_channel(name))?;
    let event = name.starts_with(KEYEVENT);
    if name.len() > NAME_MAX || (event && !matches!(rest, b"set" | b"del")) {
        return Err(no_channel(name));
    }
    named(session, label)
}

/// The database that a pattern is for: the one that it names, or else the selected one.
fn of_pattern(session: &Session, pattern: &[u8]) -> Result<Selected, Refusal> {
    let prefix = glob::prefix(pattern);
    let possible = |kind: &[u8]| prefix.starts_with(kind) || kind.starts_with(&prefix);
    if pattern.len() > NAME_MAX || !(possible(KEYSPACE) || possible(KEYEVENT)) {
        return Err(no_channel(pattern));
    }
    match split(pattern) {
        Some((label, _)) if !label.iter().any(|byte| b"*?[\\".contains(byte)) => {
            named(session, label)
        }
        _ => Ok(session.selected.clone()),
    }
}

/// A database by its number or its path.
pub(crate) fn named(session: &Session, label: &[u8]) -> Result<Selected, Refusal> {
    if let Some(number) = number::parse(label) {
        let selected = session.door.numbered(number);
        return selected.ok_or(Refusal::new("ERR DB index is out of range"));
    }
    if is_numeral(label) {
        return Err(NOT_AN_INTEGER);
    }
    let path = String::from_utf8_lossy(label).into_owned();
    if path.as_bytes() != label {
        let why = "it is not UTF-8".into();
        return Err(Error::BadPath { path, why }.into());
    }
    Ok(Selected::new(path.clone(), path))
}

/// Whether it is written in digits: a number, if only one that there is not or that nobody writes so.
fn is_numeral(label: &[u8]) -> bool {
    let digits = label.strip_prefix(b"-").unwrap_or(label);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// What `PING` answers where only messages are expected.
pub(crate) fn is_listening(session: &Session, out: &Output) -> bool {
    out.protocol() == Protocol::Resp2 && session.subscriptions.count() > 0
}
