//! The Redis protocol, version 2, as any client speaks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::{ABSENT, Ask, Door, NOWHERE, OK, SMALL, line, refusal};

pub struct Redis {
    address: String,
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Clone, Debug)]
enum Reply {
    Text(String),
    Number(i64),
    Nothing,
    Error(String),
    Array(Vec<Self>),
}

impl Redis {
    pub fn new(address: &str, path: &str) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(crate::support::DEADLINE)).expect("a timeout");
        let mut redis = Self { address: address.into(), stream: BufReader::new(stream) };
        redis.command(&["SELECT", path]);
        redis
    }

    fn command(&mut self, parts: &[&str]) -> Reply {
        let mut bytes = format!("*{}\r\n", parts.len());
        bytes.extend(parts.iter().map(|part| format!("${}\r\n{part}\r\n", part.len())));
        self.stream.get_mut().write_all(bytes.as_bytes()).expect("sends");
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut head = String::new();
        self.stream.read_line(&mut head).expect("an answer");
        let rest = head.get(1..).unwrap_or_default().trim_end().to_owned();
        match head.as_bytes().first() {
            Some(b'+') => Reply::Text(rest),
            Some(b':') => Reply::Number(rest.parse().expect("a number")),
            Some(b'-') => Reply::Error(rest),
            Some(b'$' | b'*') if rest == "-1" => Reply::Nothing,
            Some(b'$') => {
                let mut bytes = vec![0; rest.parse::<usize>().expect("a length") + 2];
                self.stream.read_exact(&mut bytes).expect("a value");
                bytes.truncate(bytes.len() - 2);
                Reply::Text(String::from_utf8(bytes).expect("text"))
            }
            Some(b'*') => {
                let count: usize = rest.parse().expect("a length");
                Reply::Array((0..count).map(|_| self.reply()).collect())
            }
            _ => panic!("an answer begins with {head:?}"),
        }
    }

    /// All keys that a pattern matches, ascending.
    fn keys(&mut self, pattern: &str) -> Vec<String> {
        let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let found = self.command(&["SCAN", &cursor, "MATCH", pattern]);
            let Reply::Array(parts) = found else { panic!("{found:?}") };
            let [Reply::Text(next), Reply::Array(page)] = &parts[..] else { panic!("{parts:?}") };
            keys.extend(page.iter().map(|key| text(key.clone())));
            if next == "0" {
                keys.sort_unstable();
                return keys;
            }
            cursor.clone_from(next);
        }
    }
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::Text(text) => text,
        Reply::Number(number) => number.to_string(),
        Reply::Nothing => ABSENT.into(),
        Reply::Error(why) => refusal(&why),
        Reply::Array(replies) => replies.into_iter().map(text).collect::<Vec<_>>().join(" "),
    }
}

fn done(reply: Reply) -> String {
    match reply {
        Reply::Error(why) => refusal(&why),
        _ => OK.into(),
    }
}

/// 1 where something was there, 0 where not.
fn whether(reply: Reply) -> String {
    match reply {
        Reply::Number(0) => ABSENT.into(),
        other => done(other),
    }
}

impl Door for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn ask(&mut self, ask: &Ask) -> Option<String> {
        Some(match *ask {
            Ask::Get(key) => text(self.command(&["GET", key])),
            Ask::GetMany(keys) => text(self.command(&[&["MGET"], keys].concat())),
            Ask::Put(key, value) => done(self.command(&["SET", key, value])),
            Ask::PutNowhere => done(self.command(&["SELECT", NOWHERE])),
            Ask::PutTooMuch => {
                let mut small = Self::new(&self.address, SMALL);
                done(small.command(&["SET", "k", &"v".repeat(2000)]))
            }
            Ask::PutFor(key, value, seconds) => {
                done(self.command(&["SET", key, value, "EX", &seconds.to_string()]))
            }
            Ask::PutIfAbsent(key, value) => match self.command(&["SET", key, value, "NX"]) {
                Reply::Nothing => refusal("condition-failed"),
                other => done(other),
            },
            // Redis has no versions, and lists in no order; FLUSHDB clears all of a keyspace; and key events
            // say what happened to a key, not its value.
            Ask::PutIfCurrent(..)
            | Ask::ListLast(..)
            | Ask::Scan(..)
            | Ask::Sync
            | Ask::DeletePrefix(_)
            | Ask::Keyspaces
            | Ask::Drop
            | Ask::Watch(..) => return None,
            // It says how many were there, and that is fine.
            Ask::Delete(key) => done(self.command(&["DEL", key])),
            Ask::Batch(writes) => {
                self.command(&["MULTI"]);
                for (key, value) in writes {
                    match value {
                        Some(value) => self.command(&["SET", key, value]),
                        None => self.command(&["DEL", key]),
                    };
                }
                done(self.command(&["EXEC"]))
            }
            Ask::List(prefix) => self.keys(&format!("{prefix}*")).join(" "),
            Ask::ListGlob(glob) => self.keys(glob).join(" "),
            Ask::Pages(prefix) => {
                let keys = self.keys(&format!("{prefix}*"));
                let entries: Vec<_> = keys
                    .into_iter()
                    .map(|key| {
                        let value = text(self.command(&["GET", &key]));
                        (key, Some(value))
                    })
                    .collect();
                line(entries)
            }
            Ask::Incr(key, by) => text(self.command(&["INCRBY", key, &by.to_string()])),
            Ask::Ttl(key) => match self.command(&["TTL", key]) {
                Reply::Number(-2) => ABSENT.into(),
                Reply::Number(-1) => "stays".into(),
                Reply::Number(_) => "expires".into(),
                other => text(other),
            },
            Ask::Expire(key, seconds) => {
                whether(self.command(&["EXPIRE", key, &seconds.to_string()]))
            }
            Ask::Persist(key) => whether(self.command(&["PERSIST", key])),
            Ask::PutIn(keyspace, key, value) => {
                let mut there = Self::new(&self.address, "data/redis");
                there.command(&["SELECT", "data/redis", "KEYSPACE", keyspace]);
                done(there.command(&["SET", key, value]))
            }
            Ask::GetIn(keyspace, key) => {
                let mut there = Self::new(&self.address, "data/redis");
                there.command(&["SELECT", "data/redis", "KEYSPACE", keyspace]);
                text(there.command(&["GET", key]))
            }
            Ask::Usage => text(self.command(&["DBSIZE"])),
        })
    }
}
