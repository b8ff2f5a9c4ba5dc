//! The HTTP address, and what a peer that answers there says.

use std::sync::Arc;
use std::time::Duration;

use tidings::status::PeerStatus;
use tidings::store::look::User;
use tidings_core::clock::own_offset;
use tidings_core::node::MAX_CLOCK_SKEW;
use tidings_gateway::{Client, ClientError, Gateway};
use tidings_redis::RedisDoor;
use tidings_tokens::{LiveTokens, TokenFile};

use tokio::time::timeout;

use super::super::serve::{Settings, address_of};
use super::super::{Context, DEFAULT_HTTP};
use super::Check;
use crate::output;

/// A peer answers within milliseconds; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a peer answers at the HTTP address, or one could listen there; and what it says.
pub(super) async fn door(settings: &Settings, context: &Context, user: Option<User>) -> Vec<Check> {
    let name = "http";
    let http = settings.http.as_deref().unwrap_or(DEFAULT_HTTP);
    let address = address_of(http);
    let ends_with_zero = address.rsplit_once(':').is_some_and(|(_, port)| port == "0");
    let client = match context.client_of(http) {
        _ if ends_with_zero => return doors(settings, address, user).await,
        Ok(client) => client,
        Err(failure) => return vec![Check::error(name, failure.message())],
    };
    let Ok(answer) = timeout(PATIENCE, client.status()).await else {
        return vec![Check::fail(
            name,
            format!("something listens at {address} and does not answer within {PATIENCE:?}"),
            "see what has the port, stop it, or name another address with --http",
        )];
    };
    match answer {
        Ok(status) => {
            let own = env!("CARGO_PKG_VERSION");
            let who = format!("the peer {:?} ({}) answers at {address}", status.name, status.peer);
            let mut checks = vec![if status.version != own {
                Check::warn(
                    name,
                    format!("{who}; it runs version {}, and this program is {own}", status.version),
                    "upgrade all peers, one after the other",
                )
            } else if user.is_none() && settings.data.is_dir() {
                Check::warn(
                    name,
                    format!("{who}, and does not use {}", settings.data.display()),
                    "for a second peer on this machine, name another address with --http",
                )
            } else {
                Check::ok(name, who)
            }];
            checks.push(clones(status.cloned));
            checks.extend(of_others(&client).await);
            checks
        }
        Err(ClientError::Unreachable { .. }) => doors(settings, address, user).await,
        Err(ClientError::Problem(problem))
            if matches!(problem.code.as_str(), "unauthenticated" | "denied") =>
        {
            vec![Check::warn(
                name,
                format!("a peer answers at {address}, and wants a token: {problem}"),
                "give one for all databases with --token-file FILE to look at its clock and its peers",
            )]
        }
        Err(error) => vec![Check::fail(
            name,
            format!("what answers at {address} is no tidings peer, or a broken one: {error}"),
            "stop it, or name another address with --http",
        )],
    }
}

/// Whether the addresses are free, where no peer answers.
async fn doors(settings: &Settings, address: &str, user: Option<User>) -> Vec<Check> {
    let mut checks = vec![bound(settings, address, user).await];
    checks.extend(redis(settings).await);
    checks
}

/// The tokens that the doors would ask for. What is wrong with them is told on its own.
fn tokens(settings: &Settings) -> Option<Arc<LiveTokens>> {
    let file = settings.tokens.as_ref()?;
    LiveTokens::open(TokenFile::new(file)).ok().map(Arc::new)
}

/// Whether the HTTP address is free.
async fn bound(settings: &Settings, address: &str, user: Option<User>) -> Check {
    let name = "http";
    match Gateway::bind(address, tokens(settings)).await {
        Err(error) => Check::error(name, error),
        Ok(_) if user.is_some() => Check::warn(
            name,
            format!("nobody answers at {address}, and a process uses {}", settings.data.display()),
            "name the address of that peer with --http to look at its clock and its peers",
        ),
        Ok(_) => Check::ok(
            name,
            format!(
                "{address} is free; no peer runs there whose clock and peers could be looked at"
            ),
        ),
    }
}

