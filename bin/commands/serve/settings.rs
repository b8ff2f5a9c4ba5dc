//! Settings of `serve`: flags over environment over the config file.

use std::path::PathBuf;
use std::time::Duration;

use super::file::{ConfigFile, parse};
use crate::exit::Failure;
use clap::Args;

/// Runs a peer.
///
/// Every setting can also stand in the environment (`TIDINGS_DATA`, …) and in the config file, under
/// the same name; a flag wins over the environment, and the environment over the file.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The data directory, which only one process uses at a time.
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA")]
    data: Option<PathBuf>,
    /// A TOML file with these settings.
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,
    /// A name for people; the default is the end of the peer id.
    #[arg(long, env = "TIDINGS_NAME")]
    name: Option<String>,
    /// An address to listen on for other peers, such as /ip4/0.0.0.0/udp/7001/quic-v1; repeatable.
    #[arg(long, value_name = "MULTIADDR", env = "TIDINGS_LISTEN", value_delimiter = ',')]
    listen: Vec<String>,
    /// The address of a peer to connect to; repeatable.
    #[arg(long, value_name = "MULTIADDR", env = "TIDINGS_PEER", value_delimiter = ',')]
    peer: Vec<String>,
    /// Do not look for peers on the local network.
    #[arg(
        long,
        env = "TIDINGS_NO_MDNS",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    no_mdns: Option<bool>,
    /// The cluster secret: a file that only its owner can read. Without one the peer stays on loopback.
    #[arg(long, value_name = "FILE", env = "TIDINGS_SECRET_FILE")]
    secret_file: Option<PathBuf>,
    /// Definitions to apply at the start, in YAML.
    #[arg(long, value_name = "FILE", env = "TIDINGS_DEFINITIONS")]
    definitions: Option<PathBuf>,
    /// Serve the Redis protocol here, such as 127.0.0.1:7379; port 0 picks a free one. Not served without.
    #[arg(long, value_name = "ADDR", env = "TIDINGS_REDIS")]
    redis: Option<String>,
    /// The path of the database of a new Redis connection, which is number 0; the default is redis/0.
    #[arg(long, value_name = "PATH", env = "TIDINGS_REDIS_DATABASE")]
    redis_database: Option<String>,
    /// The tokens that the HTTP door and the Redis door ask for: the file that `tidings token` keeps.
    /// Without one they ask for none and stay on loopback.
    #[arg(long, value_name = "FILE", env = "TIDINGS_TOKENS")]
    tokens: Option<PathBuf>,
    /// This peer's share of the databases relative to other peers.
    #[arg(long, env = "TIDINGS_WEIGHT")]
    weight: Option<f64>,
    /// The failure domain: copies are spread over zones.
    #[arg(long, env = "TIDINGS_ZONE")]
    zone: Option<String>,
    /// How long a delete is remembered at least, such as 3d, which is the default.
    #[arg(long, value_name = "TIME", env = "TIDINGS_TOMBSTONE_GRACE")]
    tombstone_grace: Option<String>,
    /// How long a holder may be away before deletes are no longer kept for it; the default is 7d.
    #[arg(long, value_name = "TIME", env = "TIDINGS_HOLDER_TTL")]
    holder_ttl: Option<String>,
    /// How long a peer must have been there before it is handed copies that it is preferred for; the
    /// default is 10m, and 0s means never.
    #[arg(long, value_name = "TIME", env = "TIDINGS_REBALANCE_DELAY")]
    rebalance_delay: Option<String>,
    /// Memory for rows written and read lately, such as 32MiB; the default is 128MiB.
    #[arg(long, value_name = "SIZE", env = "TIDINGS_CACHE_SIZE")]
    cache_size: Option<String>,
    /// Where to write, once the peer serves, who it is and where it listens, as JSON.
    #[arg(long, value_name = "FILE", env = "TIDINGS_READY_FILE")]
    ready_file: Option<PathBuf>,
    /// Stop when standard input closes, for a peer that shall not outlive its parent.
    #[arg(long, hide = true)]
    pub(super) until_stdin_closes: bool,
}

/// The settings that hold.
#[derive(Debug)]
pub(in crate::commands) struct Settings {
    pub(in crate::commands) data: PathBuf,
    pub(in crate::commands) name: Option<String>,
    pub(in crate::commands) listen: Vec<String>,
    pub(in crate::commands) peer: Vec<String>,
    pub(in crate::commands) no_mdns: bool,
    pub(in crate::commands) secret_file: Option<PathBuf>,
    pub(in crate::commands) definitions: Option<PathBuf>,
    pub(in crate::commands) http: Option<String>,
    pub(in crate::commands) redis: Option<String>,
    pub(in crate::commands) redis_database: Option<String>,
    pub(in crate::commands) tokens: Option<PathBuf>,
    pub(in crate::commands) weight: Option<f64>,
    pub(in crate::commands) zone: Option<String>,
    pub(in crate::commands) tombstone_grace: Option<Duration>,
    pub(in crate::commands) holder_ttl: Option<Duration>,
    pub(in crate::commands) rebalance_delay: Option<Duration>,
    pub(in crate::commands) cache_size: Option<u64>,
    pub(in crate::commands) ready_file: Option<PathBuf>,
}

