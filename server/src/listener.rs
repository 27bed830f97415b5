//! The one TLS port for operators, agents and health checks.
//!
//! It bounds what a client can hold without asking anything, and tells the services who is at the other end. It never
//! decides what somebody may do: a client without a certificate comes as far as one with.

mod connection;
mod front;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::authority::{AgentIdentity, Authority, AuthorityError};
use connection::Connection;

/// Who is at the other end, proven by the TLS connection. Found in the extensions of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// An agent, by a certificate that this server's authority signed and that was valid when the connection began. Whether
    /// it was revoked since is not known here.
    Agent(Arc<AgentIdentity>),
    /// Nobody in particular: no certificate was shown.
    None,
}

/// What a client may take before it is anybody.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: usize,
    /// Handshakes at a time; more wait in the kernel's queue.
    pub max_handshakes: usize,
    /// The time for a whole handshake.
    pub handshake: Duration,
    /// The time from the handshake to the first request.
    pub first_request: Duration,
    /// What open calls get at a shutdown before they are dropped.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_handshakes: 256,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "could not listen on {address}; is another server running there? Otherwise choose another address"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("could not prepare TLS")]
    Tls(#[source] AuthorityError),
}

pub struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    address: SocketAddr,
    limits: Limits,
}

impl Listener {
    pub async fn bind(
        address: SocketAddr,
        authority: &Arc<Authority>,
        clock: fn() -> Timestamp,
        limits: Limits,
    ) -> Result<Self, ListenError> {
        let tls =
            TlsAcceptor::from(Arc::new(tls::server_config(authority, clock).map_err(ListenError::Tls)?));
        let failed = |source| ListenError::Bind { address, source };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Self { tcp, tls, address, limits })
    }

    /// Where it listens, with the port that the system chose where port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` fires; then no new connection is taken, and the open calls get their time to finish.
    pub async fn serve(self, routes: Routes, shutdown: CancellationToken) {
        let Self { tcp, tls, limits, .. } = self;
        let slots = Slots::new(limits);
        let routes = routes.prepare();
        let mut open = JoinSet::new();
        loop {
            let (slot, handshake, stream, peer) = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = open.join_next(), if !open.is_empty() => continue,
                taken = slots.accept(&tcp) => taken,
            };
            let connection = Connection { peer, tls: tls.clone(), routes: routes.clone(), limits };
            let shutdown = shutdown.clone();
            open.spawn(async move {
                connection.run(stream, handshake, shutdown).await;
                drop(slot);
            });
        }
        drop(tcp);
        let all_done = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.shutdown, all_done).await.is_err() {
            tracing::info!(connections = open.len(), "dropping the calls that are still open");
            open.shutdown().await;
        }
    }
}

struct Slots {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
}

impl Slots {
    fn new(limits: Limits) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.max_connections)),
            handshakes: Arc::new(Semaphore::new(limits.max_handshakes)),
        }
    }

    /// The next connection, once there is room for it.
    async fn accept(
        &self,
        tcp: &TcpListener,
    ) -> (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
        if self.connections.available_permits() == 0 {
            tracing::warn!("all connections are in use; new ones wait");
        }
        // A semaphore that nobody closes always gives its permit in the end.
        let connection = Arc::clone(&self.connections).acquire_owned().await.ok();
        let handshake = Arc::clone(&self.handshakes).acquire_owned().await.ok();
        loop {
            match tcp.accept().await {
                Ok((stream, peer)) => return (connection, handshake, stream, peer),
                Err(error) => {
                    // Out of file descriptors, most likely: accepting at once again would only spin.
                    tracing::warn!(error = &error as &dyn std::error::Error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