/// Whether the Redis address is free, if there shall be one.
async fn redis(settings: &Settings) -> Option<Check> {
    let (name, address) = ("redis", settings.redis.as_ref()?);
    Some(match RedisDoor::bind(address, tokens(settings)).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) => Check::error(name, error),
    })
}

async fn of_others(client: &Client) -> Vec<Check> {
    match timeout(PATIENCE, client.peers()).await {
        Ok(Ok(list)) => vec![found(&list.peers), clock(&list.peers)],
        Ok(Err(error)) => vec![Check::error("peers", error)],
        Err(_) => vec![Check::fail(
            "peers",
            format!("the peer did not say within {PATIENCE:?} which others it sees"),
            "see its log, and restart it",
        )],
    }
}

/// Whether the peer has found others.
fn found(peers: &[PeerStatus]) -> Check {
    let name = "peers";
    let connected = peers.iter().filter(|peer| peer.connected).count();
    let away: Vec<String> = peers
        .iter()
        .filter(|peer| !peer.connected)
        .map(|peer| {
            format!("{} ({})", output::shown(peer.name.as_bytes()), output::short(&peer.peer))
        })
        .collect();
    if connected == 0 {
        return Check::warn(
            name,
            match peers.len() {
                0 => "no other peer was found".to_owned(),
                known => format!("connected to none of the {known} other peers that are known"),
            },
            "compare the secrets, look at the line `mdns` at both ends, name an address with --peer, and see the log for \"did not pass the handshake\"",
        );
    }
    if away.is_empty() {
        return Check::ok(name, format!("connected to all {connected} other peers"));
    }
    Check::warn(
        name,
        format!("connected to {connected} of {}; not to {}", peers.len(), away.join(", ")),
        "start those that are meant to run, or drain a peer before it goes for good",
    )
}

/// Whether the peer was told of another process under its identity, which refuses writes.
fn clones(cloned: bool) -> Check {
    let name = "clones";
    if !cloned {
        return Check::ok(name, "no other process is known to run under this peer's identity");
    }
    Check::fail(
        name,
        "another process runs under this peer's identity: the writes of both are refused",
        "stop one of them, and start it with an empty directory",
    )
}

/// Whether the clocks agree, by the rule that refuses writes.
fn clock(peers: &[PeerStatus]) -> Check {
    let name = "clock";
    let known: Vec<(&PeerStatus, i64)> = peers
        .iter()
        .filter(|peer| peer.connected)
        .filter_map(|peer| Some((peer, peer.clock_offset_ms?)))
        .collect();
    let Some((worst, offset)) = known.iter().max_by_key(|(_, offset)| offset.unsigned_abs()) else {
        return Check::ok(name, "no other peer's clock is known to compare with");
    };
    if let Some(own) = own_offset(known.iter().map(|(_, offset)| *offset))
        && own.unsigned_abs() > MAX_CLOCK_SKEW
    {
        return Check::fail(
            name,
            format!(
                "this peer's clock is {own:+} ms off the median of {} clocks, and {MAX_CLOCK_SKEW} ms are allowed: its writes are refused",
                known.len() + 1
            ),
            "set the clock, with NTP",
        );
    }
    let count = known.len();
    if offset.unsigned_abs() > MAX_CLOCK_SKEW {
        let who = output::shown(worst.name.as_bytes());
        return Check::warn(
            name,
            format!(
                "the clock of {who} ({}) is {offset:+} ms off this one, and {MAX_CLOCK_SKEW} ms are allowed",
                output::short(&worst.peer)
            ),
            "set the clock that is wrong, with NTP",
        );
    }
    Check::ok(name, format!("within {} ms of {count} other peers", offset.unsigned_abs()))
}
