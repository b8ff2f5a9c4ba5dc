//! The commands, one per file, and what they share.

mod apply;
mod asking;
mod backup;
mod batch;
mod bench;
mod completions;
mod databases;
mod definitions;
mod delete;
mod demo;
mod doctor;
mod drain;
mod drop;
mod expire;
mod export;
mod get;
mod import;
mod incr;
mod keyspaces;
mod list;
mod man;
mod peers;
mod persist;
mod put;
mod restore;
mod scan;
mod serve;
mod shell;
mod simulate;
mod status;
mod sync;
mod token;
mod ttl;
mod usage;
mod watch;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use tidings::Durability;
use tidings::filter::Pattern;
use tidings::store::private;
use tidings_core::stamp::{BadVersion, Version};
use tidings_gateway::acknowledge::{self, Acks};
use tidings_gateway::client::Write;
use tidings_gateway::{Client, duration};
use tidings_tokens::TOKEN_MAX;

use crate::exit::{Code, Failure};
use crate::output::{self, Format};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<serve::Serve>),
    Demo(demo::Demo),
    Bench(bench::Bench),
    Get(get::Get),
    Put(put::Put),
    Delete(delete::Delete),
    Incr(incr::Incr),
    Expire(expire::Expire),
    Persist(persist::Persist),
    Ttl(ttl::Ttl),
    List(list::List),
    Keyspaces(keyspaces::Keyspaces),
    Scan(scan::Scan),
    Batch(batch::Batch),
    Watch(watch::Watch),
    Apply(apply::Apply),
    Definitions(definitions::Definitions),
    Databases(databases::Databases),
    Status(status::Status),
    Usage(usage::Usage),
    Peers(peers::Peers),
    Doctor(Box<doctor::Doctor>),
    Sync(sync::Sync),
    Drain(drain::Drain),
    Drop(drop::Drop),
    Import(import::Import),
    Export(export::Export),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Token(token::Token),
    Shell(shell::Shell),
    Simulate(simulate::Simulate),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Serve(command) => command.run(context).await,
            Self::Demo(command) => command.run().await,
            Self::Bench(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Put(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::Incr(command) => command.run(context).await,
            Self::Expire(command) => command.run(context).await,
            Self::Persist(command) => command.run(context).await,
            Self::Ttl(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Keyspaces(command) => command.run(context).await,
            Self::Scan(command) => command.run(context).await,
            Self::Batch(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Apply(command) => command.run(context).await,
            Self::Definitions(command) => command.run(context).await,
            Self::Databases(command) => command.run(context).await,
            Self::Status(command) => command.run(context).await,
            Self::Usage(command) => command.run(context).await,
            Self::Peers(command) => command.run(context).await,
            Self::Doctor(command) => command.run(context).await,
            Self::Drain(command) => command.run(context).await,
            Self::Drop(command) => command.run(context).await,
            Self::Sync(command) => command.run(context).await,
            Self::Import(command) => command.run(context).await,
            Self::Export(command) => command.run(context).await,
            Self::Backup(command) => command.run(context).await,
            Self::Restore(command) => command.run(context).await,
            Self::Token(command) => command.run(context),
            Self::Shell(command) => command.run(context).await,
            Self::Simulate(command) => command.run(context).await,
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}

/// What every command is told.
#[derive(Debug)]
pub(crate) struct Context {
    /// `--http`, if given.
    pub(crate) http: Option<String>,
    /// `--token`, if given.
    pub(crate) token: Option<String>,
    /// `--token-file`, if given.
    pub(crate) token_file: Option<PathBuf>,
    /// `--output`, if given.
    pub(crate) output: Option<Format>,
}

/// Where a peer listens, and is looked for, when nothing else is said.
pub(crate) const DEFAULT_HTTP: &str = "127.0.0.1:7380";

impl Context {
    /// A client of the peer that the command shall talk to.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_of(self.http.as_deref().unwrap_or(DEFAULT_HTTP))
    }

    /// The same client, for the keys of a keyspace.
    pub(crate) fn client_in(&self, keyspace: Keyspace) -> Result<Client, Failure> {
        Ok(self.client()?.with_keyspace(keyspace.keyspace.unwrap_or_default()))
    }

    /// A client of the peer at an address.
    fn client_of(&self, http: &str) -> Result<Client, Failure> {
        let client = Client::new(http)?;
        match self.token()? {
            Some(token) => Ok(client.with_token(&token)?),
            None => Ok(client),
        }
    }

    /// The token: what the command line says, or else the environment, of which `TIDINGS_TOKEN` counts first.
    fn token(&self) -> Result<Option<String>, Failure> {
        let of_environment = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(token) = &self.token {
            return Ok(Some(token.clone()));
        }
        if let Some(file) = &self.token_file {
            return read_token(file).map(Some);
        }
        if let Some(token) = of_environment("TIDINGS_TOKEN") {
            let token = token.into_string();
            return token
                .map(Some)
                .map_err(|_| Failure::usage("TIDINGS_TOKEN is not a token: it is not Unicode"));
        }
        of_environment("TIDINGS_TOKEN_FILE").map(|file| read_token(Path::new(&file))).transpose()
    }

    /// The format, with what the command prints unless told otherwise.
    pub(crate) fn format(&self, default: Format) -> Format {
        self.output.unwrap_or(default)
    }

    /// The format of a command that has no raw bytes to print.
    pub(crate) fn format_of_documents(&self) -> Result<Format, Failure> {
        match self.format(Format::Table) {
            Format::Raw => Err(Failure::usage(
                "this command has no raw form: use -o table, -o json or -o jsonl",
            )),
            format => Ok(format),
        }
    }
}

/// Reads a token from a file that only its owner can read, without the line end that editors leave.
fn read_token(file: &Path) -> Result<String, Failure> {
    let denied = |why: &dyn std::fmt::Display| {
        Failure::new(Code::Denied, format!("the token file {} is not used: {why}", file.display()))
    };
    let bytes = private::read(file, TOKEN_MAX + 2).map_err(|error| denied(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| denied(&"it is not a token"))?;
    Ok(text.trim_end().to_owned())
}

/// How a write is acknowledged.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WriteArguments {
    /// How many holders must have it, this peer included: a number, or `min` of the definition.
    #[arg(long, value_name = "N|min")]
    acks: Option<Acks>,
    /// What must have it: `buffered` (the operating system) or `synced` (the disk).
    #[arg(long, value_name = "D", value_parser = acknowledge::durability)]
    durability: Option<Durability>,
    /// How long to wait for the acknowledgements, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

impl WriteArguments {
    pub(crate) fn write(&self, ttl: Option<Duration>) -> Write {
        Write {
            durability: self.durability,
            acks: self.acks,
            timeout: self.timeout,
            ttl,
            expires: None,
            if_absent: false,
            if_version: None,
        }
    }
}

/// Which keys of the database are meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Keyspace {
    /// The keyspace of the keys, a namespace of its own in the database; the default one has no name.
    #[arg(long, value_name = "NAME")]
    keyspace: Option<String>,
}

impl Keyspace {
    /// Whether it is any but the default one.
    pub(crate) fn is_named(&self) -> bool {
        self.keyspace.as_ref().is_some_and(|name| !name.is_empty())
    }
}

/// What follows the name of the database in a sentence.
impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keyspace {
            Some(name) if !name.is_empty() => write!(f, " in the keyspace {name:?}"),
            _ => Ok(()),
        }
    }
}