impl Serve {
    /// Fills what flags and environment leave open from the config file, and checks the whole.
    pub(super) fn merge(self, http: Option<String>) -> Result<Settings, Failure> {
        let settings = self.merge_any(http)?;
        if settings.data.as_os_str().is_empty() {
            return Err(Failure::usage(
                "serve needs a data directory: --data DIR, TIDINGS_DATA, or data = \"DIR\" in the config file",
            ));
        }
        Ok(settings)
    }

    /// The same for who can do without a data directory: its path is empty where none is named.
    pub(in crate::commands) fn merge_any(self, http: Option<String>) -> Result<Settings, Failure> {
        let file = match &self.config {
            None => ConfigFile::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::file("config file", path, &error))?;
                parse(&text).map_err(|why| {
                    Failure::usage(format!("the config file {} is refused: {why}", path.display()))
                })?
            }
        };
        let redis = self.redis.or(file.redis);
        let redis_database = self.redis_database.or(file.redis_database);
        if let Some(path) = &redis_database {
            tidings_core::name::Path::new(path)
                .map_err(|error| Failure::usage(format!("redis-database: {error}")))?;
            if redis.is_none() {
                return Err(Failure::usage(format!(
                    "redis-database is {path:?} and the Redis protocol is not served: give an address with --redis, or leave it out"
                )));
            }
        }
        Ok(Settings {
            data: self.data.or(file.data).unwrap_or_default(),
            name: self.name.or(file.name),
            listen: if self.listen.is_empty() { file.listen } else { self.listen },
            peer: if self.peer.is_empty() { file.peer } else { self.peer },
            no_mdns: self.no_mdns.or(file.no_mdns).unwrap_or(false),
            secret_file: self.secret_file.or(file.secret_file),
            definitions: self.definitions.or(file.definitions),
            http: http.or(file.http),
            redis,
            redis_database,
            tokens: self.tokens.or(file.tokens),
            weight: self.weight.or(file.weight),
            zone: self.zone.or(file.zone),
            tombstone_grace: time(
                "tombstone-grace",
                self.tombstone_grace.or(file.tombstone_grace),
            )?,
            holder_ttl: time("holder-ttl", self.holder_ttl.or(file.holder_ttl))?,
            rebalance_delay: time(
                "rebalance-delay",
                self.rebalance_delay.or(file.rebalance_delay),
            )?,
            cache_size: size("cache-size", self.cache_size.or(file.cache_size))?,
            ready_file: self.ready_file.or(file.ready_file),
        })
    }
}

fn time(name: &str, text: Option<String>) -> Result<Option<Duration>, Failure> {
    text.map(|text| tidings_gateway::duration::parse(&text))
        .transpose()
        .map_err(|why| Failure::usage(format!("{name}: {why}")))
}

fn size(name: &str, text: Option<String>) -> Result<Option<u64>, Failure> {
    let read = |text: String| {
        tidings_gateway::size::parse(&text)
            .map_err(|why| Failure::usage(format!("{name}: {text:?} is not a size: {why}")))
    };
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: Serve,
    }

    fn merged(arguments: &[&str], config: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidings.toml");
        std::fs::write(&file, config).unwrap();
        let file = file.display().to_string();
        let line = ["tidings", "--config", &file].into_iter().chain(arguments.iter().copied());
        let serve = Line::try_parse_from(line).map_err(|error| error.to_string())?.serve;
        serve.merge(None).map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn flags_win_over_the_file() {
        let config =
            "data = '/d'\nname = 'file'\nlisten = ['/a', '/b']\nno-mdns = true\nweight = 2.0";
        let settings = merged(&["--name", "flag", "--no-mdns=false"], config).unwrap();
        assert_eq!(settings.data, PathBuf::from("/d"));
        assert_eq!(settings.name.as_deref(), Some("flag"));
        assert_eq!(settings.listen, ["/a", "/b"]);
        assert!(!settings.no_mdns);
        let settings = merged(&["--listen", "/c", "--no-mdns", "--data", "/e"], config).unwrap();
        assert_eq!((settings.listen, settings.no_mdns), (vec!["/c".to_owned()], true));
        assert_eq!(settings.data, PathBuf::from("/e"));
    }

    #[test]
    fn mistakes_in_the_file_are_told_with_their_line() {
        let error = merged(&[], "data = '/d'\n\nsecret = 'x'\n").unwrap_err();
        assert!(error.contains("line 3, column 1: unknown field `secret`"), "{error}");
        let error = merged(&[], "data = 7").unwrap_err();
        assert!(error.contains("line 1, column 8"), "{error}");
        let error = merged(&[], "data = '/d'\nredis-database = 'cache'").unwrap_err();
        assert!(error.contains("give an address with --redis"), "{error}");
        let error = merged(&["--cache-size", "many"], "data = '/d'").unwrap_err();
        assert!(error.contains("cache-size: \"many\" is not a size: write bytes"), "{error}");
        let settings = merged(&[], "data = '/d'\ncache-size = '32MiB'").unwrap();
        assert_eq!(settings.cache_size, Some(32 << 20));
        let error = merged(&["--redis-database", ""], "data = '/d'\nredis = ':0'").unwrap_err();
        assert!(error.contains("redis-database: the path"), "{error}");
        assert!(merged(&[], "").unwrap_err().contains("needs a data directory"));
    }
}
