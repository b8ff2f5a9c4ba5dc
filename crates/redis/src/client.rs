//! Commands about the connection itself.

use crate::access;
use crate::command::{self, Command, wrong_number};
use crate::number;
use crate::parser::Arguments;
use crate::refusal::{Answer, Refusal, SYNTAX, shown};
use crate::reply::{Output, Protocol};
use crate::server_info::REDIS_VERSION;
use crate::session::Session;
use crate::subscriptions;

/// Longest name of a client or of its library, in bytes.
const NAME_MAX: usize = 256;

/// `SELECT number` or `SELECT path`, and `KEYSPACE name` behind either. The keyspace is a word of its own,
/// since a path may have nearly any character.
pub(crate) async fn select(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let mut selected = subscriptions::named(session, arguments.at(1))?;
    match arguments.len() {
        2 => {}
        4 if arguments.at(2).eq_ignore_ascii_case(b"keyspace") => {
            let name = std::str::from_utf8(arguments.at(3));
            let name = name.map_err(|_| Refusal::new("ERR the name of a keyspace is UTF-8"))?;
            selected.keyspace = name.to_owned();
        }
        _ => return Err(SYNTAX),
    }
    session.access.may_read("select", &selected.path)?;
    session.select(selected).await?;
    out.ok();
    Ok(())
}

/// `PING [text]`.
pub(crate) fn ping(session: &Session, arguments: Arguments<'_>, out: &mut Output) -> Answer {
    if arguments.len() > 2 {
        return Err(wrong_number("ping"));
    }
    if subscriptions::is_listening(session, out) {
        out.array(2);
        out.bulk(b"pong");
        out.bulk(arguments.at(1));
    } else if arguments.len() == 2 {
        out.bulk(arguments.at(1));
    } else {
        out.simple("PONG");
    }
    Ok(())
}

