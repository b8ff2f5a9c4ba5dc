//! Accepting connections: where the door listens, how many it serves at once, and how it stops.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tidings::Peer;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::bounds::{Bounds, CLOSING_TIMEOUT, HEAD_BYTES_MAX};
use crate::metrics::{Beside, Counts};
use crate::routes::{self, Door};
use crate::stream::Impatient;
use tidings_tokens::LiveTokens;
use tidings_tokens::listen::{self, BindError, DoorName};

/// Pause after a failed accept: the usual reason is a lack of file descriptors, which takes a moment
/// to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What errors call this door.
const NAME: DoorName = DoorName { name: "HTTP", flag: "--http", example: "127.0.0.1:7380" };

/// A bound door that does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    tokens: Option<Arc<LiveTokens>>,
    bounds: Bounds,
    listener: TcpListener,
    address: SocketAddr,
    beside: Option<Beside>,
}

impl Gateway {
    /// Binds `host:port`; port 0 picks a free one. With `tokens` every request needs one of them;
    /// without, the door asks for none, and only loopback addresses are allowed.
    ///
    /// # Errors
    /// [`BindError`], with the address and the reason.
    pub async fn bind(address: &str, tokens: Option<Arc<LiveTokens>>) -> Result<Self, BindError> {
        let (listener, bound) = listen::bind(NAME, address, tokens.as_deref()).await?;
        Ok(Self { tokens, bounds: Bounds::default(), listener, address: bound, beside: None })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds to what `/metrics` says: what is appended to the text is in the format of Prometheus, and about
    /// metrics of other names.
    #[must_use]
    pub fn metrics_beside(mut self, beside: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        self.beside = Some(Beside(Arc::new(beside)));
        self
    }

    /// Serves a peer until `shutdown` resolves, then lets running requests finish for a few seconds.
    pub async fn serve(self, peer: Peer, shutdown: impl Future<Output = ()> + Send) {
        let (closing, closed) = watch::channel(false);
        let counts = Arc::new(Counts::new());
        let router = routes::router(Door {
            peer,
            tokens: self.tokens,
            counts: Arc::clone(&counts),
            beside: self.beside,
            closing: closed,
        });
        let permits = Arc::new(Semaphore::new(self.bounds.connections));
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                next = next => next,
                () = &mut shutdown => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Answers are written whole; waiting to fill a packet would only delay them.
            let _ = stream.set_nodelay(true);
            let stream = Impatient::new(stream, self.bounds.write_timeout);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.bounds.head_timeout)
                .max_buf_size(HEAD_BYTES_MAX)
                .max_header_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            let connection = graceful.watch(connection);
            let connected = Arc::clone(&counts).connected();
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop((permit, connected));
            });
        }
        drop(self.listener);
        let _ = closing.send(true);
        if tokio::time::timeout(CLOSING_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests still running after {CLOSING_TIMEOUT:?} were cut off");
        }
    }
}

#[cfg(test)]
mod tests;
