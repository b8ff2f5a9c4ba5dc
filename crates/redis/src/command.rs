//! The commands that are offered: one table that finds them, counts their arguments and describes them.

use crate::refusal::{Refusal, shown};
use crate::reply::Output;

/// Longest name of a command.
const NAME_MAX: usize = 12;

/// What is known of a command before it runs.
#[derive(Debug)]
pub(crate) struct Spec {
    /// What to do.
    pub(crate) command: Command,
    /// Its name in lower case.
    pub(crate) name: &'static str,
    /// How many words it has, its name included; below zero: at least so many.
    pub(crate) arity: i64,
    /// `write`, `readonly`, `fast` and `pubsub`, with blanks between them.
    pub(crate) flags: &'static str,
    /// Which of its words are keys: the first, the last (from the end where below zero), the step.
    pub(crate) keys: (i64, i64, i64),
    /// What it belongs to.
    pub(crate) group: &'static str,
    /// Since which version Redis has it.
    pub(crate) since: &'static str,
    /// A sentence.
    pub(crate) summary: &'static str,
}

impl Spec {
    /// Whether a request may have so many words.
    pub(crate) fn takes(&self, words: usize) -> bool {
        takes(self.arity, words)
    }
}

/// No word is a key.
const NONE: (i64, i64, i64) = (0, 0, 0);
/// The first word is the key.
const ONE: (i64, i64, i64) = (1, 1, 1);
/// All words are keys.
const ALL: (i64, i64, i64) = (1, -1, 1);
/// Every other word is a key.
const PAIRS: (i64, i64, i64) = (1, -1, 2);

macro_rules! commands {
    ($($command:ident $name:literal $arity:literal $flags:literal $keys:ident $group:literal $since:literal $summary:literal;)*) => {
        /// What a command does.
        #[expect(clippy::enum_variant_names, reason = "one of the commands is COMMAND")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Command {
            $(#[doc = $summary] $command,)*
        }

        /// All of them, by name.
        pub(crate) const COMMANDS: &[Spec] = &[
            $(Spec {
                command: Command::$command,
                name: $name,
                arity: $arity,
                flags: $flags,
                keys: $keys,
                group: $group,
                since: $since,
                summary: $summary,
            },)*
        ];
    };
}

