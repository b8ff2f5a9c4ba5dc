//! `tidings serve`: a peer with its HTTP door, and its Redis door if wanted, from start to a clean stop.

mod file;
mod settings;

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidings::Peer;
use tidings::store::private;
use tidings_gateway::Gateway;
use tidings_redis::RedisDoor;
use tidings_tokens::{LiveTokens, TokenFile};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{Context, DEFAULT_HTTP, apply};
use crate::exit::{Code, Failure};
use crate::signals;

pub(crate) use settings::Serve;
pub(super) use settings::Settings;

/// What is logged unless `TIDINGS_LOG` says otherwise: the peer's own words, and of the libraries below
/// it only what somebody should look at.
const DEFAULT_LOG: &str = "warn,tidings=info,tidings_core=info,tidings_gateway=info,tidings_redis=info,tidings_tokens=info";
/// Longest secret: nobody needs more, and a wrong file name shall not read a whole disk.
const SECRET_MAX: usize = 4096;
/// Shortest secret that the library takes.
const SECRET_MIN: usize = 16;
/// How long a clean stop may take before the process gives up on it, loudly.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

impl Serve {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let until_stdin_closes = self.until_stdin_closes;
        let settings = self.merge(context.http.clone())?;
        log_to_stderr()?;
        if let Some(file) = &settings.ready_file {
            // One left by an earlier start would say that this one serves.
            let _ = std::fs::remove_file(file);
        }
        let http = settings.http.as_deref().unwrap_or(DEFAULT_HTTP);
        // The doors are bound first: a port in use is found before the data directory is touched.
        let tokens = match &settings.tokens {
            None => None,
            Some(file) => Some(Arc::new(LiveTokens::open(TokenFile::new(file))?)),
        };
        let gateway = Gateway::bind(address_of(http), tokens.clone()).await?;
        let redis = redis_door(&settings, tokens.clone()).await?;
        let gateway = match redis.as_ref().map(RedisDoor::metrics) {
            Some(metrics) => gateway.metrics_beside(move |text| metrics.write(text)),
            None => gateway,
        };
        let peer = start(&settings).await?;
        let door = gateway.address().to_string();
        if let Some(file) = &settings.ready_file {
            let mut ready = json!({
                "peer": peer.id(),
                "pid": std::process::id(),
                "listen": peer.listen_addresses(),
                "http": door,
            });
            if let Some(redis) = &redis {
                ready["redis"] = json!(redis.address().to_string());
            }
            write_whole(file, ready.to_string().as_bytes())
                .map_err(|error| Failure::file("ready file", file, &error))?;
        }
        tracing::info!(peer = peer.id(), http = door, "serving");
        let stop = signals::stop(until_stdin_closes)
            .map_err(|error| Failure::internal(format!("no signals can be heard: {error}")))?;
        warn_if_open("HTTP", gateway.address());
        if let Some(redis) = &redis {
            warn_if_open("Redis", redis.address());
        }
        let followed = tokens.map(|tokens| tokio::spawn(tokens.follow()));
        let result = serve(peer, Doors { gateway, redis }, stop, &settings.data).await;
        if let Some(followed) = followed {
            followed.abort();
        }
        if let Some(file) = &settings.ready_file {
            let _ = std::fs::remove_file(file);
        }
        result
    }
}

/// What clients come through.
struct Doors {
    gateway: Gateway,
    redis: Option<RedisDoor>,
}

async fn redis_door(
    settings: &Settings,
    tokens: Option<Arc<LiveTokens>>,
) -> Result<Option<RedisDoor>, Failure> {
    let Some(address) = &settings.redis else { return Ok(None) };
    let door = RedisDoor::bind(address, tokens).await?;
    tracing::info!(redis = door.address().to_string(), "the Redis protocol is served");
    Ok(Some(match &settings.redis_database {
        Some(path) => door.database(path),
        None => door,
    }))
}

/// Says so where others than this machine may reach a door.
fn warn_if_open(door: &str, address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(
            "the {door} door is open to other machines and not encrypted: whoever reads the network reads tokens and \
             values; put a proxy that speaks TLS before it, or a network that encrypts"
        );
    }
}