/// Which keys are wanted, beside those of a prefix or a range.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Matching {
    /// Only keys that this glob matches as a whole: `*` is one or more bytes but `/`, `**` of any kind.
    #[arg(long, value_name = "GLOB", conflicts_with = "regex")]
    glob: Option<String>,
    /// Only keys that this regular expression matches as a whole.
    #[arg(long, value_name = "REGEX")]
    regex: Option<String>,
}

impl Matching {
    pub(crate) fn filter(self) -> Option<Pattern> {
        self.glob.map(Pattern::Glob).or(self.regex.map(Pattern::Regex))
    }
}

/// What a command ends with that wants a key to be there.
pub(crate) fn absent(path: &str, key: &[u8]) -> Failure {
    let key = output::shown(key);
    Failure::new(Code::NotFound, format!("the key {key:?} is not in the database {path:?}"))
}

/// Reads a version, which may stand in quotes as it does in an `ETag`.
pub(crate) fn version(text: &str) -> Result<Version, BadVersion> {
    text.trim_matches('"').parse()
}

/// An argument as bytes: those of the command line, which on Unix can be any but zero, or what they
/// say in base64.
pub(crate) fn bytes_of(argument: &OsString, base64: bool) -> Result<Vec<u8>, Failure> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(argument.as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = argument
        .to_str()
        .ok_or_else(|| Failure::usage("an argument is not Unicode; use --base64"))?
        .as_bytes()
        .to_vec();
    if !base64 {
        return Ok(bytes);
    }
    data_encoding::BASE64.decode(&bytes).map_err(|error| {
        let shown = String::from_utf8_lossy(&bytes);
        Failure::usage(format!("{shown:?} is not standard base64 with padding: {error}"))
    })
}

/// Everything that a file, or standard input for `-`, has, up to a bound.
pub(crate) fn read_whole(path: &Path, bound: usize, what: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::file(what, path, &error);
    let mut bytes = Vec::new();
    let limit = bound as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() > bound {
        return Err(Failure::usage(format!(
            "the {what} {} has more than {bound} bytes, the most it can have",
            path.display()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_bytes_or_base64() {
        assert_eq!(bytes_of(&"aé".into(), false).unwrap(), "aé".as_bytes());
        assert_eq!(bytes_of(&"/wA=".into(), true).unwrap(), [0xff, 0]);
        assert!(bytes_of(&"/wA".into(), true).unwrap_err().message().contains("base64"));
    }
}
