//! Where a door listens: without tokens only this machine may reach it.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

use crate::LiveTokens;

/// What people call a door and how they name its address, for errors that say what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorName {
    /// What it speaks, such as `HTTP`.
    pub name: &'static str,
    /// The flag of `tidings serve` that names its address.
    pub flag: &'static str,
    /// An address on loopback that it could have.
    pub example: &'static str,
}

/// A door that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address does not belong to loopback and the door asks for no tokens; nothing listens.
    #[error(
        "the {} door does not listen on {address} without tokens, since others than this machine could reach it: hand in a token file with --tokens FILE (`tidings token new` makes one), or listen on loopback, such as {}",
        door.name,
        door.example
    )]
    NotLoopback {
        /// Which door.
        door: DoorName,
        /// The address asked for.
        address: String,
    },
    /// Something else listens there.
    #[error(
        "the {} door cannot listen on {address}: the port is in use; choose another with {}, or port 0 for a free one",
        door.name,
        door.flag
    )]
    InUse {
        /// Which door.
        door: DoorName,
        /// The address asked for.
        address: String,
    },
    /// The address cannot be understood.
    #[error("{address:?} is not an address to listen on: write host:port, such as {}", door.example)]
    BadAddress {
        /// Which door.
        door: DoorName,
        /// The address asked for.
        address: String,
    },
    /// The system refused for another reason.
    #[error("the {} door cannot listen on {address}: {source}", door.name)]
    Io {
        /// Which door.
        door: DoorName,
        /// The address asked for.
        address: String,
        /// The reason.
        source: io::Error,
    },
}

/// Binds `host:port`, and says where it listens; port 0 picks a free one. Without `tokens` the door asks
/// nobody who they are, and only loopback addresses are allowed.
///
/// # Errors
/// [`BindError`], with the address and the reason.
pub async fn bind(
    door: DoorName,
    address: &str,
    tokens: Option<&LiveTokens>,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let resolved = lookup_host(address).await.ok().and_then(|mut found| found.next());
    let Some(socket_address) = resolved else {
        return Err(BindError::BadAddress { door, address: address.into() });
    };
    if tokens.is_none() && !socket_address.ip().is_loopback() {
        return Err(BindError::NotLoopback { door, address: address.into() });
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { door, address: address.into() },
        _ => BindError::Io { door, address: address.into(), source },
    };
    let listener = TcpListener::bind(socket_address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOOR: DoorName = DoorName { name: "Test", flag: "--test", example: "127.0.0.1:7" };

    async fn refused(address: &str) -> String {
        bind(DOOR, address, None).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn refusals_name_the_door_and_what_to_do() {
        let (_listener, taken) = bind(DOOR, "127.0.0.1:0", None).await.unwrap();
        assert_eq!(
            refused(&taken.to_string()).await,
            format!(
                "the Test door cannot listen on {taken}: the port is in use; choose another with --test, or port 0 for a free one"
            )
        );
        assert_eq!(
            refused("0.0.0.0:0").await,
            "the Test door does not listen on 0.0.0.0:0 without tokens, since others than this machine could reach it: hand in a token file with --tokens FILE (`tidings token new` makes one), or listen on loopback, such as 127.0.0.1:7"
        );
        assert_eq!(
            refused("7").await,
            "\"7\" is not an address to listen on: write host:port, such as 127.0.0.1:7"
        );
    }
}