/// `AUTH [user] password`.
pub(crate) fn auth(session: &mut Session, arguments: Arguments<'_>, out: &mut Output) -> Answer {
    match arguments.len() {
        2 => access::authenticate(session, None, arguments.at(1))?,
        3 => access::authenticate(session, Some(arguments.at(1)), arguments.at(2))?,
        _ => return Err(SYNTAX),
    }
    out.ok();
    Ok(())
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`.
pub(crate) fn hello(session: &mut Session, arguments: Arguments<'_>, out: &mut Output) -> Answer {
    let mut protocol = out.protocol();
    if arguments.len() > 1 {
        let version = number::parse(arguments.at(1))
            .ok_or(Refusal::new("ERR Protocol version is not an integer or out of range"))?;
        protocol = match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Refusal::new("NOPROTO unsupported protocol version")),
        };
    }
    let mut name = None;
    let mut at = 2;
    while at < arguments.len() {
        let left = arguments.len() - at - 1;
        match arguments.at(at).to_ascii_lowercase().as_slice() {
            b"auth" if left >= 2 => {
                let (user, token) = (arguments.at(at + 1), arguments.at(at + 2));
                access::authenticate(session, Some(user), token)?;
                at += 3;
            }
            b"setname" if left >= 1 => {
                name = Some(client_name(arguments.at(at + 1))?);
                at += 2;
            }
            _ => {
                let option = shown(arguments.at(at));
                return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
            }
        }
    }
    session.access.may_greet()?;
    if let Some(name) = name {
        session.name = name;
    }
    out.speak(protocol);
    out.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.integer(session.id as i64);
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

/// `CLIENT` and what stands behind it.
pub(crate) fn client(session: &mut Session, arguments: Arguments<'_>, out: &mut Output) -> Answer {
    let word = arguments.at(1).to_ascii_lowercase();
    match word.as_slice() {
        b"id" => out.integer(session.id as i64),
        b"getname" => {
            let name = session.name.as_bytes();
            out.value(Some(name).filter(|name| !name.is_empty()));
        }
        b"setname" => {
            session.name = client_name(arguments.at(2))?;
            out.ok();
        }
        b"setinfo" => {
            set_library(session, arguments)?;
            out.ok();
        }
        b"help" => command::help(Command::Client, out),
        b"info" => out.verbatim(&about(session, "client|info", out.protocol())),
        b"list" => {
            let listed = is_listed(session, arguments.from(2))?;
            let about = listed.then(|| about(session, "client|list", out.protocol()));
            out.verbatim(&about.unwrap_or_default());
        }
        // `NO-EVICT` and `NO-TOUCH`: nothing is evicted here, and nothing counts reads.
        _ => {
            let word = arguments.at(2);
            if !(word.eq_ignore_ascii_case(b"on") || word.eq_ignore_ascii_case(b"off")) {
                return Err(SYNTAX);
            }
            out.ok();
        }
    }
    Ok(())
}

fn client_name(name: &[u8]) -> Result<String, Refusal> {
    words_of(name).ok_or(Refusal::new(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// Text that may stand in a list of clients: no blanks, nothing that is not seen, not too long.
fn words_of(name: &[u8]) -> Option<String> {
    let fine = name.len() <= NAME_MAX && name.iter().all(u8::is_ascii_graphic);
    fine.then(|| String::from_utf8_lossy(name).into_owned())
}

fn set_library(session: &mut Session, arguments: Arguments<'_>) -> Answer {
    let option = arguments.at(2).to_ascii_lowercase();
    let place = match option.as_slice() {
        b"lib-name" => &mut session.library[0],
        b"lib-ver" => &mut session.library[1],
        _ => {
            return Err(format!("ERR Unrecognized option '{}'", shown(arguments.at(2))).into());
        }
    };
    *place = words_of(arguments.at(3)).ok_or_else(|| {
        let option = String::from_utf8_lossy(&option);
        format!("ERR {option} cannot contain spaces, newlines or special characters.")
    })?;
    Ok(())
}

/// Whether `CLIENT LIST [TYPE type | ID id …]` is about this connection, which is the only one that it
/// tells of.
fn is_listed(session: &Session, options: Arguments<'_>) -> Result<bool, Refusal> {
    if options.len() == 0 {
        return Ok(true);
    }
    if options.len() == 2 && options.at(0).eq_ignore_ascii_case(b"type") {
        let kind = options.at(1).to_ascii_lowercase();
        let listens = session.subscriptions.count() > 0;
        return match kind.as_slice() {
            b"normal" => Ok(!listens),
            b"pubsub" => Ok(listens),
            b"master" | b"replica" | b"slave" => Ok(false),
            _ => Err(format!("ERR Unknown client type '{}'", shown(options.at(1))).into()),
        };
    }
    if options.len() < 2 || !options.at(0).eq_ignore_ascii_case(b"id") {
        return Err(SYNTAX);
    }
    let mut listed = false;
    for word in options.from(1).iter() {
        let id = number::parse(word).filter(|id| *id > 0);
        listed |= id.ok_or(Refusal::new("ERR Invalid client ID"))? == session.id as i64;
    }
    Ok(listed)
}

/// Text that clients which take a line apart at blanks and equals signs leave whole.
fn escaped(text: &str) -> String {
    let text = text.replace('%', "%25").replace(' ', "%20").replace('=', "%3D");
    text.escape_debug().to_string()
}

/// One line about the connection, with every field that clients look for; 0 where nothing is counted.
fn about(session: &Session, command: &str, protocol: Protocol) -> String {
    let (channels, patterns) = session.subscriptions.counts();
    let queued = session.transaction.as_ref().map_or(-1, |queued| queued.len() as i64);
    let number: i64 = session.selected.label.parse().unwrap_or(-1);
    let flags = if channels + patterns > 0 { "P" } else { "N" };
    format!(
        "id={} addr={} laddr={} fd=-1 name={} age={} idle=0 flags={flags} db={number} sub={channels} psub={patterns} ssub=0 multi={queued} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={command} user={} redir=-1 resp={} lib-name={} lib-ver={} keyspace={} path={}\n",
        session.id,
        session.client,
        session.local,
        session.name,
        session.born.elapsed().as_secs(),
        session.held(),
        session.access.user(),
        if protocol == Protocol::Resp3 { 3 } else { 2 },
        session.library[0],
        session.library[1],
        escaped(&session.selected.keyspace),
        escaped(&session.selected.path),
    )
}