commands! {
    Append "append" 3 "write fast" ONE "string" "2.0.0" "Appends to a value.";
    Auth "auth" -2 "fast" NONE "connection" "1.0.0" "Proves who uses the connection.";
    Client "client" -2 "" NONE "connection" "2.4.0" "Tells and sets what is known of the connection.";
    Command "command" -1 "" NONE "server" "2.8.13" "Describes the commands.";
    Config "config" -2 "" NONE "server" "2.0.0" "Tells settings.";
    DbSize "dbsize" 1 "readonly fast" NONE "server" "1.0.0" "Counts the keys of the database.";
    Decr "decr" 2 "write fast" ONE "string" "1.0.0" "Counts down by one.";
    DecrBy "decrby" 3 "write fast" ONE "string" "1.0.0" "Counts down.";
    Del "del" -2 "write" ALL "generic" "1.0.0" "Deletes keys.";
    Discard "discard" 1 "fast" NONE "transactions" "2.0.0" "Forgets the commands queued since MULTI.";
    Echo "echo" 2 "fast" NONE "connection" "1.0.0" "Answers what it is told.";
    Exec "exec" 1 "" NONE "transactions" "1.2.0" "Runs the commands queued since MULTI.";
    Exists "exists" -2 "readonly fast" ALL "generic" "1.0.0" "Counts which of the keys are there.";
    Expire "expire" -3 "write fast" ONE "generic" "1.0.0" "Sets a time to live in seconds.";
    ExpireAt "expireat" -3 "write fast" ONE "generic" "1.2.0" "Sets an expiry in seconds since the Unix epoch.";
    ExpireTime "expiretime" 2 "readonly fast" ONE "generic" "7.0.0" "Tells the expiry in seconds since the Unix epoch.";
    FlushDb "flushdb" -1 "write" NONE "server" "1.0.0" "Deletes every key of the database.";
    Get "get" 2 "readonly fast" ONE "string" "1.0.0" "Tells a value.";
    GetDel "getdel" 2 "write fast" ONE "string" "6.2.0" "Tells a value and deletes it.";
    GetEx "getex" -2 "write fast" ONE "string" "6.2.0" "Tells a value and changes its expiry.";
    GetRange "getrange" 4 "readonly" ONE "string" "2.4.0" "Tells a part of a value.";
    GetSet "getset" 3 "write fast" ONE "string" "1.0.0" "Sets a value and tells the one before.";
    Hello "hello" -1 "fast" NONE "connection" "6.0.0" "Agrees on the protocol.";
    Incr "incr" 2 "write fast" ONE "string" "1.0.0" "Counts up by one.";
    IncrBy "incrby" 3 "write fast" ONE "string" "1.0.0" "Counts up.";
    Info "info" -1 "" NONE "server" "1.0.0" "Tells about the peer.";
    Keys "keys" 2 "readonly" NONE "generic" "1.0.0" "Lists the keys that a pattern accepts.";
    MGet "mget" -2 "readonly fast" ALL "string" "1.0.0" "Tells several values of one moment.";
    MSet "mset" -3 "write" PAIRS "string" "1.0.1" "Sets several values at once.";
    MSetNx "msetnx" -3 "write" PAIRS "string" "1.0.1" "Sets several values at once, if none of the keys is there.";
    Multi "multi" 1 "fast" NONE "transactions" "1.2.0" "Queues the commands that follow.";
    Persist "persist" 2 "write fast" ONE "generic" "2.2.0" "Takes the expiry away.";
    PExpire "pexpire" -3 "write fast" ONE "generic" "2.6.0" "Sets a time to live in milliseconds.";
    PExpireAt "pexpireat" -3 "write fast" ONE "generic" "2.6.0" "Sets an expiry in milliseconds since the Unix epoch.";
    PExpireTime "pexpiretime" 2 "readonly fast" ONE "generic" "7.0.0" "Tells the expiry in milliseconds since the Unix epoch.";
    Ping "ping" -1 "fast" NONE "connection" "1.0.0" "Answers.";
    PSetEx "psetex" 4 "write" ONE "string" "2.6.0" "Sets a value with a time to live in milliseconds.";
    PSubscribe "psubscribe" -2 "pubsub" NONE "pubsub" "2.0.0" "Tells of changes to keys, by patterns.";
    PTtl "pttl" 2 "readonly fast" ONE "generic" "2.6.0" "Tells the time to live in milliseconds.";
    PUnsubscribe "punsubscribe" -1 "pubsub" NONE "pubsub" "2.0.0" "Ends subscriptions by pattern.";
    Quit "quit" -1 "fast" NONE "connection" "1.0.0" "Closes the connection.";
    RandomKey "randomkey" 1 "readonly" NONE "generic" "1.0.0" "Tells some key.";
    Reset "reset" 1 "fast" NONE "connection" "6.2.0" "Makes the connection as new.";
    Scan "scan" -2 "readonly" NONE "generic" "2.8.0" "Lists keys step by step.";
    Select "select" -2 "fast" NONE "connection" "1.0.0" "Selects a database by number or path, and a keyspace of it.";
    Set "set" -3 "write" ONE "string" "1.0.0" "Sets a value.";
    SetEx "setex" 4 "write" ONE "string" "2.0.0" "Sets a value with a time to live in seconds.";
    SetNx "setnx" 3 "write fast" ONE "string" "1.0.0" "Sets a value, if the key is not there.";
    SetRange "setrange" 4 "write" ONE "string" "2.2.0" "Overwrites a part of a value.";
    StrLen "strlen" 2 "readonly fast" ONE "string" "2.2.0" "Tells the length of a value.";
    Subscribe "subscribe" -2 "pubsub" NONE "pubsub" "2.0.0" "Tells of changes to keys.";
    Ttl "ttl" 2 "readonly fast" ONE "generic" "1.0.0" "Tells the time to live in seconds.";
    Type "type" 2 "readonly fast" ONE "generic" "1.0.0" "Tells whether a key is there.";
    Unlink "unlink" -2 "write fast" ALL "generic" "4.0.0" "Deletes keys, as DEL does.";
    Unsubscribe "unsubscribe" -1 "pubsub" NONE "pubsub" "2.0.0" "Ends subscriptions.";
    Unwatch "unwatch" 1 "fast" NONE "transactions" "2.2.0" "Watches no keys, as always.";
    Wait "wait" 3 "" NONE "generic" "3.0.0" "Waits until other holders have what this one has.";
    Watch "watch" -2 "fast" ALL "transactions" "2.2.0" "Is refused.";
}