/// Serves until told to stop or until the peer's storage fails.
async fn serve(
    peer: Peer,
    doors: Doors,
    stop: impl Future<Output = &'static str>,
    data: &std::path::Path,
) -> Result<(), Failure> {
    let (closing, closed) = watch::channel(false);
    let until_closed = || {
        let mut closed = closed.clone();
        async move {
            // The sender lives until the doors are closed, so an error means the same.
            let _ = closed.wait_for(|closing| *closing).await;
        }
    };
    let Doors { gateway, redis } = doors;
    let http = tokio::spawn(gateway.serve(peer.clone(), until_closed()));
    let redis = redis.map(|redis| tokio::spawn(redis.serve(peer.clone(), until_closed())));
    let told = tokio::spawn({
        let peer = peer.clone();
        async move {
            while let Some(event) = peer.next_event().await {
                if event.alarm {
                    tracing::warn!("{}", event.text);
                } else {
                    tracing::info!("{}", event.text);
                }
            }
        }
    });
    let failure = tokio::select! {
        why = stop => {
            tracing::info!("stopping: {why}");
            None
        }
        error = peer.failed() => Some(error),
    };
    let _ = closing.send(true);
    let _ = http.await;
    if let Some(redis) = redis {
        let _ = redis.await;
    }
    told.abort();
    if let Some(error) = failure {
        tracing::error!(%error, "the peer failed and stops");
        return Err(Failure::internal(format!(
            "the peer failed and stopped: {error}; look after the disk of its data directory {}, then start it again: \
             what was acknowledged is there, as far as its durability says",
            data.display()
        )));
    }
    let stopped = tokio::time::timeout(STOP_TIMEOUT, peer.shutdown()).await;
    match stopped {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::internal(format!(
            "the peer did not stop within {} s; what was acknowledged as synced is on disk",
            STOP_TIMEOUT.as_secs()
        ))),
    }
}

async fn start(settings: &Settings) -> Result<Peer, Failure> {
    let mut builder = Peer::builder(&settings.data).mdns(!settings.no_mdns);
    for address in &settings.listen {
        builder = builder.listen(address);
    }
    for address in &settings.peer {
        builder = builder.bootstrap(address);
    }
    if let Some(name) = &settings.name {
        builder = builder.name(name);
    }
    if let Some(zone) = &settings.zone {
        builder = builder.zone(zone);
    }
    if let Some(weight) = settings.weight {
        builder = builder.weight(weight);
    }
    if let Some(grace) = settings.tombstone_grace {
        builder = builder.tombstone_grace(grace);
    }
    if let Some(ttl) = settings.holder_ttl {
        builder = builder.holder_ttl(ttl);
    }
    if let Some(delay) = settings.rebalance_delay {
        builder = builder.rebalance_delay(delay);
    }
    if let Some(bytes) = settings.cache_size {
        builder = builder.cache_bytes(bytes);
    }
    if let Some(file) = &settings.secret_file {
        builder = builder.secret(read_secret(file)?);
    }
    if let Some(file) = &settings.definitions {
        builder = builder.definitions(apply::read(file)?);
    }
    Ok(builder.start().await?)
}

/// Reads the cluster secret: the file without the line end that editors leave. Others must not be
/// able to read it, since whoever can joins the cluster.
pub(super) fn read_secret(file: &Path) -> Result<Vec<u8>, Failure> {
    let denied = |why: String| {
        Failure::new(Code::Denied, format!("the secret file {} is not used: {why}", file.display()))
    };
    let mut secret = private::read(file, SECRET_MAX).map_err(|error| denied(error.to_string()))?;
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    if secret.len() < SECRET_MIN {
        return Err(denied(format!(
            "it has {} bytes, at least {} are needed",
            secret.len(),
            SECRET_MIN
        )));
    }
    Ok(secret)
}

/// `TIDINGS_HTTP` serves clients too, who write a URL.
pub(super) fn address_of(http: &str) -> &str {
    let address = http.strip_prefix("http://").unwrap_or(http);
    address.strip_suffix('/').unwrap_or(address)
}

fn log_to_stderr() -> Result<(), Failure> {
    let words = std::env::var("TIDINGS_LOG").unwrap_or_default();
    let words = if words.is_empty() { DEFAULT_LOG } else { &words };
    let filter = EnvFilter::try_new(words).map_err(|error| {
        Failure::usage(format!("TIDINGS_LOG={words:?} is not a log filter, such as info: {error}"))
    })?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Failure::internal(format!("logging cannot start: {error}")))
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = file.with_file_name(name);
    let mut out = std::fs::File::create(&temporary)?;
    out.write_all(bytes)?;
    out.write_all(b"\n")?;
    drop(out);
    std::fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_door_may_be_written_as_a_url() {
        assert_eq!(address_of("http://127.0.0.1:7380/"), "127.0.0.1:7380");
        assert_eq!(address_of("127.0.0.1:0"), "127.0.0.1:0");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_private_and_long_enough() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let refused = |mode: u32, text: &str| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            read_secret(&file).map_err(|failure| failure.message().to_owned())
        };
        assert_eq!(refused(0o600, "0123456789abcdef\n").unwrap(), b"0123456789abcdef");
        assert!(refused(0o640, "0123456789abcdef").unwrap_err().contains("chmod 600"));
        assert!(refused(0o600, "short\n").unwrap_err().contains("it has 5 bytes"));
        assert!(read_secret(&directory.path().join("none")).is_err());
    }
}