/// The words that may stand behind a command which needs one, with how many words the whole has, as in
/// [`Spec::arity`].
const SUBCOMMANDS: &[(Command, &str, i64)] = &[
    (Command::Client, "getname", 2),
    (Command::Client, "help", 2),
    (Command::Client, "id", 2),
    (Command::Client, "info", 2),
    (Command::Client, "list", -2),
    (Command::Client, "no-evict", 3),
    (Command::Client, "no-touch", 3),
    (Command::Client, "setinfo", 4),
    (Command::Client, "setname", 3),
    (Command::Command, "count", 2),
    (Command::Command, "docs", -2),
    (Command::Command, "help", 2),
    (Command::Command, "info", -2),
    (Command::Command, "list", -2),
    (Command::Config, "get", -3),
    (Command::Config, "help", 2),
];

/// Answers with the words that may stand behind a command, as its `HELP` does.
pub(crate) fn help(command: Command, out: &mut Output) {
    let words = SUBCOMMANDS.iter().filter(|(of, ..)| *of == command);
    let lines: Vec<String> = words.map(|(_, name, _)| name.to_uppercase()).collect();
    out.array(lines.len() + 1);
    let name = format!("{command:?}").to_uppercase();
    out.simple(&format!("{name} <subcommand> [<arg> ...]. Subcommands are:"));
    for line in lines {
        out.simple(&line);
    }
}

/// Whether so many words are right for a command with this second one.
///
/// # Errors
/// When there is no such second word, or the number of words is wrong.
pub(crate) fn check(spec: &Spec, second: &[u8], words: usize) -> Result<(), Refusal> {
    if !spec.takes(words) {
        return Err(wrong_number(spec.name));
    }
    let container = matches!(spec.command, Command::Client | Command::Command | Command::Config);
    if !container || words == 1 {
        return Ok(());
    }
    let found = SUBCOMMANDS.iter().find(|(command, name, _)| {
        *command == spec.command && second.eq_ignore_ascii_case(name.as_bytes())
    });
    let Some((_, name, arity)) = found else {
        let (word, help) = (shown(second), spec.name.to_uppercase());
        return Err(format!("ERR unknown subcommand '{word}'. Try {help} HELP.").into());
    };
    if takes(*arity, words) { Ok(()) } else { Err(wrong_number(&format!("{}|{name}", spec.name))) }
}

/// The answer where the number of words is wrong.
pub(crate) fn wrong_number(name: &str) -> Refusal {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

fn takes(arity: i64, words: usize) -> bool {
    let words = words as i64;
    if arity < 0 { words >= -arity } else { words == arity }
}

/// Finds a command by its name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0_u8; NAME_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let found = COMMANDS.binary_search_by(|spec| spec.name.as_bytes().cmp(lower));
    found.ok().and_then(|at| COMMANDS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name() {
        for spec in COMMANDS {
            for name in [spec.name.to_owned(), spec.name.to_uppercase()] {
                let found = find(name.as_bytes()).map(|found| found.command);
                assert_eq!(found, Some(spec.command), "{name}");
            }
            assert!(spec.name.len() <= NAME_MAX && spec.summary.ends_with('.'), "{spec:?}");
        }
        assert!(COMMANDS.is_sorted_by_key(|spec| spec.name));
        for name in ["", "ge", "gett", "zadd", "averylongnameofnothing"] {
            assert!(find(name.as_bytes()).is_none(), "{name}");
        }
    }

    /// The document has a row for each of them.
    #[test]
    fn every_command_is_in_the_document() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
        let text = std::fs::read_to_string(file).unwrap();
        let (_, table) = text.split_once("## Commands").unwrap();
        let table = table.split("\n## ").next().unwrap();
        for spec in COMMANDS {
            let name = format!("`{}`", spec.name.to_uppercase());
            let rows = table.lines().filter_map(|line| line.split('|').nth(1));
            assert_eq!(rows.filter(|row| row.contains(&name)).count(), 1, "{name}");
        }
    }

    #[test]
    fn words_are_counted_with_the_name() {
        let takes = |name: &[u8], words| find(name).unwrap().takes(words);
        assert!(takes(b"get", 2) && !takes(b"get", 1) && !takes(b"get", 3));
        assert!(takes(b"set", 3) && takes(b"set", 7) && !takes(b"set", 2));
    }
}
